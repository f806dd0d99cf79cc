"""A reserve of disk space for the moment when the disk is full: to delete, a database must write
first.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from errors import ErrorCode, KinoraError
from media.files import NO_ROOM

log = logging.getLogger(__name__)

RESERVE_BYTES = 1 << 20
"""A deletion writes the pages that it changes into SQLite's log: some hundred kilobytes at most."""
PROBE_BYTES = 1 << 16
PROBE_NAME = re.compile(r"\.[0-9a-f]{16}\.part")

Returned = TypeVar("Returned")


class Reserve:
    """A file beside the database that occupies space; without a path there is none.

    `checkpoint` frees the space that the database's log occupies."""

    def __init__(self, path: Path | None, checkpoint: Callable[[], object] = lambda: None) -> None:
        self._path = path
        self._checkpoint = checkpoint
        self._lock = threading.Lock()

    def refill(self) -> None:
        """Creates the file if there is plenty of space. Processes with one folder share it."""
        if self._path is None:
            return
        with self._lock, suppress(OSError):
            if self._path.exists() or _free_bytes(self._path.parent) < 3 * RESERVE_BYTES:
                return
            part = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.part")
            try:
                with part.open("wb") as file:
                    _allocate(file.fileno())
                part.rename(self._path)
            finally:
                part.unlink(missing_ok=True)

    def release(self) -> bool:
        """True if there is more free space now."""
        if self._path is None:
            return False
        try:
            self._path.unlink()
        except OSError:
            return False
        log.warning("The disk is full. The reserve is used to delete clips.")
        return True

    def use_for(self, change: Callable[[], Returned]) -> Returned:
        """Runs a change that frees space, or ends what occupies it; on a full disk, again after the
        database's checkpoint and then with the reserve. Raises KinoraError(OUT_OF_DISK)."""
        for free_space in (self._checkpoint, self.release):
            try:
                return change()
            except KinoraError as error:
                if error.code is not ErrorCode.OUT_OF_DISK:
                    raise
            free_space()
        return change()


def refuse_if_full(*folders: Path) -> None:
    """Raises KinoraError if a folder cannot be written. It is tried: no figure includes quotas,
    mount options and the limit of the number of files."""
    for folder in dict.fromkeys(folders):
        probe = folder / f".{secrets.token_hex(8)}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with probe.open("wb") as file:
                file.write(bytes(PROBE_BYTES))
        except OSError as error:
            raise disk_error(error) from error
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)


def disk_error(error: OSError) -> KinoraError:
    """The KinoraError for a failed write."""
    if error.errno in NO_ROOM:
        return KinoraError(ErrorCode.OUT_OF_DISK)
    if error.errno == errno.EROFS:
        return KinoraError(ErrorCode.UNAVAILABLE, READ_ONLY)
    return KinoraError(ErrorCode.UNAVAILABLE, "The data folder cannot be written right now.")


READ_ONLY = "The disk is read-only. Nothing can be made or deleted until it can be written again."


def _free_bytes(folder: Path) -> int:
    if not hasattr(os, "statvfs"):
        return 0
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _allocate(handle: int) -> None:
    try:
        os.posix_fallocate(handle, 0, RESERVE_BYTES)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.write(
            handle, os.urandom(RESERVE_BYTES)
        )  # such file systems may store zeros without using space
