"""Files that are there whole or not at all: a temporary name, synced, renamed.

Knows no format. Temporary names end in `.part`; `sweep` takes what a killed process left.
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
LONG_BYTES = 150
"""Most file systems take names of 255 bytes, encrypted ones of 143 letters and fewer."""


def part_name(path: Path) -> Path:
    """Two threads or processes writing the same file do not meet in the same temporary one."""
    name, own = path.name, f"{os.getpid()}-{threading.get_ident()}"
    if len(os.fsencode(name)) > LONG_BYTES:  # with what comes after it, it would be too long
        name = f"{zlib.crc32(os.fsencode(name)):08x}"
    return path.with_name(f"{name}.{own}.part")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary name; what was written there becomes `path` if the block ends well."""
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
    """Whole files of another folder, in this order, here as well. On the same disk they get a
    second name, which costs one sync for all of them; so they must not be written to any more."""
    parts = [part_name(folder / file.name) for file in files]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, part in zip(files, parts, strict=True):
            part.unlink(missing_ok=True)  # a killed process of the same number may have left one
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
    """True if it is linked, as two names of one file; on a disk where that cannot be, a copy."""
    try:
        os.link(source, target)
    except (OSError, NotImplementedError):
        shutil.copyfile(source, target)
        return False
    return True


def list_or_empty(folder: Path) -> list[Path]:
    """What lies there now; nothing in a folder that somebody else has just removed."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def stat_of(path: Path) -> os.stat_result | None:
    """None where there is no file, also if it went this instant."""
    try:
        return path.stat()
    except OSError:
        return None


def remove_partial(folder: Path) -> int:
    """Removes temporary files. Only for when nobody is writing: at startup."""
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
    if os.name != "posix":  # elsewhere a folder cannot be opened, and a rename needs no sync
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
