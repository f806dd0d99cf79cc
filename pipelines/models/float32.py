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

from pipelines.models.class_sources import find_class

PROMPT = re.compile(r"^\s*(?:>>>|\.\.\.) ?", re.MULTILINE)
LOAD = re.compile(r"(\w+)\.from_pretrained\(([^()]*)\)")
SUBFOLDER = re.compile(r"""subfolder=["'](\w+)["']""")
DTYPE = re.compile(r"\b(?:torch_)?dtype=torch\.(\w+)")


@dataclass(frozen=True)
class _Example:
    """One component that the example of a pipeline loads by itself, in float32."""

    class_name: str
    subfolder: str | None


def float32_components(
    pipeline_classes: Iterable[str], components: Mapping[str, str]
) -> frozenset[str]:
    """The names of the components that the pipelines' examples load in float32.

    `components` are class names by component. Where a pipeline has no example with a dtype, its VAE
    follows the examples of the other pipelines that use the same class.
    """
    found: set[str] = set()
    for pipeline_class in pipeline_classes:
        loaded, has_dtype = _examples(pipeline_class)
        found |= {
            name
            for name, class_name in components.items()
            if any(
                each.subfolder == name if each.subfolder else each.class_name == class_name
                for each in loaded
            )
        }
        if not has_dtype and components.get("vae") in _usual_in_float32():
            found.add("vae")
    return frozenset(found)


@lru_cache(maxsize=64)
def _examples(pipeline_class: str) -> tuple[tuple[_Example, ...], bool]:
    """What the example of a pipeline loads in float32, and whether it has any dtype."""
    source = find_class(pipeline_class)
    text = source.module_text if source else ""
    return tuple(_loaded_in_float32(text)), bool(DTYPE.search(text))


def _loaded_in_float32(text: str) -> Iterable[_Example]:
    for class_name, arguments in LOAD.findall(PROMPT.sub("", text)):
        subfolder, dtype = SUBFOLDER.search(arguments), DTYPE.search(arguments)
        if dtype and dtype[1] == "float32" and not class_name.endswith("Pipeline"):
            yield _Example(class_name, subfolder[1] if subfolder else None)


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
