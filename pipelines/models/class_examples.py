"""Reads the documented example of a pipeline class: how its authors call it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from pipelines.models.class_sources import ClassSource

EXPORTS = ("export_to_video", "export_to_gif")
FPS = re.compile(r"export_to_(?:video|gif)\([^\n]*fps=(\d+)")
CODE_LINE = re.compile(r"^\s*(?:>>>|\.\.\.) ?", re.MULTILINE)


@dataclass(frozen=True)
class CallExample:
    fps: int | None = None
    """Frames per second of the file that it writes."""
    arguments: dict[str, float] = field(default_factory=dict)
    """The numbers that it passes to pipelines; of several calls the first counts."""


def read_example(source: ClassSource) -> CallExample:
    """The example of the class's module; an empty one where there is none."""
    code = _code(source.module)
    found = FPS.search(source.module_text)
    fps = int(found[1]) if found else None
    try:
        tree = ast.parse(code)
    except SyntaxError:  # abbreviated for readers
        return CallExample(fps)
    names: dict[str, float] = {}
    arguments: dict[str, float] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and _is_number(node.value.value):
                    names[target.id] = node.value.value  # pyright: ignore[reportArgumentType]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            is_export = isinstance(node.func, ast.Name) and node.func.id in EXPORTS
            for keyword in node.keywords:
                value = _number(keyword.value, names)
                if value is None or keyword.arg is None:
                    continue
                if is_export and keyword.arg == "fps":
                    fps = fps or int(value)
                elif not is_export:
                    arguments.setdefault(keyword.arg, value)
    return CallExample(fps, arguments)


def _code(module: ast.Module) -> str:
    """The lines of code in the module's example, without their prompts."""
    for node in module.body:
        value = node.value if isinstance(node, ast.Assign) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            lines = [line for line in value.value.splitlines() if CODE_LINE.match(line)]
            if lines:
                return "\n".join(CODE_LINE.sub("", line) for line in lines)
    return ""


def _number(node: ast.expr, names: dict[str, float]) -> float | None:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Constant) and _is_number(node.value):
        return node.value  # pyright: ignore[reportReturnType]
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
