"""The tables as SQLAlchemy sees them, and how a database is opened.

`migrations` makes the tables; this only names their columns. Knows SQLite's manners.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    make_url,
)

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
)


class Database:
    """Three ways into one database.

    `durable` commits reach the disk before anyone is answered. `light` commits survive the death of
    this process but maybe not a power cut, which is enough for progress and 50 times cheaper.
    `reading` never waits for a writer. On anything but SQLite the three are one.
    """

    def __init__(self, url: str) -> None:
        if make_url(url).get_backend_name() == "sqlite":
            path = make_url(url).database
            if path and path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self.durable = _sqlite(url, synchronous="FULL", begin="BEGIN IMMEDIATE")
            self.light = _sqlite(url, synchronous="NORMAL", begin="BEGIN IMMEDIATE")
            self.reading = _sqlite(url, synchronous="NORMAL", begin="BEGIN")
        else:
            self.durable = self.light = self.reading = create_engine(url, pool_pre_ping=True)

    def close(self) -> None:
        for engine in {self.durable, self.light, self.reading}:
            engine.dispose()


def _sqlite(url: str, *, synchronous: str, begin: str) -> Engine:
    engine = create_engine(url, pool_size=8, max_overflow=64)

    @event.listens_for(engine, "connect")
    def set_manners(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            "busy_timeout = 30000",
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def say_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
