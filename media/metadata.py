"""The settings that made a clip, as JSON in the file's comment tag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from media import mp4
from pipelines.request import FittedRequest

SCHEMA = 1
MAX_BYTES = 256 * 1024
"""Longer comments are not read. The longest that Kinora writes is about 50 kB."""

COMMENT = (b"moov", b"udta", b"meta", b"ilst", b"\xa9cmt", b"data")
TYPE_AND_LOCALE = 8


def settings_json(
    fitted: FittedRequest,
    *,
    revision: str | None = None,
    versions: Mapping[str, str] | None = None,
    **more: object,
) -> str:
    """Everything needed to make the clip again; `more` is added at the top level."""
    return json.dumps(
        {
            "made_by": "Kinora",
            "schema": SCHEMA,
            "settings": fitted.model_dump(mode="json", exclude={"adjustments"}),
            "model_revision": revision,
            "versions": dict(versions or {}),
            **more,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def read_comment(path: Path) -> dict[str, Any] | None:
    """The JSON object in an MP4's comment tag, or None. Safe on malformed files."""
    with path.open("rb") as file:
        atom = mp4.find(file, *COMMENT)
        if atom is None or not TYPE_AND_LOCALE < atom.end - atom.start <= MAX_BYTES:
            return None
        file.seek(atom.start + TYPE_AND_LOCALE)
        text = file.read(atom.end - atom.start - TYPE_AND_LOCALE)
    try:
        settings = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None
