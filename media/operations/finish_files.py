"""What is done to a file after ffmpeg has written it: tags, the size that is shown, the zip."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import IO

from media import mp4
from media.operations.encoders import FRAMES, SOUND
from media.operations.operation import StreamInfo
from media.operations.outputs import OutputFile
from media.provenance import plain_tags

SETTINGS = "settings.json"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""Fixed: the same edit makes the same file."""


def finish_file(file: Path, info: StreamInfo, output: OutputFile) -> None:
    """info: of the file."""
    if output.kind.is_even and (info.width % 2 or info.height % 2):
        mp4.declare_size(file, info.width, info.height)
    is_generated = output.is_generated
    match output.kind.tags:
        case "mp4" if is_generated:
            plain_tags.tag_mp4(file)
        case "gif" if is_generated:
            plain_tags.tag_gif(file)
        case "png":
            plain_tags.tag_png(file, output.comment, is_generated=is_generated)
        case "webp" if is_generated:
            plain_tags.tag_webp(file, info.width, info.height)
        case "zip":
            _pack(file, output)
        case _:  # no tags, or ffmpeg has written all of them
            pass


def _pack(file: Path, output: OutputFile) -> None:
    """Frames and sound that lie beside the file. Each is removed once it is packed, so that they
    need no more than one frame of space twice."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for frame in sorted((file.parent / FRAMES).iterdir()):
            with _new_file(archive, frame.name) as target:
                parts = plain_tags.tagged_png(frame.read_bytes(), is_generated=output.is_generated)
                for part in parts:
                    target.write(part)
            frame.unlink()
        if (sound := file.parent / SOUND).exists():
            with _new_file(archive, sound.name) as target, sound.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
            sound.unlink()
        if output.comment:
            text = output.comment.encode("utf-8", "backslashreplace")
            archive.writestr(zipfile.ZipInfo(SETTINGS, ZIP_TIME), text)


def _new_file(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(zipfile.ZipInfo(name, ZIP_TIME), "w", force_zip64=True)
