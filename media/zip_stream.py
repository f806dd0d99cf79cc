"""Writes a zip while it is being sent: no file, and memory for one piece at a time."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from typing_extensions import Buffer

PIECE_BYTES = 1 << 18
Entry = tuple[str, Path | bytes]
"""A name in the zip, and a file or its content."""


class _Pieces(io.RawIOBase):
    """Collects what `zipfile` writes until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        self._written += data
        return memoryview(data).nbytes

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def zip_stream(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yields the pieces of a zip. Clips are compressed already, so everything is stored."""
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, time.localtime()[:6])
            with archive.open(info, "w", force_zip64=True) as member:
                for piece in _read(content):
                    member.write(piece)
                    yield pieces.take()
            yield pieces.take()
    yield pieces.take()


def _read(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
