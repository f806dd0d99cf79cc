"""Pipeline classes that no diffusers has yet: real ones under names that no table can know.

Their modules lie beside diffusers' own, so that they are found both by import and in the sources.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from tests.zoo.any.build import Folder

MADE_UP = {
    "ZephyrPipeline": "WanPipeline",
    "ZephyrEditPipeline": "LucyEditPipeline",
    "ZephyrAnimatePipeline": "LTXImageToVideoPipeline",
    "ZephyrSoundPipeline": "LTX2Pipeline",
    "ZephyrControlPipeline": "CogVideoXFunControlPipeline",
}
"""New name -> the class whose source it has."""


def made_up_folders(known: dict[str, Folder]) -> dict[str, Folder]:
    by_class = {each.of: each for each in reversed(known.values())}
    return {
        (name := f"made-up-{new.removesuffix('Pipeline').lower()}"): replace(
            by_class[old], name=name, of=new
        )
        for new, old in MADE_UP.items()
    }


@contextmanager
def in_diffusers(folder: Path) -> Iterator[None]:
    """Those classes are exported by diffusers for so long; `folder` holds their sources."""
    import diffusers

    spec = find_spec("diffusers")
    assert spec is not None and spec.submodule_search_locations is not None
    names: list[str] = []
    try:
        for new, old in MADE_UP.items():
            names.append(_register(new, getattr(diffusers, old), folder))
        spec.submodule_search_locations.append(str(folder))
        yield
    finally:
        if str(folder) in spec.submodule_search_locations:
            spec.submodule_search_locations.remove(str(folder))
        for new, module in zip(MADE_UP, names, strict=False):
            if hasattr(diffusers, new):
                delattr(diffusers, new)
            sys.modules.pop(module, None)


def _register(new: str, of: type, folder: Path) -> str:
    import diffusers

    source = Path(inspect.getfile(of)).read_text(encoding="utf-8")
    source = re.sub(rf"\b{of.__name__}\b", new, source)
    place = folder / "pipelines" / new.lower() / f"pipeline_{new.lower()}.py"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(source, encoding="utf-8")
    package = of.__module__.rpartition(".")[0]  # its relative imports are those of the old one
    name = f"{package}.pipeline_{new.lower()}"
    spec = spec_from_file_location(name, place)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    setattr(diffusers, new, getattr(module, new))
    return name
