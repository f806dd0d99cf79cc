"""Chooses the files of a diffusers repository that are needed, before any is downloaded.

From model_index.json and the names and sizes of the files alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.models.failures import Reason, failure

INDEX = "model_index.json"
SMALL = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".vocab", ".spm")
LARGEST_SMALL = 100_000_000
WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)(?P<marks>[.-].+)?\.(?P<kind>safetensors|bin)"
)
SHARD = re.compile(r"-(?P<number>\d{5})-of-(?P<total>\d{5})")
WEIGHTS_INDEX = re.compile(r".+\.(safetensors|bin)(\..+)?\.json")
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
PREFERRED = ("bf16", "fp16")
LIBRARIES = ("diffusers", "transformers")


@dataclass(frozen=True)
class Index:
    """model_index.json: the pipeline's class, its components, and its configuration."""

    class_name: str
    components: dict[str, tuple[str, str]]
    """name -> (library, class), without the components that are null in the index"""
    config: dict[str, Any] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    """Components that are null in the index: the pipeline was saved without them."""


@dataclass(frozen=True)
class Choice:
    """The needed files of one component, and the variant to load."""

    paths: list[str]
    variant: str | None = None
    has_weights: bool = False


def read_index(text: bytes | str, name: str) -> Index:
    """Raises KinoraError(MODEL_LOAD) for a damaged index, KinoraError(MODEL_REFUSED) for one that
    names code in the repository."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise failure(Reason.DAMAGED_INDEX, name) from error
    if not isinstance(data, dict) or not data.get("_class_name"):
        raise failure(Reason.DAMAGED_INDEX, name)
    if not isinstance(data["_class_name"], str):
        raise failure(Reason.REMOTE_CODE, name, "pipeline")
    components: dict[str, tuple[str, str]] = {}
    config: dict[str, Any] = {}
    for key, value in data.items():
        # a component is [library, class]; a longer path or a null library is remote code
        is_pair = isinstance(value, list) and len(value) == 2
        if is_pair and isinstance(value[0], str) and isinstance(value[1], str):
            if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
                raise failure(Reason.DAMAGED_INDEX, name)
            components[key] = (value[0], value[1])
        elif is_pair and isinstance(value[0], list | str) and value[1] is not None:
            raise failure(Reason.REMOTE_CODE, name, key)
        elif not key.startswith("_") and not is_pair:
            config[key] = value
    left_out = frozenset(key for key, value in data.items() if value == [None, None])
    return Index(data["_class_name"], components, config, left_out)


def check_libraries(index: Index, files: Iterable[str], name: str) -> None:
    """Raises KinoraError(MODEL_REFUSED) unless every component is of diffusers or transformers."""
    known = {*LIBRARIES, *_pipeline_modules()}
    for component, (library, _) in index.components.items():
        if library not in known:
            if f"{component}/{library.split('.')[0]}.py" in set(files):
                raise failure(Reason.REMOTE_CODE, name, component.replace("_", " "))
            raise failure(Reason.UNKNOWN_LIBRARY, name, library)


def choose_components(
    index: Index,
    sizes: Mapping[str, int],
    name: str,
    variant: str | None = None,
    takes: Collection[str] | None = None,
) -> dict[str, Choice]:
    """The files of each component in `takes`, the pipeline's parameters; None: of all."""
    check_libraries(index, sizes, name)
    return {
        component: choose_files(component, library, sizes, name, variant)
        for component, (library, _) in index.components.items()
        if takes is None or component in takes
    }


def choose_files(
    folder: str, library: str, sizes: Mapping[str, int], name: str, variant: str | None = None
) -> Choice:
    """The files of one component: the small ones, and one variant of the weights as safetensors.

    `folder` is its path in the repository, empty for the root. Raises KinoraError where files are
    missing or only pickles are offered.
    """
    what = folder.replace("_", " ") or "model"
    start = f"{folder}/" if folder else ""
    names = {p[len(start) :] for p in sizes if p.startswith(start) and "/" not in p[len(start) :]}
    if not names:
        raise failure(Reason.MISSING_COMPONENT, name, what)
    small = {
        n
        for n in names
        if n.endswith(SMALL)
        and not WEIGHTS_INDEX.fullmatch(n)
        and sizes[start + n] < LARGEST_SMALL
        and not (not folder and n == INDEX)
    }

    # 1. The weights by variant; the requested one, else the plain one, else any
    by_variant: dict[str, set[str]] = {}
    for n in names:
        found = WEIGHTS.fullmatch(n)
        if found and found["kind"] == "safetensors":
            marks = SHARD.sub("", found["marks"] or "").removeprefix(".")
            by_variant.setdefault(marks, set()).add(n)
    if not by_variant:
        if any(n.endswith(PICKLES) and WEIGHTS.fullmatch(n) for n in names):
            raise failure(Reason.PICKLE_ONLY, name, what)
        return Choice(sorted(start + n for n in small))
    preferred = [variant or "", "", *PREFERRED, *sorted(by_variant)]
    chosen = next(v for v in preferred if v in by_variant)
    weights = by_variant[chosen]

    # 2. One file or several shards, whichever the library would load: transformers prefers the one
    # file, diffusers the index
    shards = {n for n in weights if SHARD.search(n)}
    indexes = {
        n
        for n in names
        if WEIGHTS_INDEX.fullmatch(n) and ".safetensors" in n and _variant_of_index(n) == chosen
    }
    if weights - shards and (library == "transformers" or not indexes):
        weights, indexes = weights - shards, set[str]()
    elif shards:
        weights = shards
        if not indexes:
            raise failure(Reason.MISSING_SHARD, name, what)
        _check_shards(shards, name, what)
    elif not weights:
        raise failure(Reason.MISSING_SHARD, name, what)
    paths = sorted(start + n for n in small | weights | indexes)
    return Choice(paths, chosen or None, has_weights=True)


def total_bytes(choices: Iterable[Choice], sizes: Mapping[str, int]) -> int:
    return sum(sizes[path] for choice in choices for path in choice.paths)


def _check_shards(shards: set[str], name: str, what: str) -> None:
    """Raises KinoraError(MODEL_LOAD) where one of `-00001-of-00003` and so on is missing."""
    numbers: dict[int, set[int]] = {}
    for shard in shards:
        if found := SHARD.search(shard):
            numbers.setdefault(int(found["total"]), set()).add(int(found["number"]))
    if not any(set(range(1, total + 1)) <= there for total, there in numbers.items()):
        raise failure(Reason.MISSING_SHARD, name, what)


def _variant_of_index(name: str) -> str:
    """Both places of the variant: `model.safetensors.index.fp16.json` and
    `model.fp16.safetensors.index.json`."""
    words = name.removesuffix(".json").split(".")[1:]
    return ".".join(w for w in words if w not in ("safetensors", "index"))


def _pipeline_modules() -> set[str]:
    """The folders of diffusers.pipelines, whose classes a model_index.json may name."""
    spec = find_spec("diffusers")
    if spec is None or not spec.submodule_search_locations:
        return set()
    folder = Path(spec.submodule_search_locations[0]) / "pipelines"
    return {path.stem for path in folder.iterdir() if not path.name.startswith("_")}
