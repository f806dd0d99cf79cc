"""The components of a model: found, fetched, checked, and loaded one after the other.

Only safetensors, only classes of diffusers and transformers, never code that comes with a model.
Knows diffusers, cards and the Hub. Knows no memory and no other model.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch

from pipelines.engine.placement import dtype_of
from pipelines.engine.samplers import as_the_card_says
from pipelines.models.cards import ROOT, ModelCard
from pipelines.models.download import Blob
from pipelines.models.failures import Reason, failure, loading_error
from pipelines.models.hub import Hub, Listing, listing_of
from pipelines.models.loading import LoadProgress, OnProgress
from pipelines.models.repository import INDEX, Choice, Index, choose, choose_files, read_index
from pipelines.planning import Plan

log = logging.getLogger(__name__)

DOWNLOAD_SHARE = 0.8
"""Of the way to a ready model, where it must be downloaded first."""


OF_ONE_CLASS = ("transformer", "unet")
"""Components that must be of the class a pipeline is written for; encoders come in several."""

WORDS_ONLY = ("Qwen2VLProcessor",)
"""Processors that video pipelines (Kandinsky 5) give words alone; for pictures and clips, which
they never get, they would want torchvision."""


@dataclass(frozen=True)
class Component:
    """One part of a pipeline, on the disk."""

    name: str
    of: type[Any]
    folder: Path
    subfolder: str
    choice: Choice

    @property
    def is_model(self) -> bool:
        return issubclass(self.of, torch.nn.Module)

    @property
    def weights(self) -> list[Path]:
        paths = (self.folder / path for path in self.choice.paths)
        return [path for path in paths if path.suffix == ".safetensors"]


@dataclass
class Files:
    """A model whose files are all here."""

    index: Index
    folder: Path
    components: list[Component] = field(default_factory=list)
    commit: str = ""
    was_downloaded: bool = False


def find(
    card: ModelCard,
    pipeline_classes: list[type[Any]],
    variant: str | None,
    hub: Hub,
    report: OnProgress,
) -> Files:
    """Every file that the pipelines of a card need. What is wrong with a repository is said before
    anything large is downloaded."""
    # 1. What there is
    takes = functools.reduce(set.union, (_takes(each) for each in pipeline_classes), set[str]())
    main = _listing(card, hub)
    if INDEX not in main.files:
        raise failure(Reason.NOT_A_PIPELINE, card.name)
    index = read_index(hub.read(main, INDEX), card.name)
    parts = {name: _part(name, source, hub, card) for name, source in card.parts.items()}

    # 2. What is needed, and whether it is there
    choices = choose(index, main.sizes, card.name, variant, takes - set(parts))
    classes = {
        name: _class_of(library, class_name, card.name)
        for name, (library, class_name) in index.components.items()
        if name in choices
    }
    for name, choice in choices.items():
        if issubclass(classes[name], torch.nn.Module) and not choice.has_weights:
            raise failure(Reason.MISSING_COMPONENT, card.name, name.replace("_", " "))
    for each in pipeline_classes:
        _check_fit(each, index, classes, set(parts), card)

    # 3. All of it, with progress over everything together
    wanted = [(main, [INDEX, *(p for choice in choices.values() for p in choice.paths)])]
    wanted += [(part.listing, part.choice.paths) for part in parts.values()]
    told = _Bytes(report, [_bytes(*each) for each in wanted])
    folder, *part_folders = [
        hub.fetch(listing, paths, told.of(number)) for number, (listing, paths) in enumerate(wanted)
    ]
    components = [
        Component(name, classes[name], folder, name, choice) for name, choice in choices.items()
    ]
    for (name, part), its_folder in zip(parts.items(), part_folders, strict=True):
        of = part.of(its_folder)
        components.append(Component(name, of, its_folder, part.subfolder, part.choice))
    return Files(index, folder, components, main.commit, told.any)


def load(
    files: Files, plan: Plan, card: ModelCard, float32: tuple[str, ...], report: OnProgress
) -> dict[str, Any]:
    """Every component in memory, by name; those in `float32` in that precision at any rate."""
    start = DOWNLOAD_SHARE if files.was_downloaded else 0.0
    loaded: dict[str, Any] = {}
    for number, component in enumerate(files.components):
        done = start + (0.9 - start) * number / len(files.components)
        report(LoadProgress(component.name.replace("_", " "), done))
        try:
            dtype = torch.float32 if component.name in float32 else dtype_of(plan)
            loaded[component.name] = _load(component, dtype)
        except Exception as error:
            raise loading_error(error, card, component.name) from error
    if card.scheduler:
        loaded["scheduler"] = as_the_card_says(loaded["scheduler"], card.scheduler)
    return loaded


def load_part(
    name: str, source: str, module: str, card: ModelCard, plan: Plan, hub: Hub, report: OnProgress
) -> Any:
    """One component with a repository of its own, for a pipeline that is there already. Its class
    is of diffusers, or of that one of its pipeline modules."""
    part = _part(name, source, hub, card)
    told = _Bytes(report, [_bytes(part.listing, part.choice.paths)])
    folder = hub.fetch(part.listing, part.choice.paths, told.of(0))
    component = Component(name, part.of(folder, module), folder, part.subfolder, part.choice)
    report(LoadProgress(name.replace("_", " "), DOWNLOAD_SHARE))
    try:
        return _load(component, dtype_of(plan))
    except Exception as error:
        raise loading_error(error, card, name) from error


def pipeline(of: type[Any], components: dict[str, Any], config: dict[str, Any]) -> Any:
    """A pipeline over components that are there, with those settings that its class takes."""
    parameters = inspect.signature(of.__init__).parameters
    taken = {name: each for name, each in components.items() if name in parameters}
    kept = {
        name: value
        for name, value in config.items()
        if name in parameters and name not in taken and not isinstance(value, tuple)
    }
    for name, parameter in parameters.items():
        if name != "self" and parameter.default is parameter.empty and name not in {*taken, *kept}:
            taken[name] = None  # an optional component that this checkpoint goes without
    made = of(**taken, **kept)
    made.set_progress_bar_config(disable=True)
    return made


# -- inside --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """A component with a repository of its own: `owner/name[/folder][@revision]`."""

    listing: Listing
    subfolder: str
    choice: Choice
    owner: str

    def of(self, folder: Path, module: str = "diffusers") -> type[Any]:
        """Its class, as its configuration names it: of `module`, if diffusers itself has none."""
        import diffusers

        config = json.loads((folder / self.subfolder / "config.json").read_text(encoding="utf-8"))
        class_name, library = config.get("_class_name"), "diffusers"
        if class_name and not hasattr(diffusers, class_name):
            library = module
        if not class_name:
            class_name, library = next(iter(config.get("architectures") or [""])), "transformers"
        return _class_of(library, class_name, self.owner)


class _Bytes:
    """One progress over several repositories."""

    def __init__(self, report: OnProgress, totals: list[int]) -> None:
        self._report = report
        self._totals = totals
        self.any = False

    def of(self, number: int) -> Callable[[int, int], None]:
        """The report of one of them; those before it are done."""

        def told(done: int, _total: int) -> None:
            self.any = True
            here, total = sum(self._totals[:number]) + done, sum(self._totals)
            fraction = DOWNLOAD_SHARE * here / max(1, total)
            self._report(LoadProgress("downloading", fraction, here, total))

        return told


def _listing(card: ModelCard, hub: Hub) -> Listing:
    local = card.local_path
    if local is not None:
        return listing_of(local, card.name)
    if card.is_local:
        raise failure(Reason.NO_FILES, card.name)
    return hub.listing(card.repo, card.revision, card.name)


def _part(name: str, source: str, hub: Hub, card: ModelCard) -> _Part:
    where, _, revision = source.partition("@")
    folder = next((f for base in (ROOT, card.folder or ROOT) if _is_part(f := base / where)), None)
    if folder is not None:
        listing, subfolder = listing_of(folder, card.name), ""
    elif where.startswith(("/", ".")):
        raise failure(Reason.MISSING_COMPONENT, card.name, name.replace("_", " "))
    else:
        owner, repo, *rest = f"{where}/".split("/")
        subfolder = "/".join(rest).strip("/")
        listing = hub.listing(f"{owner}/{repo}", revision or None)
    choice = choose_files(subfolder, "diffusers", listing.sizes, card.name, card.variant)
    if not choice.has_weights:
        raise failure(Reason.MISSING_COMPONENT, card.name, name.replace("_", " "))
    return _Part(listing, subfolder, choice, card.name)


def _is_part(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _bytes(listing: Listing, paths: list[str]) -> int:
    return sum(blob.size for path in paths if (blob := listing.files.get(path, Blob(0, ""))))


def _takes(pipeline_class: type[Any]) -> set[str]:
    return set(inspect.signature(pipeline_class.__init__).parameters) - {"self"}


def _class_of(library: str, class_name: str, name: str) -> type[Any]:
    """Of diffusers, of transformers, or of one of diffusers' own pipeline modules."""
    from diffusers import pipelines as modules

    holder: Any = getattr(modules, library, None)
    if library in ("diffusers", "transformers"):
        holder = importlib.import_module(library)
    if library == "transformers":  # what older repositories call by names that are gone
        from diffusers.pipelines.pipeline_loading_utils import _maybe_remap_transformers_class
        from transformers.utils import is_torchvision_available

        class_name = _maybe_remap_transformers_class(class_name) or class_name
        if class_name in WORDS_ONLY and not is_torchvision_available():
            class_name = "AutoTokenizer"
    found = getattr(holder, class_name, None) if class_name else None
    if not isinstance(found, type) or not hasattr(found, "from_pretrained"):
        raise failure(Reason.UNKNOWN_CLASS, name, class_name or "class")
    return found


