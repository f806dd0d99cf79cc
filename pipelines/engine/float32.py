"""Which components of a pipeline stay in float32, by the evidence in diffusers' own sources.

A class that names single layers in `_keep_in_fp32_modules` needs nothing here: `from_pretrained`
keeps those itself. Whole components are only named in the examples of the pipelines that use them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.engine.class_source import module_source

PROMPT = re.compile(r"^\s*(?:>>>|\.\.\.) ?", re.MULTILINE)
LOAD = re.compile(r"(\w+)\.from_pretrained\(([^()]*)\)")
SUBFOLDER = re.compile(r"""subfolder=["'](\w+)["']""")
DTYPE = re.compile(r"\b(?:torch_)?dtype=torch\.(\w+)")


@dataclass(frozen=True)
class _Example:
    """One component that the example of a pipeline loads by itself."""

    class_name: str
    subfolder: str | None
    dtype: str


def float32_components(
    pipeline_classes: Iterable[type[Any]], components: Mapping[str, type[Any]]
) -> set[str]:
    """The names of the components that the pipelines' examples load in float32.

    `components` are the classes by name. Where a pipeline has no example with a dtype, its VAE
    follows the examples of the other pipelines that use the same class.
    """
    found: set[str] = set()
    for each in pipeline_classes:
        text = module_source(each)
        found |= {
            name
            for name, component in components.items()
            if any(_is_of(example, name, component) for example in _loaded_in_float32(text))
        }
        if not DTYPE.search(text):
            known = _usual_in_float32()
            found |= {n for n, c in components.items() if n == "vae" and c.__name__ in known}
    return found


def _is_of(example: _Example, name: str, component: type[Any]) -> bool:
    if example.subfolder is not None:
        return example.subfolder == name
    return example.class_name == component.__name__


def _loaded_in_float32(text: str) -> list[_Example]:
    found: list[_Example] = []
    for class_name, arguments in LOAD.findall(PROMPT.sub("", text)):
        subfolder, dtype = SUBFOLDER.search(arguments), DTYPE.search(arguments)
        if dtype is not None and not class_name.endswith("Pipeline"):
            found.append(_Example(class_name, subfolder[1] if subfolder else None, dtype[1]))
    return [each for each in found if each.dtype == "float32"]


@lru_cache(maxsize=1)
def _usual_in_float32() -> frozenset[str]:
    """The VAE classes that examples of diffusers load in float32."""
    spec, names = find_spec("diffusers"), set[str]()
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in (Path(folder) / "pipelines").rglob("pipeline_*.py"):
            for each in _loaded_in_float32(path.read_text(encoding="utf-8")):
                if each.class_name.startswith("Autoencoder"):
                    names.add(each.class_name)
    return frozenset(names)
