"""Reduces a TIFF file to its first image and the tags needed to decode it.

Pillow reads every tag in Python, whatever its declared length and even if many refer to the same
bytes. So a new directory is appended to the file, and the header is pointed to it.
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
MAX_ENTRIES = 4_000
MAX_TAG_BYTES = 8_000_000
"""Of all tags that are kept: they list strips and tiles, and may hold a large profile."""


class _Layout(NamedTuple):
    """Directory layout of a classic TIFF or a BigTIFF, as struct formats."""

    order: str
    header_bytes: int
    count: str
    entry: str
    value_bytes: int
    offset: str


def first_tiff_page(data: bytes) -> bytes:
    """Raises ValueError if the directory is damaged or too large."""
    layout = _layout(data)
    try:
        return _rebuild(data, layout)
    except struct.error as error:
        raise ValueError("the directory is damaged") from error


def _layout(data: bytes) -> _Layout:
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\0", b"\0+"):
        return _Layout(order, 8, "Q", "HHQ", 8, "Q")
    return _Layout(order, 4, "H", "HHI", 4, "I")


def _rebuild(data: bytes, layout: _Layout) -> bytes:
    order, header_bytes, count_format, entry_format, value_bytes, offset_format = layout
    (position,) = struct.unpack_from(order + offset_format, data, header_bytes)
    (entries,) = struct.unpack_from(order + count_format, data, position)
    if entries > MAX_ENTRIES:
        raise ValueError("too many tags")
    position += struct.calcsize(order + count_format)
    entry_bytes = struct.calcsize(order + entry_format) + value_bytes
    kept: dict[int, bytes] = {}
    total = 0
    for n in range(entries):
        start = position + n * entry_bytes
        tag, kind, count = struct.unpack_from(order + entry_format, data, start)
        if tag not in KEPT or tag in kept or kind not in TYPE_BYTES:
            continue
        size = count * TYPE_BYTES[kind]
        total += size
        if total > MAX_TAG_BYTES:
            raise ValueError("its tags are too long")
        entry_data = data[start : start + entry_bytes]
        if len(entry_data) < entry_bytes:
            raise ValueError("the directory is cut off")
        kept[tag] = entry_data
    # directories start at even offsets
    end = len(data) + len(data) % 2
    directory = struct.pack(order + count_format, len(kept)) + b"".join(
        kept[tag] for tag in sorted(kept)
    )
    directory += struct.pack(order + offset_format, 0)  # no second image
    pointer = struct.pack(order + offset_format, end)
    return b"".join(
        (
            data[:header_bytes],
            pointer,
            data[header_bytes + len(pointer) :],
            bytes(end - len(data)),
            directory,
        )
    )
