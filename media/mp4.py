"""A small, bounded reader of MP4 atoms, safe on untrusted files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAX_ATOMS = 1000
"""In one level. Our clips have about ten; a hostile file may consist of nothing else."""


class Atom(NamedTuple):
    kind: bytes
    start: int
    """Where the body begins, after the header."""
    end: int


def atoms(file: BinaryIO, start: int, end: int) -> Iterator[Atom]:
    """Yields the atoms between two offsets; stops at the first with an impossible size."""
    for _ in range(MAX_ATOMS):
        file.seek(start)
        head = file.read(min(16, end - start))
        if len(head) < 8:
            return
        size, body = int.from_bytes(head[:4], "big"), 8
        if size == 1 and len(head) == 16:
            size, body = int.from_bytes(head[8:], "big"), 16
        elif size == 0:
            size = end - start
        if size < body or start + size > end:
            return
        yield Atom(head[4:8], start + body, start + size)
        start += size


def find(file: BinaryIO, *path: bytes) -> Atom | None:
    """The first atom along a path of names from the top level, or None."""
    here = Atom(b"", 0, file.seek(0, 2))
    for kind in path:
        start = here.start + BEFORE_CHILDREN.get(here.kind, 0)
        below = next((atom for atom in atoms(file, start, here.end) if atom.kind == kind), None)
        if below is None:
            return None
        here = below
    return here


BEFORE_CHILDREN = {b"meta": 4, b"stsd": 8}
"""Bytes between an atom's header and its first child: version, flags, a count."""


def declare_size(path: Path, width: int, height: int) -> None:
    """Writes the display size into a finished file, for clips with an odd width or height.

    H.264 4:2:0 codes and crops in steps of two, so such a clip is coded with its last column or row
    repeated, and players crop to the size that the container declares.
    """
    with path.open("rb+") as file:
        track = find(file, b"moov", b"trak", b"tkhd")
        sample = find(file, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")
        if track is None or sample is None:
            raise ValueError("not an MP4 file with an H.264 track")
        file.seek(track.end - 8)
        file.write((width << 16).to_bytes(4, "big") + (height << 16).to_bytes(4, "big"))
        file.seek(sample.start + 24)
        file.write(width.to_bytes(2, "big") + height.to_bytes(2, "big"))
