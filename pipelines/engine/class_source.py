"""What the source of a pipeline's class says about its call that its signature does not."""

from __future__ import annotations

import inspect
import re
from functools import lru_cache
from typing import Any

HANDLES_NONE = re.compile(r"(?<![\w.])negative_prompt (?:or|is None|is not None (?:or|else))\b")


def module_source(pipeline_class: type[Any]) -> str:
    """The source of the module of a pipeline, with its examples; empty where it is not there."""
    try:
        return inspect.getsource(inspect.getmodule(pipeline_class) or pipeline_class)
    except (OSError, TypeError):
        return ""


@lru_cache(maxsize=64)
def empty_negative_prompt(class_name: str) -> str | None:
    """What to pass as `negative_prompt` where there is none: None, or "" for a class that uses its
    argument without a look whether it is None (EasyAnimate)."""
    import diffusers

    found = getattr(diffusers, class_name, None)
    texts = [module_source(each) for each in getattr(found, "__mro__", ()) if _is_pipeline(each)]
    return None if not texts or any(map(HANDLES_NONE.search, texts)) else ""


def _is_pipeline(of: type[Any]) -> bool:
    return of.__module__.startswith("diffusers.pipelines.") and of.__name__ != "DiffusionPipeline"
