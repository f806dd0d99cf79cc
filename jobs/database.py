"""Declares the tables for SQLAlchemy, opens a database, and translates its errors.

`migrations` creates the tables; this only names their columns. Handles the differences between
SQLite and PostgreSQL.
"""

from __future__ import annotations

import functools
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime
from typing_extensions import Unpack

from errors import ErrorCode, KinoraError
from jobs.disk_reserve import READ_ONLY, Reserve, refuse_if_full
from jobs.mounts import network_kind

log = logging.getLogger(__name__)

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String),
    Column("server", String),
    Column("state", String),
    Column("request", String),
    Column("fitted", String),
    Column("image", String),
    Column("created_at", Float(53)),
    Column("started_at", Float(53)),
    Column("ended_at", Float(53)),
    Column("attempts", Integer),
    Column("asked", String),
    Column("result", String),
    Column("error", String),
    Column("model", String),
    Column("recipe", String),
    Column("batch", String),
    Column("parent", String),
    Column("full_request", String),
    Column("edit", String),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String),
    Column("created_at", Float(53)),
    Column("kind", String),
    Column("layout", String),
)

keys = Table(
    "keys",
    metadata,
    Column("owner", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String),
    Column("job_id", String),
    Column("at", Float(53)),
)

events = Table(
    "events",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("at", Float(53)),
    Column("kind", String),
    Column("data", String),
)

timings = Table(
    "timings",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("at", Float(53)),
    Column("model", String),
    Column("machine", String),
    Column("width", Integer),
    Column("height", Integer),
    Column("num_frames", Integer),
    Column("steps", Integer),
    Column("guided", Integer),
    Column("seconds", String),
    Column("peak_gb", Float(53)),
)


removed = Table(
    "removed",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String),
    Column("created_at", Float(53)),
    Column("at", Float(53)),
)

servers = Table(
    "servers",
    metadata,
    Column("name", String, primary_key=True),
    Column("seen_at", Float(53)),
)


