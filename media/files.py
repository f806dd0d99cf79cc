"""Atomic file writes: a temporary `.part` file is synced and renamed.

`remove_partial` deletes what a killed process left behind.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from errors import ErrorCode, KinoraError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
MAX_NAME_BYTES = 150
"""Most file systems allow names of 255 bytes, encrypted ones about 143 characters."""


def part_name(path: Path) -> Path:
    """A temporary name of this thread's own, so that concurrent writers do not share a file."""
    name, own = path.name, f"{os.getpid()}-{threading.get_ident()}"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:  # too long once the suffix is added
        name = f"{zlib.crc32(os.fsencode(name)):08x}"
    return path.with_name(f"{name}.{own}.part")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path, renamed to `path` if the block raises nothing.

    Raises KinoraError(OUT_OF_DISK).
    """
    part = part_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        _sync(part)
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise KinoraError(ErrorCode.OUT_OF_DISK) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def publish(files: Sequence[Path], folder: Path) -> None:
    """Adds complete files from another folder to `folder`, in this order. On the same disk they are
    hard-linked, with one sync for all, so they must not be written to afterwards.

    Raises KinoraError(OUT_OF_DISK).
    """
    parts = [part_name(folder / file.name) for file in files]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, part in zip(files, parts, strict=True):
            part.unlink(missing_ok=True)  # may be left over from a killed process with the same id
            if not link_or_copy(file, part):
                _sync(part)
        for file, part in zip(files, parts, strict=True):
            part.replace(folder / file.name)
        _sync_folder(folder)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise KinoraError(ErrorCode.OUT_OF_DISK) from error
        raise
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> bool:
    """Hard-links the file and returns True; copies it and returns False if it cannot be linked."""
    try:
        os.link(source, target)
    except (OSError, NotImplementedError):
        shutil.copyfile(source, target)
        return False
    return True


def list_or_empty(folder: Path) -> list[Path]:
    """The folder's entries; empty if it does not exist, for example removed a moment ago."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def stat_or_none(path: Path) -> os.stat_result | None:
    """The file's status, or None if it does not exist."""
    try:
        return path.stat()
    except OSError:
        return None


def remove_partial(folder: Path) -> int:
    """Removes temporary files, returns their number. Only at startup: no writer may be active."""
    parts = [
        Path(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if name.endswith(".part")
    ]
    for part in parts:
        part.unlink(missing_ok=True)
    return len(parts)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # on Windows a folder cannot be opened, and a rename needs no sync
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
