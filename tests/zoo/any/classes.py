"""The video pipelines of the installed diffusers, found by what their calls return.

Reads sources, so that a class whose libraries are missing is found too. Knows no model of ours.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from functools import lru_cache
from typing import Any

RESULTS = {"frames", "video", "videos"}
"""What a pipeline's result calls a clip."""


@lru_cache(maxsize=1)
def video_classes() -> dict[str, type[Any]]:
    """Every exported pipeline class whose call returns a clip, by name."""
    import diffusers

    found: dict[str, type[Any]] = {}
    for name in dir(diffusers):
        if name.endswith("Pipeline") and not name.startswith(("Flax", "Onnx")):
            each = getattr(diffusers, name)
            if _is_pipeline(each) and _returns_a_clip(each):
                found[name] = each
    return found


def frame_rate_of(of: type[Any]) -> int | None:
    """Frames per second: the default of the call's own argument, else its documented example."""
    parameters = inspect.signature(of.__call__).parameters
    default = getattr(parameters.get("frame_rate"), "default", None)
    if isinstance(default, int | float):
        return int(default)
    module = inspect.getmodule(of)
    text = inspect.getsource(module) if module else ""
    rates = re.findall(r"export_to_(?:video|gif)\([^\n]*fps=(\d+)", text)
    return int(rates[0]) if rates else None


def _is_pipeline(each: Any) -> bool:
    from diffusers import DiffusionPipeline

    return (
        isinstance(each, type)
        and issubclass(each, DiffusionPipeline)
        and each.__module__.startswith("diffusers.pipelines.")
    )


def _returns_a_clip(of: type[Any]) -> bool:
    """An output with frames, or one that is called a video's."""
    for kind in of.__mro__:
        source = _source_of_call(kind)
        if source is not None:
            return any(_is_clip(node) for node in ast.walk(source) if isinstance(node, ast.Call))
    return False


def _source_of_call(kind: type[Any]) -> ast.AST | None:
    if "__call__" not in vars(kind) or not kind.__module__.startswith("diffusers.pipelines"):
        return None
    return ast.parse(textwrap.dedent(inspect.getsource(vars(kind)["__call__"])))


def _is_clip(node: ast.Call) -> bool:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if not name.endswith("Output"):
        return False
    return "Video" in name or any(each.arg in RESULTS for each in node.keywords)