saved = Table(
    "saved",
    metadata,
    Column("owner", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("body", String),
    Column("at", Float(53)),
)

shares = Table(
    "shares",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", String),
    Column("owner", String),
    Column("title", String),
    Column("hide_prompt", Integer),
    Column("hide_settings", Integer),
    Column("is_public", Integer),
    Column("created_at", Float(53)),
    Column("expires_at", Float(53)),
)


class DatabaseHandle:
    """An engine of the database, with its errors raised as `kinora_error` translates them."""

    def __init__(self, engine: Engine, folder: Path | None = None) -> None:
        self.engine = engine
        self._folder = folder

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as tx:
                yield tx
        except (DBAPIError, NoConnectionInTime) as error:
            if self._folder and _may_be_the_disk(error):
                refuse_if_full(self._folder)
            raise kinora_error(error) from error

    def dispose(self) -> None:
        self.engine.dispose()


class Database:
    """One database with three engines.

    `durable` commits are on the disk when they return. `light` commits survive the end of this
    process but maybe not a power cut, which is enough for progress and 50 times cheaper.
    `reading` never waits for a writer.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.folder: Path | None = None
        """Where an SQLite file is."""
        if self.is_sqlite:
            path = parsed.database
            if path and path != ":memory:":
                self.folder = Path(path).absolute().parent
                self.folder.mkdir(parents=True, exist_ok=True)
            journal = _journal(Path(path)) if path and path != ":memory:" else "WAL"
            light = "NORMAL" if journal == "WAL" else "FULL"

            def handle(synchronous: str, begin: str) -> DatabaseHandle:
                engine = _sqlite(parsed, journal, synchronous=synchronous, begin=begin)
                return DatabaseHandle(engine, self.folder)

            self.durable = handle("FULL", "BEGIN IMMEDIATE")
            self.light = handle(light, "BEGIN IMMEDIATE")
            self.reading = handle(light, "BEGIN")
        else:
            self.durable = self.reading = DatabaseHandle(_postgresql(parsed))
            self.light = DatabaseHandle(_postgresql(parsed, "-c synchronous_commit=off"))
        file = Path(parsed.database or "").name
        self.reserve = Reserve(self.folder and self.folder / f"{file}.reserve", self._checkpoint)

    def _checkpoint(self) -> None:
        """Writes SQLite's log into the database: what comes next overwrites it from its start."""
        with suppress(DBAPIError, sqlite3.Error):
            connection = self.durable.engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                connection.close()

    def refuse_if_full(self) -> None:
        if self.folder:
            refuse_if_full(self.folder)

    def close(self) -> None:
        for each in {self.durable, self.light, self.reading}:
            each.dispose()


def kinora_error(error: Exception) -> Exception:
    """A KinoraError for a full disk or an unavailable database; any other error unchanged."""
    cause = getattr(error, "orig", None)
    is_full = (
        getattr(cause, "sqlstate", None) in DISK_FULL
        or getattr(cause, "sqlite_errorname", None) == "SQLITE_FULL"
        or "disk is full" in str(cause)
    )
    if is_full:
        return KinoraError(ErrorCode.OUT_OF_DISK)
    if _name_of(error).startswith("SQLITE_READONLY"):
        return KinoraError(ErrorCode.UNAVAILABLE, READ_ONLY)
    if isinstance(error, OperationalError | InterfaceError | NoConnectionInTime):
        sentence = "The database cannot be reached right now. Try again in a minute."
        return KinoraError(ErrorCode.UNAVAILABLE, sentence)
    return error


def _name_of(error: Exception) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlite_errorname", None) or "")


def _may_be_the_disk(error: Exception) -> bool:
    """SQLite raises these if one of its other files cannot be created or extended."""
    return _name_of(error).startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_FULL"))


DISK_FULL = ("53100",)


def all_rows(
    tx: Connection, query: Select[Unpack[tuple[Any, ...]]], **parameters: Any
) -> list[tuple[Any, ...]]:
    """What the query finds, read in one step. No float of it may be NULL.

    Python's SQLite lets other threads run before every row, and a busy one keeps the interpreter
    for 5 ms each time: a thousand rows can take a second. So there they come as one piece of JSON.
    """
    if tx.dialect.name != "sqlite":
        return [tuple(row) for row in tx.execute(query, parameters)]
    found = json.loads(tx.execute(_as_json(query), parameters).scalar_one())
    reads = [float if isinstance(c.type, Float) else _as_it_is for c in query.selected_columns]
    return [tuple(read(value) for read, value in zip(reads, row, strict=True)) for row in found]


@functools.lru_cache(maxsize=32)
def _as_json(query: Select[Unpack[tuple[Any, ...]]]) -> Select[Any]:
    """Floats as text: JSON's own would lose their last digits."""
    found = query.subquery().c
    columns = [func.printf("%!.17g", c) if isinstance(c.type, Float) else c for c in found]
    return select(func.json_group_array(func.json_array(*columns)))


def _as_it_is(value: Any) -> Any:
    return value


def one_at_a_time(tx: Connection) -> None:
    """For the rest of the transaction. SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql":
        tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


LOCK = 0x4B494E4F5241  # "KINORA"


def _postgresql(url: URL, options: str = "") -> Engine:
    """psycopg 3, whatever the address calls it."""
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "postgresql":
        raise KinoraError(ErrorCode.INVALID_INPUT, "DATABASE_URL must be SQLite or PostgreSQL.")
    if not find_spec("psycopg"):
        sentence = "PostgreSQL needs more packages: pip install -r requirements-scale.txt"
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=15,
        pool_timeout=10,
        connect_args={"connect_timeout": 5, "options": options},
    )


def _journal(database: Path) -> str:
    """The write-ahead log needs memory that its readers share, which network mounts do not have;
    the rollback journal does with locks. A DATABASE_URL that names such a place gets that one."""
    kind = network_kind(database)
    if kind is None:
        return "WAL"
    log.warning(
        "DATABASE_URL is on a network or user-space mount (%s): SQLite is slow there, and only as "
        "safe as its locks. Use a local disk, or PostgreSQL.",
        kind,
    )
    return "DELETE"


def _sqlite(url: URL, journal: str, *, synchronous: str, begin: str) -> Engine:
    engine = create_engine(url, pool_size=48, max_overflow=24)

    @event.listens_for(engine, "connect")
    def set_manners(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            "busy_timeout = 30000",
            f"journal_mode = {journal}",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def say_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
