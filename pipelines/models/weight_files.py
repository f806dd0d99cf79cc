"""Finds one file of weights by the name in a setting: on this machine, or on the Hub.

`OWNER/NAME/FILE.safetensors`, with `@REVISION` after NAME, or the path of a file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError
from pipelines.models.failures import Reason, failure
from pipelines.models.safetensors_header import read_header
from settings import Settings

if TYPE_CHECKING:
    from pipelines.models.download import Report

SUFFIX = ".safetensors"
PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
SOURCE = re.compile(
    rf"(?P<repo>{PART}/{PART})(@(?P<revision>[A-Za-z0-9._-]+))?/(?P<file>({PART}/)*{PART})"
)


def find_or_fetch_weights(source: str, settings: Settings, report: Report | None = None) -> Path:
    """The file, downloaded where it is missing. What `report` raises stops the download.

    Raises KinoraError: MODEL_NOT_FOUND, MODEL_REFUSED for another format than safetensors,
    MODEL_LOAD for a damaged file, OUT_OF_DISK.
    """
    local, name = Path(source).expanduser(), shown_name(source)
    if not source.endswith(SUFFIX):
        raise KinoraError(
            ErrorCode.MODEL_REFUSED,
            f"“{name}” is no safetensors file. Only those are loaded: other formats can run code "
            "when they are opened.",
        )
    path = local if local.is_file() else _fetch(source, settings, report)
    try:
        is_whole = path.stat().st_size >= read_header(path).end_bytes
    except (OSError, ValueError):
        is_whole = False
    if not is_whole:
        raise failure(Reason.DAMAGED_FILE, name, "file")
    return path


def shown_name(source: str) -> str:
    """For sentences: without the folders of this machine."""
    on_hub = SOURCE.fullmatch(source) and not Path(source).expanduser().is_file()
    return source if on_hub else Path(source).name


def _fetch(source: str, settings: Settings, report: Report | None) -> Path:
    from pipelines.models.hub import Hub

    found = SOURCE.fullmatch(source)
    if found is None:
        raise KinoraError(
            ErrorCode.MODEL_NOT_FOUND,
            f"There is no file “{shown_name(source)}” here. Write a file of the Hub as "
            f"owner/name/file{SUFFIX}.",
        )
    hub, file = Hub(settings), found["file"]
    listing = hub.listing(found["repo"], found["revision"])
    if file not in listing.files:
        raise failure(Reason.MISSING_COMPONENT, found["repo"], file)
    return hub.fetch(listing, [file], report) / file
