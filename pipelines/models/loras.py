"""LoRAs: found by name, put on a loaded model for one run, and taken off again exactly.

Knows files, the Hub and diffusers' adapters. Does not know who asked. Light: torch comes in only
where a file is read.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from errors import ErrorCode, KinoraError
from pipelines.engine.lora_adapters import _experts
from pipelines.models.lora_keys import another_kind, is_lora
from pipelines.request import Adjustment, Lora, LoraSource
from settings import Settings

if TYPE_CHECKING:
    from pipelines.engine.lora_layers import Model
    from pipelines.models.hub import Listing

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){1,2}")
NAME: TypeAdapter[str] = TypeAdapter(LoraSource)
MAX_HEADER_BYTES = 100_000_000

FEW = 0.5
"""If a smaller share of a file's layers fits, it was made for another model."""

Report = Callable[[int, int], None]


class LoraFile(NamedTuple):
    """A LoRA on this machine, and how strongly it is to be applied."""

    path: Path
    weight: float
    name: str
    """What the person called it."""


# -- finding -------------------------------------------------------------------------------------


def offered(settings: Settings) -> list[str]:
    """The names of the files in the folder, without their ending: all that `here` finds, as the
    folder is now."""
    return sorted(_shelf(settings))


def check(loras: Sequence[Lora], settings: Settings) -> None:
    """Says before any work what cannot be found or used here. The Hub is not asked yet."""
    known: dict[Path | str, str] = {}
    for lora in loras:
        path = here(lora.source, settings)
        if path is None:
            _check_hub_name(lora.source, settings)
        else:
            _check_file(path, lora.source)
        before = known.setdefault(path or lora.source, lora.source)
        if before != lora.source or [each.source for each in loras].count(lora.source) > 1:
            raise _refusal(
                f"The LoRA “{lora.source}” is there twice. Name it once, with one weight."
            )


def find(lora: Lora, settings: Settings, report: Report | None = None) -> LoraFile:
    """The file, fetched from the Hub if it is not here yet."""
    path = here(lora.source, settings)
    if path is None:
        _check_hub_name(lora.source, settings)
        path = _from_hub(lora.source, settings, report)
    _check_file(path, lora.source)
    return LoraFile(path=path, weight=lora.weight, name=lora.source)


def here(name: str, settings: Settings) -> Path | None:
    """A file in the folder, and nowhere else: a link that leads out of it does not count. Names
    may be typed with the ending or without, and in either form of accented letters."""
    shelf = _shelf(settings)
    if name not in shelf:
        alike = {_alike(each): each for each in shelf}
        name = alike.get(_alike(name)) or alike.get(_alike(_without_ending(name))) or name
    found = shelf.get(name)
    if found is None:
        _refuse_pickle(name)
    return found


def changed_at(loras: Sequence[Lora], settings: Settings) -> list[tuple[str, int, int]]:
    """Which files the names mean today: another file of the same name makes another clip."""
    files = [(lora.source, here(lora.source, settings)) for lora in loras]
    stats = [(name, path.stat()) for name, path in files if path is not None]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _shelf(settings: Settings) -> dict[str, Path]:
    """Every file that can be asked for, by its name."""
    folder = settings.loras_folder.resolve()
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if file.suffix.lower() != SUFFIX:
            continue
        name = _without_ending(file.relative_to(folder).as_posix())
        path = file.resolve()
        if _is_a_name(name) and path.is_file() and path.is_relative_to(folder):
            found.setdefault(name, path)
    return found


def _without_ending(name: str) -> str:
    return name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) else name


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _is_a_name(name: str) -> bool:
    """Hidden files, and names that are no text, cannot be asked for."""
    try:
        NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def _check_hub_name(name: str, settings: Settings) -> None:
    names = offered(settings)
    there = f"There are: {', '.join(names)}." if names else "The LoRA folder is empty."
    if not HUB_ID.fullmatch(name):
        raise _refusal(f"There is no LoRA called “{name}” here. {there}", ErrorCode.NOT_FOUND)
    if not settings.loras_from_hub:
        sentence = f"“{name}” is not here, and LoRAs are not fetched from the Hub here. {there}"
        raise _refusal(sentence, ErrorCode.NOT_FOUND)