def _check_fit(
    pipeline_class: type[Any],
    index: Index,
    classes: dict[str, type[Any]],
    parts: set[str],
    card: ModelCard,
) -> None:
    """The repository has what the pipeline is made of, and nothing of another kind."""
    optional = set(pipeline_class._optional_components)
    parameters = inspect.signature(pipeline_class.__init__, eval_str=True).parameters
    for name, parameter in parameters.items():
        expected = tuple(
            each
            for each in (get_args(parameter.annotation) or (parameter.annotation,))
            if isinstance(each, type) and issubclass(each, torch.nn.Module)
        )
        given = classes.get(name)
        if given and expected and name in OF_ONE_CLASS and not issubclass(given, expected):
            raise failure(Reason.WRONG_KIND, card.name, index.class_name)
        is_needed = parameter.default is parameter.empty and name not in optional | parts
        if expected and not given and is_needed:
            raise failure(Reason.MISSING_COMPONENT, card.name, name.replace("_", " "))


def _load(component: Component, dtype: torch.dtype) -> Any:
    options: dict[str, Any] = {"local_files_only": True}
    if component.is_model:
        options |= {"dtype": dtype, "use_safetensors": True}
        if component.choice.variant:
            options["variant"] = component.choice.variant
    if component.subfolder:
        options["subfolder"] = component.subfolder
    loaded: Any = component.of
    loaded = loaded.from_pretrained(str(component.folder), **options)
    return loaded.eval() if isinstance(loaded, torch.nn.Module) else loaded
