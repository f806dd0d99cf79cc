"""The first picture of a TIFF file, with the tags that its pixels need and no others.

Pillow reads every tag in Python, however long it says that it is and however many name the same
bytes. Here a new directory is written behind the file's own bytes, and the head points to it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8,
              13: 4, 16: 8, 17: 8, 18: 8}  # fmt: skip
NEW_SUBFILE_TYPE, SUB_IFDS, JPEG_TABLES, ICC, DNG_VERSION = 254, 330, 347, 34675, 50706
KEPT = frozenset({
    NEW_SUBFILE_TYPE, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 296,
    317, 320, 322, 323, 324, 325, SUB_IFDS, 332, 338, 339, JPEG_TABLES, 512, 513, 514, 529, 530,
    531, 532, ICC, DNG_VERSION,
})  # fmt: skip
MOST_ENTRIES = 4_000
MOST_BYTES = 8_000_000
"""Of all tags that are kept: strips and tiles are listed in them, and a profile may be large."""


class _Layout(NamedTuple):
    """How a classic TIFF and a BigTIFF write their directories."""

    order: str
    head_bytes: int
    count: str
    entry: str
    room: int
    offset: str


def first_tiff_picture(data: bytes) -> bytes:
    """ValueError where the directory is damaged or too large."""
    layout = _layout(data)
    try:
        return _rebuilt(data, layout)
    except struct.error as error:
        raise ValueError("the directory is damaged") from error


def _layout(data: bytes) -> _Layout:
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\0", b"\0+"):
        return _Layout(order, 8, "Q", "HHQ", 8, "Q")
    return _Layout(order, 4, "H", "HHI", 4, "I")


def _rebuilt(data: bytes, layout: _Layout) -> bytes:
    order, head, count_is, entry_is, room, offset_is = layout
    (place,) = struct.unpack_from(order + offset_is, data, head)
    (entries,) = struct.unpack_from(order + count_is, data, place)
    if entries > MOST_ENTRIES:
        raise ValueError("too many tags")
    place += struct.calcsize(order + count_is)
    entry_bytes = struct.calcsize(order + entry_is) + room
    kept: dict[int, bytes] = {}
    total = 0
    for n in range(entries):
        start = place + n * entry_bytes
        tag, kind, count = struct.unpack_from(order + entry_is, data, start)
        if tag not in KEPT or tag in kept or kind not in TYPE_BYTES:
            continue
        size = count * TYPE_BYTES[kind]
        total += size
        if total > MOST_BYTES:
            raise ValueError("its tags are too long")
        whole = data[start : start + entry_bytes]
        if len(whole) < entry_bytes:
            raise ValueError("the directory is cut off")
        kept[tag] = whole
    # directories begin at even places
    end = len(data) + len(data) % 2
    directory = struct.pack(order + count_is, len(kept)) + b"".join(
        kept[tag] for tag in sorted(kept)
    )
    directory += struct.pack(order + offset_is, 0)  # and no second picture
    pointer = struct.pack(order + offset_is, end)
    return b"".join(
        (data[:head], pointer, data[head + len(pointer) :], bytes(end - len(data)), directory)
    )
