"""The tables of the gallery for SQLAlchemy; `migrations` creates them.

`clips` has one narrow row for each job: what a visitor sorts, filters and searches by. The jobs
themselves are wide, and reading ten thousand of them takes longer than a page may take.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, String, Table

from jobs.database import metadata

clips = Table(
    "clips",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("owner", String),
    Column("created_at", Float(53)),
    Column("task", String),
    Column("model", String),
    Column("width", Integer),
    Column("height", Integer),
    Column("seconds", Float(53)),
    Column("bytes", BigInteger),
    Column("text", String),
    Column("title", String),
    Column("starred", Integer),
    Column("parent", String),
    Column("source", String),
    Column("source_kind", String),
    Column("delete_at", Float(53)),
)

collections = Table(
    "collections",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String),
    Column("name", String),
    Column("created_at", Float(53)),
)

collection_clips = Table(
    "collection_clips",
    metadata,
    Column("collection", String, primary_key=True),
    Column("job_id", String, primary_key=True),
    Column("at", Float(53)),
)

clip_inputs = Table(
    "clip_inputs",
    metadata,
    Column("owner", String, primary_key=True),
    Column("upload", String, primary_key=True),
    Column("job_id", String),
)

edit_sources = Table(
    "edit_sources",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("source", String, primary_key=True),
)
"""The clips that an edit is made of, without those that were uploaded."""

selections = Table(
    "selections",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String),
    Column("ids", String),
    Column("at", Float(53)),
)
