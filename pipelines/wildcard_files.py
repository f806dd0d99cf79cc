"""The lists of wildcards: text files, one choice a line, `#` for comments, `animals/birds` for
`animals/birds.txt`. Later folders come first."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.wildcards import NAME, Part, WildcardError, parse
from settings import ROOT, Settings

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024
MAX_LINES = 5000
MAX_LETTERS = 500
"""Of a line."""
MAX_FILES = 1000
READ_FOR_EXAMPLES = 4096
KEPT = 64
"""Parsed files that are kept."""

Line = Sequence[Part]


@dataclass
class WildcardFiles:
    """Thread-safe. A changed file is read again."""

    folders: tuple[Path, ...]
    _parsed: dict[tuple[Path, int, int], tuple[Line, ...]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, settings: Settings) -> WildcardFiles:
        return cls((ROOT / "presets" / "wildcards", settings.data_dir / "wildcards"))

    def names(self) -> list[str]:
        return sorted(self._files())

    def get(self, name: str) -> tuple[Line, ...] | None:
        """The parsed lines. Raises WildcardError, which names the file's line."""
        path = self._find(name)
        if path is None:
            return None
        try:
            stat = path.stat()
            key = path, stat.st_mtime_ns, stat.st_size
            if key not in self._parsed:
                self._keep(key, _read(name, path, stat.st_size))
            return self._parsed[key]
        except OSError:
            log.warning("Wildcard list not readable (name=%s).", name, exc_info=True)
            raise WildcardError(f"The list __{name}__ cannot be read.", 1) from None

    def examples(self, count: int) -> dict[str, list[str]]:
        """The first lines of every list, as they are written; none of one that cannot be read."""
        return {name: _first_lines(path, count) for name, path in sorted(self._files().items())}

    def _keep(self, key: tuple[Path, int, int], lines: tuple[Line, ...]) -> None:
        with self._lock:
            if len(self._parsed) >= KEPT:
                self._parsed.clear()
            self._parsed[key] = lines

    def _find(self, name: str) -> Path | None:
        if not NAME.fullmatch(f"__{name}__"):
            return None
        paths = (_inside(folder, folder / f"{name}.txt") for folder in reversed(self.folders))
        return next(filter(None, paths), None)

    def _files(self) -> dict[str, Path]:
        """By name."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for path in sorted(folder.rglob("*.txt"))[:MAX_FILES]:
                name = path.relative_to(folder).with_suffix("").as_posix()
                if NAME.fullmatch(f"__{name}__") and (real := _inside(folder, path)):
                    found[name] = real
        return found


def _inside(folder: Path, path: Path) -> Path | None:
    """The file itself. None if there is none, or a link that leads out of the folder."""
    real = Path(os.path.realpath(path))
    is_inside = real.is_relative_to(os.path.realpath(folder))
    return real if is_inside and real.is_file() else None


def _first_lines(path: Path, count: int) -> list[str]:
    try:
        with path.open("rb") as file:
            data = file.read(READ_FOR_EXAMPLES)
    except OSError:
        return []
    whole = data if len(data) < READ_FOR_EXAMPLES else data[: data.rfind(b"\n") + 1]
    try:
        return [line for _, line in _lines(whole)[:count]]
    except UnicodeDecodeError:
        return []


def _read(name: str, path: Path, size: int) -> tuple[Line, ...]:
    if size > MAX_BYTES:
        sentence = f"The list __{name}__ is larger than {MAX_BYTES // 1024} kB."
        raise WildcardError(sentence, 1)
    try:
        lines = _lines(path.read_bytes()[:MAX_BYTES])
    except UnicodeDecodeError:
        raise WildcardError(f"The list __{name}__ is no text in UTF-8.", 1) from None
    if not lines:
        raise WildcardError(f"The list __{name}__ is empty.", 1)
    if len(lines) > MAX_LINES:
        raise WildcardError(f"The list __{name}__ has more than {MAX_LINES} lines.", 1)
    parsed: list[Line] = []
    for number, line in lines:
        if len(line) > MAX_LETTERS or not line.isprintable():
            sentence = f"Line {number} of the list __{name}__ is no line of text, or too long."
            raise WildcardError(sentence, 1)
        try:
            parsed.append(parse(line))
        except WildcardError as error:
            sentence = f"The list __{name}__, line {number}: {error.sentence}"
            raise WildcardError(sentence, 1) from None
    return tuple(parsed)


def _lines(data: bytes) -> list[tuple[int, str]]:
    """(number, text) of each line that is a choice."""
    lines = enumerate(data.decode("utf-8-sig").splitlines(), 1)
    return [
        (number, text)
        for number, line in lines
        if (text := line.strip()) and not text.startswith("#")
    ]
