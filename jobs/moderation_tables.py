"""The tables of reports, removed clips and blocks for SQLAlchemy; `migrations` creates them.

None of them refers to `jobs`: a report is kept when the maker deletes the clip.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, String, Table

from jobs.database import metadata

reports = Table(
    "reports",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", String),
    Column("share_id", String),
    Column("reason", String),
    Column("note", String),
    Column("reporter", String),
    Column("created_at", Float(53)),
    Column("closed_at", Float(53)),
    Column("outcome", String),
)

takedowns = Table(
    "takedowns",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("at", Float(53)),
    Column("note", String),
    Column("has_files", Integer),
)

blocked_files = Table(
    "blocked_files",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", String),
    Column("at", Float(53)),
    Column("sha256", String),
    Column("hashes", String),
)

blocked_callers = Table(
    "blocked_callers",
    metadata,
    Column("caller", String, primary_key=True),
    Column("at", Float(53)),
    Column("until", Float(53)),
)

moderation_keys = Table(
    "moderation_keys",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String),
)
