"""LoRAs: found by name, put on a loaded model for one run, and taken off again exactly.

Knows files, the Hub and diffusers' adapters. Does not know who asked. Light: torch comes in only
where a file is read.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from errors import ErrorCode, KinoraError
from pipelines.request import Adjustment, Lora
from settings import Settings

if TYPE_CHECKING:
    from pipelines.hub import Listing

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MAX_HEADER_BYTES = 100_000_000
LOW_NOISE = re.compile(r"low[-_ ]?noise", re.IGNORECASE)
HIGH_NOISE = re.compile(r"high[-_ ]?noise", re.IGNORECASE)
"""Models with two experts have LoRAs in pairs, told apart by their names."""

Report = Callable[[int, int], None]


class LoraFile(NamedTuple):
    """A LoRA on this machine, and how strongly it is to be applied."""

    path: Path
    weight: float
    name: str
    """What the person called it."""


# -- finding -------------------------------------------------------------------------------------


def offered(settings: Settings) -> list[str]:
    """The names of the files in the folder, without their ending."""
    folder = settings.loras_folder
    found = folder.rglob(f"*{SUFFIX}") if folder.is_dir() else ()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in found)


def check(loras: Sequence[Lora], settings: Settings) -> None:
    """Says before any work what cannot be found here. The Hub is not asked yet."""
    names = [lora.source for lora in loras]
    for name in names:
        if names.count(name) > 1:
            raise _refusal(f"The LoRA “{name}” is there twice. Name it once, with one weight.")
        if here(name, settings) is None:
            _check_hub_name(name, settings)


def find(lora: Lora, settings: Settings, report: Report | None = None) -> LoraFile:
    """The file, fetched from the Hub if it is not here yet."""
    path = here(lora.source, settings)
    if path is None:
        _check_hub_name(lora.source, settings)
        path = _from_hub(lora.source, settings, report)
    _check_file(path, lora.source)
    return LoraFile(path=path, weight=lora.weight, name=lora.source)


def here(name: str, settings: Settings) -> Path | None:
    """A file in the folder, and nowhere else: a link that leads out of it does not count."""
    folder = settings.loras_folder.resolve()
    _refuse_pickle(name)
    for candidate in (folder / name, folder / f"{name}{SUFFIX}"):
        path = candidate.resolve()
        if path.suffix == SUFFIX and path.is_file() and path.is_relative_to(folder):
            return path
    return None


def _check_hub_name(name: str, settings: Settings) -> None:
    names = offered(settings)
    there = f"There are: {', '.join(names)}." if names else "The LoRA folder is empty."
    if "/" not in name:
        raise _refusal(f"There is no LoRA called “{name}” here. {there}", ErrorCode.NOT_FOUND)
    if not settings.loras_from_hub:
        sentence = f"“{name}” is not here, and LoRAs are not fetched from the Hub here. {there}"
        raise _refusal(sentence, ErrorCode.NOT_FOUND)


def _from_hub(name: str, settings: Settings, report: Report | None) -> Path:
    from pipelines.hub import Hub

    hub, parts = Hub(settings), name.split("/")
    listing = hub.listing("/".join(parts[:2]), name=f"the LoRA {'/'.join(parts[:2])}")
    file = _file_in(listing, parts[2] if len(parts) == 3 else None, name)
    return hub.fetch(listing, [file], report) / file


def _file_in(listing: Listing, wanted: str | None, name: str) -> str:
    files = [file for file in listing.files if file.endswith(SUFFIX)]
    if wanted is not None:
        ending = wanted if wanted.endswith(SUFFIX) else f"{wanted}{SUFFIX}"
        files = [file for file in files if file.split("/")[-1] == ending]
    if len(files) == 1:
        return files[0]
    if len(files) > 1:
        choices = ", ".join(
            f"{'/'.join(name.split('/')[:2])}/{f.split('/')[-1]}" for f in files[:6]
        )
        raise _refusal(f"“{name}” holds several LoRAs. Name one of: {choices}.")
    for file in listing.files:
        _refuse_pickle(file)
    raise _refusal(f"There is no LoRA file in “{name}”.", ErrorCode.NOT_FOUND)


def _refuse_pickle(file: str) -> None:
    if file.endswith(PICKLES):
        raise _refusal(
            f"“{file}” is a pickle, which can run code when it is opened. "
            "Use a LoRA in safetensors format."
        )


def _check_file(path: Path, name: str) -> None:
    """By its header alone: is it a safetensors file, and are there adapter layers in it?"""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 2 <= size <= min(MAX_HEADER_BYTES, path.stat().st_size - 8):
                raise ValueError("no header")
            keys = [key for key in json.loads(file.read(size)) if key != "__metadata__"]
    except (OSError, ValueError) as error:
        raise _refusal(f"“{name}” is damaged, or no safetensors file.") from error
    if not any("lora" in key.lower() or "lokr" in key.lower() for key in keys):
        raise _refusal(f"“{name}” holds weights, but no LoRA.")


# -- applying ------------------------------------------------------------------------------------


@contextmanager
def applied(
    pipe: Any,
    loras: Sequence[LoraFile],
    on_change: Callable[[Adjustment], None] = lambda _change: None,
) -> Iterator[None]:
    """On the pipeline for the length of the block. Hold the model's `busy` lock."""
    if not loras:
        yield
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise _refusal("This model takes no LoRA.")
    try:
        names = [_load(pipe, lora, f"kinora_{n}") for n, lora in enumerate(loras)]
        pipe.set_adapters(names, [lora.weight for lora in loras])
        yield
    finally:
        pipe.unload_lora_weights()


def _load(pipe: Any, lora: LoraFile, adapter: str) -> str:
    """Raises a sentence where it was made for another model."""
    wrong = _refusal(
        f"The LoRA “{lora.name}” was made for another model: its layers do not fit this one."
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns of several adapters: they are meant
            for options in _experts(pipe, lora):
                pipe.load_lora_weights(
                    str(lora.path.parent),
                    weight_name=lora.path.name,
                    adapter_name=adapter,
                    local_files_only=True,
                    use_safetensors=True,
                    **options,
                )
    except (ValueError, RuntimeError, KeyError, AttributeError, IndexError, TypeError) as error:
        from pipelines.failures import is_out_of_memory

        if is_out_of_memory(error):
            raise
        raise wrong from error
    if not _layers_with(pipe, adapter):  # diffusers only logs that nothing fitted
        raise wrong
    return adapter


def _experts(pipe: Any, lora: LoraFile) -> list[dict[str, bool]]:
    """For models with two transformers: the one the name says, else both."""
    if getattr(pipe, "transformer_2", None) is None:
        return [{}]
    second = {"load_into_transformer_2": True}
    if LOW_NOISE.search(lora.path.name):
        return [second]
    return [{}] if HIGH_NOISE.search(lora.path.name) else [{}, second]


def _layers_with(pipe: Any, adapter: str) -> int:
    models = [getattr(pipe, name, None) for name in pipe._lora_loadable_modules]
    return sum(
        adapter in getattr(module, kind, ())
        for model in models
        if model is not None
        for module in model.modules()
        for kind in ("lora_A", "lokr_w1", "lokr_w1_a")
    )


def _refusal(sentence: str, code: ErrorCode = ErrorCode.INVALID_INPUT) -> KinoraError:
    return KinoraError(code, sentence, details={"field": "loras"})
