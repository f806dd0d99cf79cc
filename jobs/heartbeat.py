"""Who is alive, for servers on several machines: each writes the time into the database.

By the database's own clock, so the machines' clocks do not matter. Whoever was silent for
SILENT_S is gone, and the others take up its work; should it come back, what it still has to say of
that work is refused by the store. Knows one table; knows no job.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from errors import KinoraError
from jobs.tables import Database, servers

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
                log.warning("No sign of life could be given: %s", error)
            except Exception:  # a server whose heart stops loses its clips to the others
                log.exception("Looking after the other servers stumbled; it goes on.")

    def _beat(self) -> None:
        with self._database.light.begin() as tx:
            row = insert(servers).values(name=self.name, seen_at=CLOCK)
            tx.execute(row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": CLOCK}))


RECOVERING = 0x4B494E4F5242
CLOCK = func.extract("epoch", func.clock_timestamp())


def _now(tx: Connection) -> float:
    return float(tx.execute(select(CLOCK)).scalar_one())
