"""Which servers are alive: by file locks on one machine, by heartbeats in a shared database.

A server holds a lock on its file for as long as its process lives; the kernel releases it however
the process ends. So several processes may share one data folder (the page and the command line,
say) without one taking over the jobs of another that is alive.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from errors import KinoraError
from jobs.database import Database, servers

log = logging.getLogger(__name__)

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
            # on a disk without locks, the jobs of a dead server must not stay unfinished for ever
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True


_OURS: set[Path] = set()
"""The files locked by this process: to the process that holds it, a record lock looks free."""

COMMAND = "cli@"
"""Prefix of the names of command lines; no host name has an @."""
CHECK_S = 2.0


def is_command(name: str) -> bool:
    """The jobs of a command line are never taken over by another process."""
    return name.startswith(COMMAND)


class ServerLiveness(Protocol):
    """Shows others that this server is alive, and finds those that are not."""

    name: str

    def has_others(self) -> bool:
        """True if other live processes write to the same database."""
        ...

    def is_alive(self, name: str) -> bool: ...

    def expired(self) -> list[str]:
        """The names of servers that have died."""
        ...

    def remove(self, name: str) -> None:
        """Removes what a dead server left."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """A lock that one process holds at a time. Inside it the holder may use transactions of its
        own."""
        ...

    def watch(self, check: Callable[[], object]) -> None:
        """Calls `check` every few seconds from now on: another process may have died."""
        ...

    def close(self) -> None: ...


def liveness_for(database: Database, folder: Path, *, command: bool = False) -> ServerLiveness:
    """`folder` is the data folder; lock files are beside the database, where all that share it see
    them."""
    prefix = COMMAND if command else ""
    if database.is_sqlite:
        return FileLiveness((database.folder or folder) / "servers", prefix)
    return Heartbeat(database, prefix=prefix)


class FileLiveness:
    """A server is alive while it holds the lock on its file in `folder`."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{prefix}{os.getpid()}-{secrets.token_hex(8)}"
        self._folder = folder
        path = self._path(self.name)
        _OURS.add(path)
        # locked before it gets its name, or another process could remove it in between
        new = path if sys.platform == "win32" else path.with_suffix(".new")
        self._file = new.open("wb")
        _try_lock(self._file)
        if new != path:
            new.rename(path)
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    def is_alive(self, name: str) -> bool:
        path = self._path(name)
        if path in _OURS:
            return True
        try:
            with path.open("rb+") as file:
                return not _try_lock(file)
        except FileNotFoundError:
            return False

    def expired(self) -> list[str]:
        names = [path.stem for path in self._folder.glob("*.alive")]
        return [name for name in names if not self.is_alive(name)]

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with (self._folder / "alone.lock").open("wb") as file:
            _try_lock(file, wait=True)
            yield

    def has_others(self) -> bool:
        others = (path.stem for path in self._folder.glob("*.alive"))
        return any(name != self.name and self.is_alive(name) for name in others)

    def watch(self, check: Callable[[], object]) -> None:
        self._watcher = threading.Thread(
            target=self._check_repeatedly, args=(check,), name="presence", daemon=True
        )
        self._watcher.start()

    def _check_repeatedly(self, check: Callable[[], object]) -> None:
        while not self._closed.wait(CHECK_S):
            try:
                check()
            except (KinoraError, OSError) as error:
                log.warning("Looking for other servers failed, retrying: %s", error)
            except Exception:  # without the checks, jobs of dead servers would stay unfinished
                log.exception("Looking for other servers failed, retrying.")

    def close(self) -> None:
        self._closed.set()
        if self._watcher is not None:
            self._watcher.join()
        _OURS.discard(self._path(self.name))
        self._file.close()
        self._path(self.name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.alive"


BEAT_S = 2.0
SILENT_S = 12.0
RECOVERING = 0x4B494E4F5242
"""The key of PostgreSQL's advisory lock for recovery."""
CLOCK = func.extract("epoch", func.clock_timestamp())
"""The database's clock: those of the servers may differ."""


class Heartbeat:
    """A server is alive while it updates its row in the database every two seconds."""

    def __init__(self, database: Database, silent_s: float = SILENT_S, prefix: str = "") -> None:
        self.name = f"{prefix}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(8)}"
        self._database = database
        self._silent_s = silent_s
        self._closed = threading.Event()
        self._checks: list[Callable[[], object]] = []
        self._beat()
        self._thread = threading.Thread(target=self._beat_repeatedly, name="heartbeat", daemon=True)
        self._thread.start()

    def is_alive(self, name: str) -> bool:
        with self._database.reading.begin() as tx:
            last_beat = select(servers.c.seen_at).where(servers.c.name == name)
            seen_at = tx.execute(last_beat).scalar()
            return seen_at is not None and _now(tx) - seen_at < self._silent_s

    def expired(self) -> list[str]:
        with self._database.reading.begin() as tx:
            long_ago = _now(tx) - self._silent_s
            return list(
                tx.execute(select(servers.c.name).where(servers.c.seen_at < long_ago)).scalars()
            )

    def remove(self, name: str) -> None:
        with self._database.durable.begin() as tx:
            tx.execute(delete(servers).where(servers.c.name == name))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._database.reading.begin() as tx:
            tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": RECOVERING})
            yield

    def has_others(self) -> bool:
        return True

    def watch(self, check: Callable[[], object]) -> None:
        self._checks.append(check)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        with suppress(KinoraError):  # the database is away: the row expires by itself
            self.remove(self.name)

    def _beat_repeatedly(self) -> None:
        while not self._closed.wait(BEAT_S):
            try:
                self._beat()
                for check in self._checks:
                    check()
            except KinoraError as error:
                log.warning("Heartbeat failed, retrying: %s", error)
            except Exception:  # without heartbeats, others would take over this server's jobs
                log.exception("Checking other servers failed, retrying.")

    def _beat(self) -> None:
        with self._database.light.begin() as tx:
            row = insert(servers).values(name=self.name, seen_at=CLOCK)
            tx.execute(row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": CLOCK}))


def _now(tx: Connection) -> float:
    return float(tx.execute(select(CLOCK)).scalar_one())
