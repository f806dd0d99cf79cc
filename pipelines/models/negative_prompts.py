"""How a pipeline's class takes a request without a negative prompt."""

from __future__ import annotations

import re
from functools import lru_cache

from pipelines.models.class_sources import lineage

HANDLES_NONE = re.compile(r"(?<![\w.])negative_prompt (?:or|is None|is not None (?:or|else))\b")


@lru_cache(maxsize=64)
def empty_negative_prompt(class_name: str) -> str | None:
    """What to pass as `negative_prompt` where there is none: None, or "" for a class that uses its
    argument without a look whether it is None (EasyAnimate)."""
    texts = [each.module_text for each in lineage(class_name)]
    return None if not texts or any(map(HANDLES_NONE.search, texts)) else ""
