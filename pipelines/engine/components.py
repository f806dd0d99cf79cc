"""Finds, downloads, checks and loads the components of a model.

Only safetensors and classes of diffusers and transformers; never code from a repository.
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

from pipelines.engine.placement import torch_dtype_for
from pipelines.engine.samplers import apply_card_scheduler
from pipelines.engine.single_file import SUFFIX, annotated_class, load_file_as
from pipelines.models.cards import ROOT, ModelCard
from pipelines.models.download import Blob
from pipelines.models.failures import Reason, failure, loading_error
from pipelines.models.float32 import float32_components
from pipelines.models.hub import Hub, Listing, list_folder
from pipelines.models.loading import LoadProgress, OnProgress
from pipelines.models.repository import (
    INDEX,
    Choice,
    Index,
    choose_components,
    choose_files,
    read_index,
)
from pipelines.planning import Plan

log = logging.getLogger(__name__)

CONFIGS = ("config.json", "preprocessor_config.json")
"""The configuration of a component with a repository of its own; the second is that of an image
processor, which has no weights."""

DOWNLOAD_SHARE = 0.8
"""The download's share of the progress of loading a model."""


OF_ONE_CLASS = ("transformer", "unet")
"""Components that must be of the class a pipeline is written for; encoders come in several."""

TEXT_AND_IMAGES = "VLProcessor"
"""How the names of processors end that pipelines use as tokenizers (Kandinsky). Their image half
needs torchvision, which is not required, so the tokenizer alone is loaded without it."""


@dataclass(frozen=True)
class Component:
    """One component of a pipeline on the disk."""

    name: str
    component_class: type[Any]
    folder: Path
    subfolder: str
    choice: Choice

    @property
    def is_model(self) -> bool:
        return issubclass(self.component_class, torch.nn.Module)

    @property
    def weights(self) -> list[Path]:
        paths = (self.folder / path for path in self.choice.paths)
        return [path for path in paths if path.suffix == ".safetensors"]


@dataclass
class ModelFiles:
    """A model whose files are all on this machine."""

    index: Index
    folder: Path
    components: list[Component] = field(default_factory=list)
    commit: str = ""
    was_downloaded: bool = False
    float32: frozenset[str] = frozenset()
    """Components that the classes of the pipelines load in float32."""


def find_files(
    card: ModelCard,
    pipeline_classes: list[type[Any]],
    variant: str | None,
    hub: Hub,
    report: OnProgress,
) -> ModelFiles:
    """Downloads every file that the pipelines of a card need.

    Raises KinoraError for an unusable repository before anything large is downloaded. What `report`
    raises stops the download.
    """
    # 1. List the repositories and read the index
    takes = functools.reduce(
        set.union, (_constructor_parameters(each) for each in pipeline_classes), set[str]()
    )
    main = _model_listing(card, hub)
    if INDEX not in main.files:
        raise failure(Reason.NOT_A_PIPELINE, card.name)
    index = read_index(hub.read(main, INDEX), card.name)
    parts = {name: _find_part(name, source, hub, card) for name, source in card.parts.items()}

    # 2. Choose the files and check that they fit the pipelines
    choices = choose_components(index, main.sizes, card.name, variant, takes - set(parts))
    classes = {
        name: _import_class(library, class_name, card.name)
        for name, (library, class_name) in index.components.items()
        if name in choices
    }
    for name, choice in choices.items():
        if issubclass(classes[name], torch.nn.Module) and not choice.has_weights:
            raise failure(Reason.MISSING_COMPONENT, card.name, name.replace("_", " "))
    for each in pipeline_classes:
        _check_components(each, index, classes, set(parts), card)

    # 3. Download, with one progress over all repositories
    downloads = [(main, [INDEX, *(p for choice in choices.values() for p in choice.paths)])]
    downloads += [(part.listing, part.choice.paths) for part in parts.values()]
    progress = _DownloadProgress(report, [_total_bytes(*each) for each in downloads])
    folder, *part_folders = [
        hub.fetch(listing, paths, progress.reporter(number))
        for number, (listing, paths) in enumerate(downloads)
    ]
    components = [
        Component(name, classes[name], folder, name, choice) for name, choice in choices.items()
    ]
    for (name, part), its_folder in zip(parts.items(), part_folders, strict=True):
        if part.subfolder.endswith(SUFFIX):
            of = annotated_class(pipeline_classes, name)
            if of is None:
                raise failure(Reason.WRONG_KIND, card.name, name.replace("_", " "))
        else:
            expected = _expected_class(pipeline_classes[0], name)
            of = part.component_class(its_folder, expected=expected)
        components.append(Component(name, of, its_folder, part.subfolder, part.choice))
    float32 = float32_components(
        [each.__name__ for each in pipeline_classes],
        {each.name: each.component_class.__name__ for each in components},
    )
    return ModelFiles(index, folder, components, main.commit, progress.has_begun, float32)


