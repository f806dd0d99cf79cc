"""A zip of clips that were selected, with `clips.json`, which says what made them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jobs.artifacts import Artifacts
from jobs.gallery_query import GalleryClip
from media.zip_stream import Entry, zip_stream

SHOWN_IN_NAME = 40


def clip_zip(clips: Sequence[GalleryClip], artifacts: Artifacts) -> Iterator[bytes]:
    """The pieces of the zip. Each file is opened when its turn has come; one that was removed
    meanwhile is left out."""
    return zip_stream(_entries(clips, artifacts))


def _entries(clips: Sequence[GalleryClip], artifacts: Artifacts) -> Iterator[Entry]:
    digits = len(str(len(clips)))
    names = [_file_name(f"{n:0{digits}}", clip) for n, clip in enumerate(clips, 1)]
    about = [_about(clip, name) for clip, name in zip(clips, names, strict=True)]
    yield "clips.json", json.dumps(about, indent=1, ensure_ascii=False).encode()
    for clip, name in zip(clips, names, strict=True):
        path = artifacts.fetch(clip.job.id, clip.job.result.clip) if clip.job.result else None
        if path is not None:
            yield name, path


def _about(clip: GalleryClip, name: str) -> dict[str, Any]:
    job = clip.job
    return {
        "file": name,
        "job_id": job.id,
        "title": clip.title,
        "starred": clip.starred,
        "created_at": job.created_at,
        "request": job.request.model_dump(mode="json", exclude_defaults=True),
        "used": job.fitted.model_dump(mode="json", exclude={"adjustments"}),
        "adjustments": [each.sentence for each in job.fitted.adjustments],
    }


def _file_name(number: str, clip: GalleryClip) -> str:
    """`07-a-dog-in-the-snow-5.mp4`: in order, with the title or the start of the prompt, and the
    seed."""
    named = clip.title or clip.job.fitted.prompt
    words = re.sub(r"[^\w]+", "-", named)[:SHOWN_IN_NAME].strip("-_").lower()
    suffix = Path(clip.job.result.clip).suffix if clip.job.result else ""
    parts = (number, words, str(clip.job.fitted.seed))
    return "-".join(part for part in parts if part) + suffix
