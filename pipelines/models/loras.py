"""Finds LoRA files by name, in a folder or on the Hub, and validates them by their headers."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import TypeAdapter, ValidationError

from errors import ErrorCode, KinoraError
from pipelines.models.lora_keys import is_lora, unsupported_kind
from pipelines.models.safetensors_header import read_header
from pipelines.request import Lora, LoraSource
from settings import Settings

if TYPE_CHECKING:
    from pipelines.models.download import Report
    from pipelines.models.hub import Listing

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){1,2}")
NAME: TypeAdapter[str] = TypeAdapter(LoraSource)


class LoraFile(NamedTuple):
    """A LoRA on this machine and its weight."""

    path: Path
    weight: float
    name: str
    """The name in the request."""


# -- finding -------------------------------------------------------------------------------------


def list_names(settings: Settings) -> list[str]:
    """The names of all LoRAs in the folder, as it is now, without the suffix."""
    return sorted(_scan_folder(settings))


def check_loras(loras: Sequence[Lora], settings: Settings) -> None:
    """Raises KinoraError(INVALID_INPUT or NOT_FOUND) for LoRAs that cannot be used. Does not ask
    the Hub: a Hub id is checked when it is downloaded."""
    known: dict[Path | str, str] = {}
    for lora in loras:
        path = find_local(lora.source, settings)
        if path is None:
            _check_hub_name(lora.source, settings)
        else:
            _check_file(path, lora.source)
        before = known.setdefault(path or lora.source, lora.source)
        if before != lora.source or [each.source for each in loras].count(lora.source) > 1:
            raise lora_refusal(
                f"The LoRA “{lora.source}” is there twice. Name it once, with one weight."
            )


def find_or_fetch(lora: Lora, settings: Settings, report: Report | None = None) -> LoraFile:
    """The file, downloaded from the Hub if it is not in the folder. Raises KinoraError."""
    path = find_local(lora.source, settings)
    if path is None:
        _check_hub_name(lora.source, settings)
        path = _fetch_from_hub(lora.source, settings, report)
    _check_file(path, lora.source)
    return LoraFile(path=path, weight=lora.weight, name=lora.source)


def find_local(name: str, settings: Settings) -> Path | None:
    """A file in the folder; links that lead out of it are ignored. The name may have the suffix and
    either Unicode form of accented letters."""
    shelf = _scan_folder(settings)
    if name not in shelf:
        alike = {_normalized(each): each for each in shelf}
        name = alike.get(_normalized(name)) or alike.get(_normalized(_without_suffix(name))) or name
    found = shelf.get(name)
    if found is None:
        _refuse_pickle(name)
    return found


def file_versions(loras: Sequence[Lora], settings: Settings) -> list[tuple[str, int, int]]:
    """(name, size, mtime) of each local file: a changed file of the same name makes another
    clip."""
    files = [(lora.source, find_local(lora.source, settings)) for lora in loras]
    # size and mtime, not a hash: files may have gigabytes, and this runs for every request
    stats = [(name, path.stat()) for name, path in files if path is not None]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _scan_folder(settings: Settings) -> dict[str, Path]:
    """Every usable file by its name."""
    folder = settings.loras_folder.resolve()
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if file.suffix.lower() != SUFFIX:
            continue
        name = _without_suffix(file.relative_to(folder).as_posix())
        path = file.resolve()
        if _is_valid_name(name) and path.is_file() and path.is_relative_to(folder):
            found.setdefault(name, path)
    return found


def _without_suffix(name: str) -> str:
    return name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) else name


def _normalized(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _is_valid_name(name: str) -> bool:
    """False for hidden files and for names that a request cannot contain."""
    try:
        NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def _check_hub_name(name: str, settings: Settings) -> None:
    names = list_names(settings)
    there = f"There are: {', '.join(names)}." if names else "The LoRA folder is empty."
    if not HUB_ID.fullmatch(name):
        raise lora_refusal(f"There is no LoRA called “{name}” here. {there}", ErrorCode.NOT_FOUND)
    if not settings.loras_from_hub:
        sentence = f"“{name}” is not here, and LoRAs are not fetched from the Hub here. {there}"
        raise lora_refusal(sentence, ErrorCode.NOT_FOUND)


def _fetch_from_hub(name: str, settings: Settings, report: Report | None) -> Path:
    from pipelines.models.hub import Hub

    hub, parts = Hub(settings), name.split("/")
    listing = hub.listing("/".join(parts[:2]), name=f"the LoRA {'/'.join(parts[:2])}")
    file = _choose_file(listing, parts[2] if len(parts) == 3 else None, name)
    return hub.fetch(listing, [file], report) / file


def _choose_file(listing: Listing, file_name: str | None, name: str) -> str:
    files = [file for file in listing.files if file.endswith(SUFFIX)]
    if file_name is not None:
        ending = file_name if file_name.endswith(SUFFIX) else f"{file_name}{SUFFIX}"
        files = [file for file in files if file.split("/")[-1] == ending]
    if len(files) == 1:
        return files[0]
    if len(files) > 1:
        choices = ", ".join(
            f"{'/'.join(name.split('/')[:2])}/{f.split('/')[-1]}" for f in files[:6]
        )
        raise lora_refusal(f"“{name}” holds several LoRAs. Name one of: {choices}.")
    for file in listing.files:
        _refuse_pickle(file)
    raise lora_refusal(f"There is no LoRA file in “{name}”.", ErrorCode.NOT_FOUND)


def _refuse_pickle(file: str) -> None:
    if file.endswith(PICKLES):
        raise lora_refusal(
            f"“{file}” is a pickle, which can run code when it is opened. "
            "Use a LoRA in safetensors format."
        )


def _check_file(path: Path, name: str) -> None:
    """Raises KinoraError unless the header describes a complete file with a plain LoRA."""
    try:
        size = path.stat().st_size
        if size == 0:
            raise lora_refusal(f"“{name}” is an empty file. Fetch it again.")
        header = read_header(path)
    except (OSError, ValueError) as error:
        raise lora_refusal(f"“{name}” is damaged, or no safetensors file.") from error
    if size < header.end_bytes:
        raise lora_refusal(f"“{name}” is damaged: its end is missing. Fetch it again.")
    kind = unsupported_kind(header.tensors)
    if kind is not None:
        raise lora_refusal(f"“{name}” is {kind}, which is not supported here. Use a plain LoRA.")
    if not is_lora(header.tensors):
        raise lora_refusal(f"“{name}” holds weights, but no LoRA.")


def lora_refusal(sentence: str, code: ErrorCode = ErrorCode.INVALID_INPUT) -> KinoraError:
    return KinoraError(code, sentence, details={"field": "loras"})
