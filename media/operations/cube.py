"""Reads LUT files in the .cube format: untrusted, parsed here and written again for ffmpeg."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from errors import megabytes
from media.operations.operation import refuse

MAX_BYTES = 16_000_000
MAX_3D_SIZE = 65
MAX_1D_SIZE = 16_384
SIZE_LINE = re.compile(r"LUT_([13])D_SIZE\s+(\d{1,6})")
DOMAIN_LINE = re.compile(r"DOMAIN_(MIN|MAX)\s+(\S+)\s+(\S+)\s+(\S+)")
IGNORED = ("#", "TITLE", "LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE")


@dataclass(frozen=True)
class Cube:
    table: np.ndarray
    """[N, 3], or [N, N, N, 3] by blue, green and red."""

    @property
    def is_3d(self) -> bool:
        return self.table.ndim == 4

    def text(self, strength: float) -> bytes:
        """The file, mixed with one that changes nothing. strength: 0 to 1."""
        size = len(self.table)
        axis = np.linspace(0, 1, size)
        if self.is_3d:
            blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
            same = np.stack([red, green, blue], axis=-1)
        else:
            same = np.repeat(axis[:, None], 3, axis=1)
        rows = (same + (self.table - same) * strength).reshape(-1, 3).tolist()
        body = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in rows)
        return f"LUT_{3 if self.is_3d else 1}D_SIZE {size}\n{body}\n".encode()


def read_cube(path: Path) -> Cube:
    """Raises KinoraError(INVALID_INPUT)."""
    if path.stat().st_size > MAX_BYTES:
        raise refuse(f"This LUT is larger than {megabytes(MAX_BYTES)} MB. Export a smaller one.")
    text = path.read_bytes().decode("latin-1")
    size: tuple[bool, int] | None = None
    values: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith(IGNORED):
            continue
        if found := SIZE_LINE.fullmatch(line):
            size = found[1] == "3", int(found[2])
        elif found := DOMAIN_LINE.fullmatch(line):
            _check_domain(found)
        else:
            values += line.split()
    if size is None:
        raise refuse("This is no LUT: it states no size. Use a .cube file.")
    is_3d, side = size
    limit = MAX_3D_SIZE if is_3d else MAX_1D_SIZE
    if not 2 <= side <= limit:
        raise refuse(f"This LUT has a size of {side}; it should be from 2 to {limit}.")
    shape = (side, side, side, 3) if is_3d else (side, 3)
    try:
        table = np.array(values, dtype=np.float64)
    except ValueError:
        table = np.array([np.nan])
    if table.size != np.prod(shape) or not np.isfinite(table).all():
        raise refuse("This LUT is damaged: its lines are not the numbers that its size needs.")
    return Cube(table.reshape(shape).clip(-1, 2))


def _check_domain(found: re.Match[str]) -> None:
    wanted = 0.0 if found[1] == "MIN" else 1.0
    try:
        is_plain = all(float(found[n]) == wanted for n in (2, 3, 4))
    except ValueError:
        is_plain = False
    if not is_plain:
        raise refuse("This LUT is for values other than 0 to 1 (DOMAIN_MIN, DOMAIN_MAX). Export "
                     "one for Rec. 709.")  # fmt: skip
