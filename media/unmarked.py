"""Copies of marked clips and pictures without the visible mark, to continue or edit a clip from.

A continuation starts from them, so that a model sees no mark and each frame carries one only. They
lie beside a clip's files and, once it is an input, in a folder beside the uploads, under the id of
the marked file. No route serves either.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from media.files import atomic_write, link_or_copy

if TYPE_CHECKING:
    from media.videos import VideoLimits

CLIP, FRAME = "unmarked.mp4", "unmarked.png"
"""Beside a clip: all of it, and its last frame."""
FOLDER = "unmarked"
"""Beside the uploads."""
SUFFIXES = (".png", ".mp4", ".json")


def input_folder(uploads: Path, name: str, suffix: str) -> Path:
    """The folder to read an upload from: with the copy without a mark, if there is one."""
    unmarked = uploads / FOLDER
    return unmarked if (unmarked / f"{name}{suffix}").is_file() else uploads


def keep_frame(frame: Path, name: str, uploads: Path) -> None:
    """Keeps the copy of a picture that is stored as the upload `name`."""
    target = uploads / FOLDER / f"{name}.png"
    if not target.is_file():
        with atomic_write(target) as part:
            link_or_copy(frame, part)


def keep_clip(clip: Path, name: str, uploads: Path, limits: VideoLimits) -> None:
    """Keeps the copy of a clip that is stored as the upload `name`. Raises as `store_video`."""
    from media.videos import store_video

    folder = uploads / FOLDER
    if (folder / f"{name}.mp4").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=uploads, suffix=".part") as place:
        stored = store_video(clip, Path(place), limits)
        for suffix in (".json", ".mp4"):  # the clip last: if it is there, both are
            with atomic_write(folder / f"{name}{suffix}") as part:
                (Path(place) / f"{stored.id}{suffix}").replace(part)
