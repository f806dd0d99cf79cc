"""Reads the signatures of diffusers pipelines from their source, without importing them.

The web process makes cards of pasted models and must not load torch.
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
class CallSignature:
    """`__call__` of one pipeline class."""

    class_name: str
    parameters: dict[str, Any]
    """Name -> default; None for a default that is no literal, REQUIRED for none."""
    returns_frames: bool
    """Whether its result has `.frames`, which is how pipelines return videos."""
    side: int | None
    """The multiple that the class checks width and height for."""

    def takes(self, name: str) -> bool:
        return name in self.parameters

    def requires(self, name: str) -> bool:
        return self.parameters.get(name) is REQUIRED

    @property
    def frames_name(self) -> str | None:
        return next((name for name in FRAMES if self.takes(name)), None)


@lru_cache(maxsize=64)
def call_signature(class_name: str) -> CallSignature | None:
    """The signature of a pipeline class; None where diffusers has no such class."""
    found = _find_class(class_name)
    if found is None:
        return None
    node, text = found
    call = _find_call(node)
    if call is None:  # inherited
        for base in node.bases:
            inherited = call_signature(base.id) if isinstance(base, ast.Name) else None
            if inherited is not None:
                return inherited
        return None
    # `check_inputs` refuses sizes by `height % 16 != 0 or width % 16 != 0`
    multiple = re.search(r"height % (\d+)", ast.get_source_segment(text, node) or "")
    return CallSignature(
        class_name=class_name,
        parameters=_parameters(call.args),
        returns_frames=any(_returns_frames(each) for each in ast.walk(call)),
        side=int(multiple[1]) if multiple else None,
    )


def _find_class(class_name: str) -> tuple[ast.ClassDef, str] | None:
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
    """The file of each pipeline class."""
    spec, found = find_spec("diffusers"), dict[str, Path]()
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted((Path(folder) / "pipelines").rglob("pipeline_*.py")):
            for name in re.findall(r"^class (\w+)", path.read_text("utf-8"), re.MULTILINE):
                found.setdefault(name, path)
    return found


def _find_call(node: ast.ClassDef) -> ast.FunctionDef | None:
    methods = (each for each in node.body if isinstance(each, ast.FunctionDef))
    return next((each for each in methods if each.name == "__call__"), None)


def _parameters(arguments: ast.arguments) -> dict[str, Any]:
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    bare = len(names) - len(arguments.defaults)
    defaults: list[Any] = [REQUIRED] * bare + [_literal(each) for each in arguments.defaults]
    parameters = dict(zip(names, defaults, strict=True))
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters[each.arg] = REQUIRED if default is None else _literal(default)
    parameters.pop("self", None)
    return parameters


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _returns_frames(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and any(each.arg == "frames" for each in node.keywords)