def _from_hub(name: str, settings: Settings, report: Report | None) -> Path:
    from pipelines.models.hub import Hub

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
    """By its header alone: is it a whole safetensors file, and is there a plain LoRA in it?"""
    try:
        size = path.stat().st_size
        if size == 0:
            raise _refusal(f"“{name}” is an empty file. Fetch it again.")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise ValueError("no header")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        ends = max((each["data_offsets"][1] for each in header.values()), default=0)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise _refusal(f"“{name}” is damaged, or no safetensors file.") from error
    if size < 8 + length + ends:
        raise _refusal(f"“{name}” is damaged: its end is missing. Fetch it again.")
    kind = another_kind(header)
    if kind is not None:
        raise _refusal(f"“{name}” is {kind}, which is not supported here. Use a plain LoRA.")
    if not is_lora(header):
        raise _refusal(f"“{name}” holds weights, but no LoRA.")


# -- applying ------------------------------------------------------------------------------------


def _refuse_same_file(loras: Sequence[LoraFile]) -> None:
    """Two names may mean one file, which would be applied twice."""
    for n, lora in enumerate(loras):
        for other in loras[:n]:
            if lora.path.resolve() == other.path.resolve():
                raise _refusal(f"“{other.name}” and “{lora.name}” are the same LoRA.")


def _fitting(
    model: Model, lora: LoraFile, on_change: Callable[[Adjustment], None]
) -> dict[str, dict[str, Any]]:
    """The layers of each component in peft's naming."""
    from safetensors import SafetensorError

    from pipelines.engine.lora_layers import match

    states: dict[str, dict[str, Any]] = {}
    for into_second in _experts(model.pipe, lora):
        try:
            found = match(model, lora.path, into_second=into_second)
        except (SafetensorError, OSError) as error:
            raise _refusal(f"“{lora.name}” is damaged, or no safetensors file.") from error
        if found.fitting < FEW * found.total:
            few = f"only {found.fitting}" if found.fitting else "none"
            raise _refusal(
                f"The LoRA “{lora.name}” was made for another model: {few} of {found.total} "
                "layers fit this one."
            )
        if found.fitting < found.total:
            left = found.total - found.fitting
            on_change(
                Adjustment(
                    field="loras",
                    asked=lora.name,
                    used=f"{found.fitting} of {found.total} layers",
                    sentence=f"Of the LoRA “{lora.name}”, {found.fitting} of {found.total} layers "
                    f"fit this model; the other {left} {'is' if left == 1 else 'are'} not used.",
                )
            )
        for component, state in found.states.items():
            states.setdefault(component, {}).update(state)
        if "transformer_2" in found.states:
            break  # the file itself says which layers are whose
    return states


def _attach(pipe: Any, states: dict[str, dict[str, Any]], lora: LoraFile, adapter: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns of several adapters: they are meant
            for name, state in states.items():
                if name == "text_encoder":
                    prefixed = {f"{name}.{key}": value for key, value in state.items()}
                    pipe.load_lora_into_text_encoder(
                        prefixed,
                        network_alphas=None,
                        text_encoder=pipe.text_encoder,
                        adapter_name=adapter,
                        _pipeline=pipe,
                    )
                else:
                    getattr(pipe, name).load_lora_adapter(
                        state,
                        prefix=None,
                        adapter_name=adapter,
                        low_cpu_mem_usage=True,
                        _pipeline=pipe,
                    )
    except (ValueError, RuntimeError, KeyError, AttributeError, IndexError, TypeError) as error:
        from pipelines.models.failures import is_out_of_memory

        if is_out_of_memory(error):
            raise
        sentence = f"The LoRA “{lora.name}” fits this model, but cannot be applied to it."
        raise _refusal(sentence) from error
    return adapter


def _refusal(sentence: str, code: ErrorCode = ErrorCode.INVALID_INPUT) -> KinoraError:
    return KinoraError(code, sentence, details={"field": "loras"})
