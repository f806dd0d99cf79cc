"""The font files for subtitles and cards: which letters each has, and which font draws which part
of a text."""

from __future__ import annotations

import functools
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "fonts"
FIRST = ("NotoSans-subset.ttf",)
LAST = (
    *("NotoSansCJK-subset.otf", "NotoSansSymbols2-subset.ttf", "NotoEmoji-subset.ttf"),
    "DejaVuSans-subset.ttf",
)
"""Order of preference where several fonts have a letter; the fonts of other scripts are between."""
FAMILY_NAME, UNICODE_BMP, UNICODE_FULL = 1, 4, 12


@dataclass(frozen=True)
class FontFile:
    path: Path
    family: str
    ranges: tuple[tuple[int, int], ...]
    """First and last code points that have a glyph."""
    line_height: float
    """Ascent and descent, in ems. libass takes a font's size for this height, not for the em."""

    def has(self, letter: str) -> bool:
        return ord(letter) in self._code_points

    @functools.cached_property
    def _code_points(self) -> frozenset[int]:
        return frozenset(code for first, last in self.ranges for code in range(first, last + 1))


@dataclass(frozen=True)
class Run:
    """A part of a text that one font draws."""

    text: str
    font: FontFile


@functools.lru_cache(maxsize=1)
def title_fonts() -> tuple[FontFile, ...]:
    """All fonts, in the order of preference. The first has Latin, Greek and Cyrillic letters."""
    paths = {path.name: path for path in FOLDER.iterdir() if path.suffix in (".ttf", ".otf")}
    scripts = sorted(set(paths) - {*FIRST, *LAST})
    return tuple(read_font(paths[name]) for name in (*FIRST, *scripts, *LAST))


def split_by_font(text: str) -> list[Run]:
    """Splits a text into runs. Spaces, digits, punctuation and marks stay with the letters before
    them where that font has them, so that marks are drawn on their letters and words keep together.
    Letters that no font has are left out: see `unknown_letters`."""
    runs: list[Run] = []
    for letter in text:
        font = _choose(letter, runs[-1].font if runs else title_fonts()[0])
        if font is None:
            continue
        if runs and runs[-1].font is font:
            runs[-1] = Run(runs[-1].text + letter, font)
        else:
            runs.append(Run(letter, font))
    return runs


def unknown_letters(text: str) -> str:
    """The letters that no font has, each once, in the order in which they appear."""
    first = title_fonts()[0]
    return "".join(dict.fromkeys(each for each in text if _choose(each, first) is None))


def _choose(letter: str, current: FontFile) -> FontFile | None:
    kind = unicodedata.category(letter)
    if kind in ("Cf", "Cc") or unicodedata.name(letter, "").startswith("VARIATION SELECTOR"):
        return current  # shapes what is around it and is not drawn
    if not kind.startswith("L") and current.has(letter):
        return current
    return next((font for font in title_fonts() if font.has(letter)), None)


def read_font(path: Path) -> FontFile:
    """Reads a TrueType or OpenType file: of many formats of tables, those that our files have.

    Raises ValueError for other files.
    """
    data = path.read_bytes()
    count = int.from_bytes(data[4:6], "big")
    tables: dict[str, int] = {}
    for tag, _, offset, _ in struct.iter_unpack(">4sIII", data[12 : 12 + 16 * count]):
        tables[tag.decode("latin-1")] = offset
    if not {"cmap", "head", "OS/2", "name"} <= set(tables):
        raise ValueError(f"{path.name} is not a font file")
    (units_per_em,) = struct.unpack_from(">H", data, tables["head"] + 18)
    ascent, descent = struct.unpack_from(">HH", data, tables["OS/2"] + 74)
    return FontFile(
        path,
        _read_family(data, tables["name"], path),
        tuple(_read_ranges(data, tables["cmap"], path)),
        (ascent + descent) / units_per_em,
    )


def _read_family(data: bytes, table: int, path: Path) -> str:
    count, strings = struct.unpack_from(">HH", data, table + 2)
    for n in range(count):
        platform, _, _, name, length, offset = struct.unpack_from(">6H", data, table + 6 + 12 * n)
        if (platform, name) == (3, FAMILY_NAME):
            return data[table + strings + offset :][:length].decode("utf-16-be")
    raise ValueError(f"{path.name} has no family name")


def _read_ranges(data: bytes, table: int, path: Path) -> Iterator[tuple[int, int]]:
    (count,) = struct.unpack_from(">H", data, table + 2)
    formats: dict[int, int] = {}
    for n in range(count):
        platform, _, offset = struct.unpack_from(">HHI", data, table + 4 + 8 * n)
        if platform == 3:
            (kind,) = struct.unpack_from(">H", data, table + offset)
            formats[kind] = table + offset
    if UNICODE_FULL in formats:
        at = formats[UNICODE_FULL]
        (groups,) = struct.unpack_from(">I", data, at + 12)
        for first, last, _ in struct.iter_unpack(">III", data[at + 16 : at + 16 + 12 * groups]):
            yield first, last
    elif UNICODE_BMP in formats:
        at = formats[UNICODE_BMP]
        segments = struct.unpack_from(">H", data, at + 6)[0] // 2
        ends = struct.unpack_from(f">{segments}H", data, at + 14)
        starts = struct.unpack_from(f">{segments}H", data, at + 16 + 2 * segments)
        yield from (pair for pair in zip(starts, ends, strict=True) if pair[0] < 0xFFFF)
    else:
        raise ValueError(f"{path.name} has no Unicode table")
