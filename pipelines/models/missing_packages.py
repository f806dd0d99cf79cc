"""Finds what a module of diffusers uses and the installed packages do not have.

Nothing is imported: only whether a package could be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

SUBMODULES = ("text_model", "vision_model", "language_model")
"""Attributes of transformers' models that some of their versions have and others have not."""


@dataclass(frozen=True)
class MissingName:
    package: str
    is_refusal: bool
    """A stand-in that raises ImportError when it is called; else the name is not bound at all."""


def missing_names(module: ast.Module) -> dict[str, MissingName]:
    """The module's names that packages which are not installed would bind.

    Of imports under `if is_..._available():` and in `try:`, without those that the module replaces
    by something that works."""
    found: dict[str, MissingName] = {}
    for node in module.body:
        match node:
            case ast.If(test=test, body=body, orelse=orelse) if "_available" in ast.unparse(test):
                found |= _missing(body, orelse)
            case ast.Try(body=body, handlers=handlers):
                found |= _missing(body, [each for h in handlers for each in h.body])
            case _:
                pass
    return found


def _missing(body: list[ast.stmt], otherwise: list[ast.stmt]) -> dict[str, MissingName]:
    replaced = {each: node for node in otherwise for each in _bound(node)}
    return {
        name: MissingName(package, is_refusal=name in replaced)
        for name, package in _imported(body)
        if not is_installed(package) and (name not in replaced or _refuses(replaced[name]))
    }


def _imported(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, ast.Import):
            for each in node.names:
                yield (each.asname or each.name.partition(".")[0]), each.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                yield (each.asname or each.name), node.module.partition(".")[0]


def _bound(node: ast.stmt) -> list[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [each.id for each in targets if isinstance(each, ast.Name)]
        case _:
            return []


def _refuses(node: ast.stmt) -> bool:
    """A stand-in that only says what to install."""
    raises = (each for each in ast.walk(node) if isinstance(each, ast.Raise))
    return any("ImportError" in ast.unparse(each) for each in raises)


@lru_cache(maxsize=64)
def is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


@lru_cache(maxsize=64)
def lacks_part(class_name: str, attribute: str) -> bool:
    """Whether the installed transformers has that model, and it has no such part."""
    if attribute not in SUBMODULES:
        return False
    source = _model_source(class_name)
    return source is not None and f"self.{attribute}" not in source


@lru_cache(maxsize=16)
def _model_source(class_name: str) -> str | None:
    """The class and its bases in the same module of transformers; None if it is not there."""
    spec = find_spec("transformers")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted((Path(folder) / "models").glob("*/modeling_*.py")):
            text = path.read_text(encoding="utf-8")
            if f"class {class_name}(" in text:
                return _with_bases(text, class_name)
    return None


def _with_bases(text: str, class_name: str) -> str:
    classes = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.ClassDef)}
    found, names = "", [class_name]
    while names:
        node = classes.pop(names.pop(), None)
        if node is not None:
            found += ast.get_source_segment(text, node) or ""
            names += [base.id for base in node.bases if isinstance(base, ast.Name)]
    return found
