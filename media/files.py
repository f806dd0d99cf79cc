"""Files that are there whole or not at all: a temporary name, synced, renamed.

Knows no format. Temporary names end in `.part`; `sweep` takes what a killed process left.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errors import ErrorCode, KinoraError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def part_name(path: Path) -> Path:
    """Two threads or processes writing the same file do not meet in the same temporary one."""
    return path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a temporary name; what was written there becomes `path` if the block ends well."""
    part = part_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise KinoraError(ErrorCode.OUT_OF_DISK) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Removes temporary files. Only for when nobody is writing: at startup."""
    parts = list(folder.rglob("*.part"))
    for part in parts:
        part.unlink(missing_ok=True)
    return len(parts)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened, and a rename needs no sync
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
