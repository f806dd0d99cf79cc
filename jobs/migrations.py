"""The database schema as numbered migrations.

A migration that was released is never edited; the next change is a new one. The SQL is limited to
what SQLite and PostgreSQL both accept.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from errors import ErrorCode, KinoraError
from jobs.database import Database, kinora_error, one_at_a_time

MIGRATIONS: list[tuple[str, list[str]]] = [
    (
        "0001_jobs_events_timings",
        [
            """CREATE TABLE jobs (
                id TEXT PRIMARY KEY,
                owner TEXT NOT NULL,
                server TEXT NOT NULL,
                state TEXT NOT NULL,
                request TEXT NOT NULL,
                fitted TEXT NOT NULL,
                image TEXT,
                created_at DOUBLE PRECISION NOT NULL,
                started_at DOUBLE PRECISION,
                ended_at DOUBLE PRECISION,
                attempts INTEGER NOT NULL,
                asked TEXT,
                result TEXT,
                error TEXT
            )""",
            "CREATE INDEX jobs_by_state ON jobs (state, server, created_at)",
            "CREATE INDEX jobs_by_owner ON jobs (owner, created_at)",
            "CREATE INDEX jobs_by_start ON jobs (owner, started_at)",
            "CREATE INDEX jobs_by_image ON jobs (image)",
            """CREATE TABLE events (
                job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
                n INTEGER NOT NULL,
                at DOUBLE PRECISION NOT NULL,
                kind TEXT NOT NULL,
                data TEXT NOT NULL,
                PRIMARY KEY (job_id, n)
            )""",
            """CREATE TABLE timings (
                job_id TEXT PRIMARY KEY,
                at DOUBLE PRECISION NOT NULL,
                model TEXT NOT NULL,
                machine TEXT NOT NULL,
                width INTEGER NOT NULL,
                height INTEGER NOT NULL,
                num_frames INTEGER NOT NULL,
                steps INTEGER NOT NULL,
                guided INTEGER NOT NULL,
                seconds TEXT NOT NULL
            )""",
            "CREATE INDEX timings_by_model ON timings (model, machine, at)",
        ],
    ),
    (
        "0002_keys_recipes_batches",
        [
            "ALTER TABLE jobs ADD COLUMN model TEXT",
            "ALTER TABLE jobs ADD COLUMN recipe TEXT",
            "ALTER TABLE jobs ADD COLUMN batch TEXT",
            "ALTER TABLE jobs ADD COLUMN parent TEXT",
            "CREATE INDEX jobs_by_recipe ON jobs (owner, recipe)",
            "CREATE INDEX jobs_by_batch ON jobs (batch)",
            """CREATE TABLE keys (
                owner TEXT NOT NULL,
                key TEXT NOT NULL,
                fingerprint TEXT NOT NULL,
                job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
                at DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (owner, key)
            )""",
            "CREATE INDEX keys_by_age ON keys (at)",
            "CREATE INDEX keys_by_job ON keys (job_id)",
        ],
    ),
    (
        "0003_servers",
        [
            "CREATE TABLE servers (name TEXT PRIMARY KEY, seen_at DOUBLE PRECISION NOT NULL)",
        ],
    ),
    (
        "0004_peak_memory",
        [
            "ALTER TABLE timings ADD COLUMN peak_gb DOUBLE PRECISION",
        ],
    ),
    (
        "0005_the_line_without_its_jobs",
        [
            "CREATE INDEX jobs_in_line ON jobs (state, server, created_at, id, owner, model)",
            "CREATE INDEX jobs_unfinished ON jobs (state, owner, batch)",
            "DROP INDEX jobs_by_state",
        ],
    ),
    (
        "0006_places_of_removed_jobs",
        [
            """CREATE TABLE removed (
                id TEXT PRIMARY KEY,
                owner TEXT NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                at DOUBLE PRECISION NOT NULL
            )""",
            "CREATE INDEX removed_by_age ON removed (at)",
        ],
    ),
    (
        "0007_batches",
        [
            """CREATE TABLE batches (
                id TEXT PRIMARY KEY,
                owner TEXT NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                kind TEXT NOT NULL,
                layout TEXT NOT NULL
            )""",
            "ALTER TABLE jobs ADD COLUMN full_request TEXT",
        ],
    ),
    (
        "0008_saved_styles_and_looks",
        [
            """CREATE TABLE saved (
                owner TEXT NOT NULL,
                kind TEXT NOT NULL,
                name TEXT NOT NULL,
                body TEXT NOT NULL,
                at DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (owner, kind, name)
            )""",
            "CREATE INDEX saved_by_age ON saved (at)",
        ],
    ),
    (
        "0009_gallery",
        [
            """CREATE TABLE clips (
                job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
                owner TEXT NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                task TEXT NOT NULL,
                model TEXT NOT NULL,
                width INTEGER NOT NULL,
                height INTEGER NOT NULL,
                seconds DOUBLE PRECISION NOT NULL,
                bytes BIGINT NOT NULL,
                text TEXT NOT NULL,
                title TEXT,
                starred INTEGER NOT NULL DEFAULT 0,
                parent TEXT,
                source TEXT,
                source_kind TEXT,
                delete_at DOUBLE PRECISION
            )""",
            "CREATE INDEX clips_by_date ON clips (owner, created_at, job_id)",
            "CREATE INDEX clips_by_length ON clips (owner, seconds, created_at, job_id)",
            "CREATE INDEX clips_by_model ON clips (owner, model, created_at DESC, job_id DESC)",
            "CREATE INDEX clips_starred ON clips (owner, created_at, job_id) WHERE starred = 1",
            "CREATE INDEX clips_deleted ON clips (owner, delete_at) WHERE delete_at IS NOT NULL",
            "CREATE INDEX clips_to_delete ON clips (delete_at) WHERE delete_at IS NOT NULL",
            "CREATE INDEX clips_by_parent ON clips (parent)",
            "CREATE INDEX clips_by_source ON clips (source)",
            """CREATE TABLE collections (
                id TEXT PRIMARY KEY,
                owner TEXT NOT NULL,
                name TEXT NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                UNIQUE (owner, name)
            )""",
            """CREATE TABLE collection_clips (
                collection TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
                job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
                at DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (collection, job_id)
            )""",
            "CREATE INDEX collections_of_clip ON collection_clips (job_id)",
            """CREATE TABLE clip_inputs (
                owner TEXT NOT NULL,
                upload TEXT NOT NULL,
                job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
                PRIMARY KEY (owner, upload)
            )""",
            "CREATE INDEX clip_inputs_of_job ON clip_inputs (job_id)",
            """CREATE TABLE selections (
                id TEXT PRIMARY KEY,
                owner TEXT NOT NULL,
                ids TEXT NOT NULL,
                at DOUBLE PRECISION NOT NULL
            )""",
        ],
    ),
    (
        "0010_shares",
        [
            """CREATE TABLE shares (
                id TEXT PRIMARY KEY,
                job_id TEXT NOT NULL UNIQUE REFERENCES jobs (id) ON DELETE CASCADE,
                owner TEXT NOT NULL,
                title TEXT NOT NULL,
                hide_prompt INTEGER NOT NULL,
                hide_settings INTEGER NOT NULL,
                is_public INTEGER NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                expires_at DOUBLE PRECISION
            )""",
            "CREATE INDEX shares_by_owner ON shares (owner, created_at)",
            "CREATE INDEX shares_in_public ON shares (is_public, created_at)",
        ],
    ),
    (
        "0011_moderation",
        [
            """CREATE TABLE reports (
                id TEXT PRIMARY KEY,
                job_id TEXT NOT NULL,
                share_id TEXT NOT NULL,
                reason TEXT NOT NULL,
                note TEXT NOT NULL,
                reporter TEXT NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                closed_at DOUBLE PRECISION,
                outcome TEXT
            )""",
            "CREATE INDEX reports_of_clip ON reports (job_id, created_at)",
            "CREATE INDEX reports_by_state ON reports (closed_at, created_at)",
            """CREATE TABLE takedowns (
                job_id TEXT PRIMARY KEY,
                at DOUBLE PRECISION NOT NULL,
                note TEXT NOT NULL,
                has_files INTEGER NOT NULL
            )""",
            """CREATE TABLE blocked_files (
                id TEXT PRIMARY KEY,
                job_id TEXT NOT NULL,
                at DOUBLE PRECISION NOT NULL,
                sha256 TEXT NOT NULL,
                hashes TEXT NOT NULL
            )""",
            """CREATE TABLE blocked_callers (
                caller TEXT PRIMARY KEY,
                at DOUBLE PRECISION NOT NULL,
                until DOUBLE PRECISION NOT NULL
            )""",
            "CREATE TABLE moderation_keys (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        ],
    ),
    (
        "0012_edits",
        [
            "ALTER TABLE jobs ADD COLUMN edit TEXT",
            """CREATE TABLE edit_sources (
                job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
                source TEXT NOT NULL,
                PRIMARY KEY (job_id, source)
            )""",
            "CREATE INDEX edits_of_clip ON edit_sources (source)",
        ],
    ),
    (
        "0013_films",
        [
            """CREATE TABLE films (
                id TEXT PRIMARY KEY,
                owner TEXT NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                changed_at DOUBLE PRECISION NOT NULL,
                version INTEGER NOT NULL,
                server TEXT NOT NULL,
                is_open INTEGER NOT NULL,
                pending INTEGER NOT NULL,
                body TEXT NOT NULL
            )""",
            "CREATE INDEX films_by_owner ON films (owner, created_at)",
            "CREATE INDEX films_open ON films (owner) WHERE is_open = 1",
            """CREATE TABLE film_jobs (
                job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
                film_id TEXT NOT NULL REFERENCES films (id) ON DELETE CASCADE
            )""",
            "CREATE INDEX jobs_of_film ON film_jobs (film_id)",
        ],
    ),
]


def open_database(database: Database) -> None:
    """Migrates the database, on a full disk with the reserve. Raises KinoraError if it cannot be
    opened because of the disk."""
    database.reserve.use_for(lambda: _open(database))
    database.reserve.refill()


def _open(database: Database) -> None:
    try:
        migrate(database.durable.engine)
    except DBAPIError as error:
        known = kinora_error(error)
        if isinstance(known, KinoraError) and known.code is ErrorCode.OUT_OF_DISK:
            raise known from error
        database.refuse_if_full()
        raise


def migrate(engine: Engine) -> list[str]:
    """Runs the migrations that are missing and returns their names."""
    with engine.begin() as connection:
        one_at_a_time(connection)
        connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS migrations "
                "(name TEXT PRIMARY KEY, at DOUBLE PRECISION NOT NULL)"
            )
        )
        done = applied(connection)
        missing = [(name, steps) for name, steps in MIGRATIONS if name not in done]
        for name, steps in missing:
            for step in steps:
                connection.execute(text(step))
            connection.execute(
                text("INSERT INTO migrations (name, at) VALUES (:name, :at)"),
                {"name": name, "at": time.time()},
            )
    return [name for name, _ in missing]


def applied(connection: Connection) -> set[str]:
    return {row.name for row in connection.execute(text("SELECT name FROM migrations"))}
