"""Who is alive: each server holds a lock on a file for as long as its process lives.

The kernel releases it however the process ends, so a lock that can be taken belongs to nobody.
Several processes may share one data folder this way (the page and the command line, say) and none
takes the other's jobs. For one machine; several machines on one database have `Heartbeat` instead.
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
from typing import TYPE_CHECKING, BinaryIO, Protocol

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from errors import KinoraError
from jobs.database import Database, servers

if TYPE_CHECKING:
    from jobs.database import Database

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
            # where a disk knows no locks, clips of a dead server must not wait for ever
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True


_OURS: set[Path] = set()
"""The files locked by this very process, about which a record lock tells nothing."""


COMMAND = "cli@"
"""Begins the name of a command line's process; no host's name has an @."""
LOOK_S = 2.0


def is_command(name: str) -> bool:
    """The clips of such a process belong to it alone: no other one makes them."""
    return name.startswith(COMMAND)


class ServerLiveness(Protocol):
    """One server's sign of life, whatever it is made of."""

    name: str

    def has_others(self) -> bool:
        """True if other processes that are alive write to the same database."""
        ...

    def is_alive(self, name: str) -> bool: ...
    def the_dead(self) -> list[str]: ...
    def bury(self, name: str) -> None: ...
    def alone(self) -> AbstractContextManager[None]: ...
    def close(self) -> None: ...

    def watch(self, look: Callable[[], object]) -> None:
        """From now on called every few seconds: another process may be gone."""
        ...


def presence_for(database: Database, folder: Path, *, command: bool = False) -> ServerLiveness:
    """`folder` is the data's; the signs of life are where all that share the database see them."""
    prefix = COMMAND if command else ""
    if database.is_sqlite:
        return Presence((database.folder or folder) / "servers", prefix)
    pass

    return Heartbeat(database, prefix=prefix)


class Presence:
    """One server's sign of life, a file in `folder`."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{prefix}{os.getpid()}-{secrets.token_hex(8)}"
        self._folder = folder
        path = self._path(self.name)
        _OURS.add(path)
        # locked before it has its name: another process that looks in between would remove it
        new = path if sys.platform == "win32" else path.with_suffix(".new")
        self._file = new.open("wb")
        _try_lock(self._file)
        if new != path:
            new.rename(path)
        self._closed = threading.Event()
        self._watch: threading.Thread | None = None

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

    def has_others(self) -> bool:
        others = (path.stem for path in self._folder.glob("*.alive"))
        return any(name != self.name and self.is_alive(name) for name in others)

    def watch(self, look: Callable[[], object]) -> None:
        self._watch = threading.Thread(
            target=self._keep_looking, args=(look,), name="presence", daemon=True
        )
        self._watch.start()

    def _keep_looking(self, look: Callable[[], object]) -> None:
        while not self._closed.wait(LOOK_S):
            try:
                look()
            except (KinoraError, OSError) as error:
                log.warning("Looking for other servers failed, retrying: %s", error)
            except Exception:  # a server that does not look leaves the clips of others waiting
                log.exception("Looking for other servers failed, retrying.")

    def close(self) -> None:
        self._closed.set()
        if self._watch is not None:
            self._watch.join()
        _OURS.discard(self._path(self.name))
        self._file.close()
        self._path(self.name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.alive"


log = logging.getLogger(__name__)

BEAT_S = 2.0

SILENT_S = 12.0


class Heartbeat:
    def __init__(self, database: Database, silent_s: float = SILENT_S, prefix: str = "") -> None:
        self.name = f"{prefix}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(8)}"
        self._database = database
        self._silent_s = silent_s
        self._closed = threading.Event()
        self._watchers: list[Callable[[], object]] = []
        self._beat()
        self._thread = threading.Thread(target=self._keep, name="heartbeat", daemon=True)
        self._thread.start()

    def is_alive(self, name: str) -> bool:
        with self._database.reading.begin() as tx:
            seen = select(servers.c.seen_at).where(servers.c.name == name)
            at = tx.execute(seen).scalar()
            return at is not None and _now(tx) - at < self._silent_s

    def the_dead(self) -> list[str]:
        with self._database.reading.begin() as tx:
            long_ago = _now(tx) - self._silent_s
            return list(
                tx.execute(select(servers.c.name).where(servers.c.seen_at < long_ago)).scalars()
            )

    def bury(self, name: str) -> None:
        with self._database.durable.begin() as tx:
            tx.execute(delete(servers).where(servers.c.name == name))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One server at a time, wherever it runs; inside, transactions of one's own."""
        with self._database.reading.begin() as tx:
            tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": RECOVERING})
            yield

    def has_others(self) -> bool:
        return True

    def watch(self, look: Callable[[], object]) -> None:
        self._watchers.append(look)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        with suppress(KinoraError):  # the database is away: the others find out by themselves
            self.bury(self.name)

    def _keep(self) -> None:
        while not self._closed.wait(BEAT_S):
            try:
                self._beat()
                for look in self._watchers:
                    look()
            except KinoraError as error:
                log.warning("Heartbeat failed, retrying: %s", error)
            except Exception:  # a server whose heart stops loses its clips to the others
                log.exception("Checking other servers failed, retrying.")

    def _beat(self) -> None:
        with self._database.light.begin() as tx:
            row = insert(servers).values(name=self.name, seen_at=CLOCK)
            tx.execute(row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": CLOCK}))


RECOVERING = 0x4B494E4F5242

CLOCK = func.extract("epoch", func.clock_timestamp())


def _now(tx: Connection) -> float:
    return float(tx.execute(select(CLOCK)).scalar_one())
