"""Finds the source of diffusers' pipeline classes, without importing them.

The web process makes cards of pasted models and must not load torch.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class ClassSource:
    """A class and the module that it is in, as text and parsed."""

    name: str
    node: ast.ClassDef
    text: str
    module: ast.Module
    module_text: str

    @property
    def bases(self) -> list[str]:
        return [base.id for base in self.node.bases if isinstance(base, ast.Name)]

    def method(self, name: str) -> ast.FunctionDef | None:
        """The method, where this very class defines it."""
        methods = (each for each in self.node.body if isinstance(each, ast.FunctionDef))
        return next((each for each in methods if each.name == name), None)


@lru_cache(maxsize=64)
def find_class(class_name: str) -> ClassSource | None:
    """None where diffusers has no pipeline class of that name."""
    return _read(_files("pipelines", "pipeline_*.py").get(class_name), class_name)


@lru_cache(maxsize=64)
def find_model(class_name: str) -> ClassSource | None:
    """A component's class; None where it is not one of diffusers' models."""
    return _read(_files("models", "*.py").get(class_name), class_name)


def _read(path: Path | None, class_name: str) -> ClassSource | None:
    if path is None:
        return None
    text = path.read_text(encoding="utf-8")
    module = ast.parse(text)
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            own = ast.get_source_segment(text, node) or ""
            return ClassSource(class_name, node, own, module, text)
    return None


def lineage(class_name: str) -> list[ClassSource]:
    """The class, then its bases among diffusers' pipelines, nearest first; empty if unknown."""
    found, names = list[ClassSource](), [class_name]
    while names:
        each = find_class(names.pop(0))
        if each is not None and each not in found:
            found.append(each)
            names += each.bases
    return found


def find_method(class_name: str, name: str) -> ast.FunctionDef | None:
    """The method of a pipeline class, its own or inherited from another pipeline."""
    methods = (each.method(name) for each in lineage(class_name))
    return next((each for each in methods if each is not None), None)


@lru_cache(maxsize=2)
def _files(package: str, pattern: str) -> dict[str, Path]:
    """The file of each class in a package of diffusers."""
    spec, found = find_spec("diffusers"), dict[str, Path]()
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted((Path(folder) / package).rglob(pattern)):
            for name in re.findall(r"^class (\w+)", path.read_text("utf-8"), re.MULTILINE):
                found.setdefault(name, path)
    return found
