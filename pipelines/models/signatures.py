"""What the call of a diffusers pipeline takes, read from its source. Light: nothing is imported.

Whoever makes a card of a pasted model needs this where torch may not be loaded.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FRAMES = ("num_frames", "video_length", "frames")
"""What pipelines call the number of frames."""


class Required:
    """Stands for the default of a parameter that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = Required()


@dataclass(frozen=True)
class Call:
    """`__call__` of one pipeline class."""

    class_name: str
    parameters: dict[str, Any]
    """Name -> default, where that is a plain value; else None; REQUIRED where there is none."""
    returns_frames: bool
    """Its result has `.frames`: it makes videos."""
    side: int | None
    """What width and height must be a multiple of, where the class checks it."""

    def takes(self, name: str) -> bool:
        return name in self.parameters

    def requires(self, name: str) -> bool:
        return self.parameters.get(name) is REQUIRED

    @property
    def frames_name(self) -> str | None:
        return next((name for name in FRAMES if self.takes(name)), None)


@lru_cache(maxsize=64)
def call_of(class_name: str) -> Call | None:
    """None where diffusers has no such pipeline."""
    found = _class_of(class_name)
    if found is None:
        return None
    node, text = found
    call = _method(node)
    if call is None:  # inherited
        for base in node.bases:
            inherited = call_of(base.id) if isinstance(base, ast.Name) else None
            if inherited is not None:
                return inherited
        return None
    multiple = re.search(r"height % (\d+)", ast.get_source_segment(text, node) or "")
    return Call(
        class_name=class_name,
        parameters=_parameters(call.args),
        returns_frames=any(_gives_frames(each) for each in ast.walk(call)),
        side=int(multiple[1]) if multiple else None,
    )


def _class_of(class_name: str) -> tuple[ast.ClassDef, str] | None:
    path = _sources().get(class_name)
    if path is None:
        return None
    text = path.read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return node, text
    return None


@lru_cache(maxsize=1)
def _sources() -> dict[str, Path]:
    """Where each pipeline class is."""
    spec, found = find_spec("diffusers"), dict[str, Path]()
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted((Path(folder) / "pipelines").rglob("pipeline_*.py")):
            for name in re.findall(r"^class (\w+)", path.read_text("utf-8"), re.MULTILINE):
                found.setdefault(name, path)
    return found


def _method(node: ast.ClassDef) -> ast.FunctionDef | None:
    methods = (each for each in node.body if isinstance(each, ast.FunctionDef))
    return next((each for each in methods if each.name == "__call__"), None)


def _parameters(given: ast.arguments) -> dict[str, Any]:
    names = [each.arg for each in (*given.posonlyargs, *given.args)]
    bare = len(names) - len(given.defaults)
    defaults: list[Any] = [REQUIRED] * bare + [_value(each) for each in given.defaults]
    parameters = dict(zip(names, defaults, strict=True))
    for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        parameters[each.arg] = REQUIRED if default is None else _value(default)
    parameters.pop("self", None)
    return parameters


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _gives_frames(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and any(each.arg == "frames" for each in node.keywords)
