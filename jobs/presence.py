"""Who is alive: each server holds a lock on a file for as long as its process lives.

The kernel lets go of it however the process ends, so a lock that can be taken belongs to nobody.
Several processes may share one data folder this way (the page and the command line, say) and none
takes the other's jobs. For one machine; several machines on one database have `heartbeat` instead.
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from jobs.tables import Database

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO, wait: bool = False) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(file: BinaryIO, wait: bool = False) -> bool:
        # a record lock: unlike flock's, a forked child does not hold it too
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            # where a disk knows no locks, clips of a dead server must not wait for ever
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True


_OURS: set[Path] = set()
"""The files locked by this very process, about which a record lock tells nothing."""


class Alive(Protocol):
    """One server's sign of life, whatever it is made of."""

    name: str

    def is_alive(self, name: str) -> bool: ...
    def the_dead(self) -> list[str]: ...
    def bury(self, name: str) -> None: ...
    def alone(self) -> AbstractContextManager[None]: ...
    def close(self) -> None: ...

    def watch(self, somebody_may_be_gone: Callable[[], object]) -> None:
        """From now on called now and then, where the others may be on other machines."""
        ...


def presence_for(database: Database, folder: Path) -> Alive:
    if database.is_sqlite:
        return Presence(folder)
    from jobs.heartbeat import Heartbeat

    return Heartbeat(database)


class Presence:
    """One server's sign of life, a file in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._folder = folder
        self._file = self._path(self.name).open("wb")
        _OURS.add(self._path(self.name))
        _try_lock(self._file)

    def is_alive(self, name: str) -> bool:
        path = self._path(name)
        if path in _OURS:
            return True
        try:
            with path.open("rb+") as file:
                return not _try_lock(file)
        except FileNotFoundError:
            return False

    def the_dead(self) -> list[str]:
        names = [path.stem for path in self._folder.glob("*.alive")]
        return [name for name in names if not self.is_alive(name)]

    def bury(self, name: str) -> None:
        """Removes what a dead server left."""
        self._path(name).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time."""
        with (self._folder / "alone.lock").open("wb") as file:
            _try_lock(file, wait=True)
            yield

    def watch(self, somebody_may_be_gone: Callable[[], object]) -> None:
        """Not here: whoever starts next looks."""

    def close(self) -> None:
        _OURS.discard(self._path(self.name))
        self._file.close()
        self._path(self.name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.alive"
