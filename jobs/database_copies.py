"""Copies of a SQLite database on a mounted bucket, which stores whole files only.

Such a mount may write a file late, in part, or not at all if the machine dies first, and keeps no
order between two files. So a copy is one file that never changes, with the hash of its content in
its name: a partial one is recognised by that, and the copy before it still exists.

    kinora-000003-00000017-<sha256>.db      generation (a start of a server), number, content
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

NAME = re.compile(r"kinora-(\d{6,})-(\d{8,})-([0-9a-f]{64})\.db")
KEPT = 3
KEPT_S = 180.0
"""Longer than a mount takes to write: a removal may arrive before a newer copy does."""


class Number(NamedTuple):
    """The order of the copies. A server that is stopping while the next one runs has the lower
    generation, so its last copies do not replace the newer ones."""

    generation: int = 0
    serial: int = 0

    def next_generation(self) -> Number:
        return Number(self.generation + 1, 0)

    def next(self) -> Number:
        return Number(self.generation, self.serial + 1)


class Copy(NamedTuple):
    number: Number
    sha256: str
    path: Path


class Copies:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest_first(self) -> list[Copy]:
        """All copies, complete or not. Raises OSError."""
        found = list(self._found())
        return sorted(found, key=lambda copy: copy.number, reverse=True)

    def newest_number(self) -> Number:
        return max((copy.number for copy in self._found()), default=Number())

    def restore(self, target: Path) -> Copy | None:
        """Copies the newest complete copy to `target`; None, and no file, if there is none."""
        for copy in self.newest_first():
            part = target.with_name(f"{target.name}.{os.getpid()}.part")
            try:
                shutil.copyfile(copy.path, part)
                if _sha256(part) == copy.sha256 and is_sound(part):
                    put_in_place(part, target)
                    return copy
            except OSError:
                continue  # unreadable: treated as incomplete
            finally:
                part.unlink(missing_ok=True)
        return None

    def write(self, snapshot: Path, number: Number) -> Copy:
        """Writes one more copy and removes old ones. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = _sha256(snapshot)
        name = f"kinora-{number.generation:06d}-{number.serial:08d}-{digest}.db"
        copy = Copy(number, digest, self.folder / name)
        with snapshot.open("rb") as source, copy.path.open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
            target.flush()
            os.fsync(target.fileno())
        self._remove_old()
        return copy

    def _remove_old(self) -> None:
        now = time.time()
        for copy in self.newest_first()[KEPT:]:
            try:
                if now - copy.path.stat().st_mtime > KEPT_S:
                    copy.path.unlink()
            except FileNotFoundError:
                continue

    def _found(self) -> Iterator[Copy]:
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if match := NAME.fullmatch(path.name):
                yield Copy(Number(int(match[1]), int(match[2])), match[3], path)


def take_snapshot(database: Path, target: Path) -> None:
    """Writes all committed data as one consistent file, while others read and write."""
    target.unlink(missing_ok=True)
    connect = sqlite3.connect
    with closing(connect(database, timeout=30)) as source, closing(connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").close()  # no second file beside it


def adopt(database: Path, target: Path) -> bool:
    """Takes over a database that was used in place, with its log; False if it is damaged."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    logs = ("-wal", "-journal")
    try:
        for ending in ("", *logs):
            source = Path(f"{database}{ending}")
            if source.is_file():
                shutil.copyfile(source, f"{part}{ending}")
        if not is_sound(part):
            return False
        whole = target.with_name(f"{part.name}.whole")
        take_snapshot(part, whole)  # with what was in the log only
        put_in_place(whole, target)
        return True
    except (OSError, sqlite3.Error):
        return False
    finally:
        for ending in ("", *logs, "-shm", ".whole"):
            Path(f"{part}{ending}").unlink(missing_ok=True)


def put_in_place(part: Path, target: Path) -> None:
    """Replaces the database and removes the log of the old one."""
    for ending in ("-wal", "-shm", "-journal"):
        Path(f"{target}{ending}").unlink(missing_ok=True)
    part.replace(target)


def is_sound(database: Path) -> bool:
    try:
        with closing(sqlite3.connect(database)) as opened:
            return opened.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.Error:
        return False


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
