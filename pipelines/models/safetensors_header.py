"""The header of a safetensors file, read without its weights: names, shapes and where data ends.

Format: 8 bytes little-endian header length, then JSON (github.com/huggingface/safetensors, README).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

MAX_HEADER_BYTES = 100_000_000


class Header(NamedTuple):
    tensors: dict[str, Any]
    """Per tensor `dtype`, `shape` and `data_offsets`; without `__metadata__`."""
    end_bytes: int
    """The size that the whole file must have at least."""

    @property
    def parameters(self) -> int:
        return sum(math.prod(tensor["shape"]) for tensor in self.tensors.values())


def read_header(path: Path) -> Header:
    """Raises OSError where the file cannot be read, ValueError where it has no valid header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size - 8):
            raise ValueError("no safetensors header")
        try:
            tensors = json.loads(file.read(length))
            tensors.pop("__metadata__", None)
            ends = [int(tensor["data_offsets"][1]) for tensor in tensors.values()]
            shapes = [tensor["shape"] for tensor in tensors.values()]
            if not all(isinstance(n, int) for shape in shapes for n in shape):
                raise ValueError("a shape is not whole numbers")
        except (LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("no safetensors header") from error
    return Header(tensors, 8 + length + max(ends, default=0))