def load_components(
    files: ModelFiles, plan: Plan, card: ModelCard, float32: tuple[str, ...], report: OnProgress
) -> dict[str, Any]:
    """Loads every component, by name, in the plan's dtype; those in `float32`, and those of which
    the pipelines' classes say so, in float32.

    Raises KinoraError(MODEL_LOAD or OUT_OF_MEMORY).
    """
    start = DOWNLOAD_SHARE if files.was_downloaded else 0.0
    loaded: dict[str, Any] = {}
    for number, component in enumerate(files.components):
        done = start + (0.9 - start) * number / len(files.components)
        report(LoadProgress(component.name.replace("_", " "), done))
        try:
            stays = component.name in float32 or component.name in files.float32
            dtype = torch.float32 if stays else torch_dtype_for(plan)
            loaded[component.name] = _load_component(component, dtype)
        except Exception as error:
            raise loading_error(error, card, component.name) from error
    if card.scheduler:
        loaded["scheduler"] = apply_card_scheduler(loaded["scheduler"], card.scheduler)
    return loaded


def load_extra_component(
    name: str, source: str, module: str, card: ModelCard, plan: Plan, hub: Hub, report: OnProgress
) -> Any:
    """Downloads and loads one component with a repository of its own, for a loaded pipeline.

    Its class is looked up in diffusers, then in `diffusers.pipelines.<module>`.
    """
    part = _find_part(name, source, hub, card)
    progress = _DownloadProgress(report, [_total_bytes(part.listing, part.choice.paths)])
    folder = hub.fetch(part.listing, part.choice.paths, progress.reporter(0))
    component = Component(
        name, part.component_class(folder, module), folder, part.subfolder, part.choice
    )
    report(LoadProgress(name.replace("_", " "), DOWNLOAD_SHARE))
    try:
        return _load_component(component, torch_dtype_for(plan))
    except Exception as error:
        raise loading_error(error, card, name) from error


def build_pipeline(of: type[Any], components: dict[str, Any], config: dict[str, Any]) -> Any:
    """A pipeline of class `of` over loaded components, with the settings that its class accepts."""
    parameters = inspect.signature(of.__init__).parameters
    taken = {name: each for name, each in components.items() if name in parameters}
    kept = {
        name: value
        for name, value in config.items()
        if name in parameters and name not in taken and not isinstance(value, tuple)
    }
    for name, parameter in parameters.items():
        if name != "self" and parameter.default is parameter.empty and name not in {*taken, *kept}:
            taken[name] = None  # an optional component that this checkpoint does not have
    made = of(**taken, **kept)
    made.set_progress_bar_config(disable=True)
    return made


# -- inside --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _OwnRepository:
    """A component with a repository of its own: `owner/name[/folder][@revision]`, or one file of
    it, whose path is then its `subfolder`."""

    listing: Listing
    subfolder: str
    choice: Choice
    owner: str

    def component_class(
        self, folder: Path, module: str = "diffusers", expected: type[Any] | None = None
    ) -> type[Any]:
        """The class that its configuration names: of diffusers, `module` or transformers.

        `expected` is used where diffusers has that class under another name, such as FramePack's
        transformer, which was saved by its author's own code.
        """
        import diffusers

        where = folder / self.subfolder
        found = next(where / each for each in CONFIGS if (where / each).is_file())
        config = json.loads(found.read_text(encoding="utf-8"))
        if found.name != CONFIGS[0]:
            return _import_class("transformers", config.get("image_processor_type"), self.owner)
        class_name, library = config.get("_class_name"), "diffusers"
        if class_name and expected is not None:
            named = getattr(diffusers, class_name, None)
            fits = isinstance(named, type) and issubclass(named, expected)
            return named if fits and named is not None else expected
        if class_name and not hasattr(diffusers, class_name):
            library = module
        if not class_name:
            class_name, library = next(iter(config.get("architectures") or [""])), "transformers"
        return _import_class(library, class_name, self.owner)


class _DownloadProgress:
    """Adds up the progress of several repositories, downloaded one after the other."""

    def __init__(self, report: OnProgress, totals: list[int]) -> None:
        self._report = report
        self._totals = totals
        self.has_begun = False

    def reporter(self, number: int) -> Callable[[int, int], None]:
        """The report of one repository; those before it are complete."""

        def report_bytes(done: int, _total: int) -> None:
            self.has_begun = True
            here, total = sum(self._totals[:number]) + done, sum(self._totals)
            fraction = DOWNLOAD_SHARE * here / max(1, total)
            self._report(LoadProgress("downloading", fraction, here, total))

        return report_bytes


def _model_listing(card: ModelCard, hub: Hub) -> Listing:
    local = card.local_path
    if local is not None:
        return list_folder(local, card.name)
    if card.is_local:
        raise failure(Reason.NO_FILES, card.name)
    return hub.listing(card.repo, card.revision, card.name)


def _find_part(name: str, source: str, hub: Hub, card: ModelCard) -> _OwnRepository:
    where, _, revision = source.partition("@")
    if where.endswith(SUFFIX):
        return _find_single_file(name, where, revision, hub, card)
    folder = next(
        (f for base in (ROOT, card.folder or ROOT) if _has_config(f := base / where)), None
    )
    if folder is not None:
        listing, subfolder = list_folder(folder, card.name), ""
    elif where.startswith(("/", ".")):
        raise failure(Reason.MISSING_COMPONENT, card.name, name.replace("_", " "))
    else:
        owner, repo, *rest = f"{where}/".split("/")
        subfolder = "/".join(rest).strip("/")
        listing = hub.listing(f"{owner}/{repo}", revision or None)
    choice = choose_files(subfolder, "diffusers", listing.sizes, card.name, card.variant)
    files = {Path(path).name for path in choice.paths}
    if not choice.has_weights and (CONFIGS[0] in files or not files & {*CONFIGS}):
        raise failure(Reason.MISSING_COMPONENT, card.name, name.replace("_", " "))
    return _OwnRepository(listing, subfolder, choice, card.name)


def _find_single_file(
    name: str, where: str, revision: str, hub: Hub, card: ModelCard
) -> _OwnRepository:
    file = next((f for base in (ROOT, card.folder or ROOT) if (f := base / where).is_file()), None)
    if file is not None:
        listing, path = list_folder(file.parent, card.name), file.name
    else:
        owner, repo, *rest = where.split("/")
        listing, path = hub.listing(f"{owner}/{repo}", revision or None), "/".join(rest)
    if path not in listing.files:
        raise failure(Reason.MISSING_COMPONENT, card.name, name.replace("_", " "))
    config = f"{path.rpartition('/')[0]}/config.json".lstrip("/")
    paths = [path, *({config} & set(listing.files))]
    return _OwnRepository(listing, path, Choice(paths, has_weights=True), card.name)


def _has_config(folder: Path) -> bool:
    return any((folder / each).is_file() for each in CONFIGS)


def _total_bytes(listing: Listing, paths: list[str]) -> int:
    return sum(blob.size for path in paths if (blob := listing.files.get(path, Blob(0, ""))))


def _constructor_parameters(pipeline_class: type[Any]) -> set[str]:
    return set(inspect.signature(pipeline_class.__init__).parameters) - {"self"}


def _import_class(library: str, class_name: str, name: str) -> type[Any]:
    """The class, from diffusers, transformers or a module of `diffusers.pipelines`.

    Raises KinoraError(MODEL_REFUSED) for a name that is no loadable class.
    """
    from diffusers import pipelines as modules

    holder: Any = getattr(modules, library, None)
    if library in ("diffusers", "transformers"):
        holder = importlib.import_module(library)
    if library == "transformers":
        # old repositories use class names that transformers has since renamed. A private function:
        # can go when diffusers offers the mapping publicly
        from diffusers.pipelines.pipeline_loading_utils import _maybe_remap_transformers_class
        from transformers.utils import is_torchvision_available

        class_name = _maybe_remap_transformers_class(class_name) or class_name
        if class_name.endswith(TEXT_AND_IMAGES) and not is_torchvision_available():
            class_name = "AutoTokenizer"
    found = getattr(holder, class_name, None) if class_name else None
    if not isinstance(found, type) or not hasattr(found, "from_pretrained"):
        raise failure(Reason.UNKNOWN_CLASS, name, class_name or "class")
    return found


def _expected_class(pipeline_class: type[Any], name: str) -> type[Any] | None:
    """The one class of a denoiser that the pipeline is written for; None for other components."""
    parameter = inspect.signature(pipeline_class.__init__, eval_str=True).parameters.get(name)
    found = parameter.annotation if parameter and name in OF_ONE_CLASS else None
    return found if isinstance(found, type) and issubclass(found, torch.nn.Module) else None


def _check_components(
    pipeline_class: type[Any],
    index: Index,
    classes: dict[str, type[Any]],
    parts: set[str],
    card: ModelCard,
) -> None:
    """Raises KinoraError where a component is missing, or of another class than the pipeline
    takes."""
    optional = set(pipeline_class._optional_components)
    if pipeline_class.__name__ == index.class_name:
        optional |= index.left_out
    # diffusers' modules postpone annotations, so they are strings without `eval_str`
    parameters = inspect.signature(pipeline_class.__init__, eval_str=True).parameters
    for name, parameter in parameters.items():
        expected = tuple(
            each
            for each in (get_args(parameter.annotation) or (parameter.annotation,))
            if isinstance(each, type) and issubclass(each, torch.nn.Module)
        )
        found = classes.get(name)
        if found and expected and name in OF_ONE_CLASS and not issubclass(found, expected):
            raise failure(Reason.WRONG_KIND, card.name, index.class_name)
        is_needed = parameter.default is parameter.empty and name not in optional | parts
        if expected and not found and is_needed:
            raise failure(Reason.MISSING_COMPONENT, card.name, name.replace("_", " "))


def _load_component(component: Component, dtype: torch.dtype) -> Any:
    if component.subfolder.endswith(SUFFIX):
        return load_file_as(
            component.component_class, component.folder / component.subfolder, dtype
        )
    options: dict[str, Any] = {"local_files_only": True}
    if component.is_model:
        options |= {"dtype": dtype, "use_safetensors": True}
        if component.choice.variant:
            options["variant"] = component.choice.variant
    if component.subfolder:
        options["subfolder"] = component.subfolder
    # local_files_only: everything was chosen and downloaded before, so nothing else may be fetched
    loaded: Any = component.component_class
    loaded = loaded.from_pretrained(str(component.folder), **options)
    return loaded.eval() if isinstance(loaded, torch.nn.Module) else loaded
