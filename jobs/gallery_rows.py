"""Writes the gallery's row of each job: when it is accepted, when its clip is there or gone, and
for jobs of earlier versions. Each function but `add_missing_rows` runs inside the caller's
transaction.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, insert, select, update

from jobs.database import Database, jobs
from jobs.gallery_tables import clip_inputs, clips, edit_sources
from jobs.job import Job, Result, is_job_id
from jobs.job_rows import job_of
from pipelines.request import REQUEST_FIELDS, FittedRequest
from pipelines.request_fields import Kind

SourceKind = Literal["continued", "edited", "picture"]
INPUTS: tuple[tuple[str, SourceKind], ...] = (
    ("continue_from", "continued"),
    ("video", "edited"),
    ("image", "picture"),
    ("last_image", "picture"),
)
"""The inputs of a request, and what a clip made from another one by it is to that one."""
AT_ONCE = 500

SOURCE = select(clip_inputs.c.job_id).where(
    clip_inputs.c.owner == bindparam("owner"), clip_inputs.c.upload == bindparam("upload")
)
WITHOUT_ROW = (
    select(jobs)
    .outerjoin(clips, clips.c.job_id == jobs.c.id)
    .where(clips.c.job_id.is_(None))
    .limit(AT_ONCE)
)


def add_rows(tx: Connection, accepted: Sequence[Job]) -> None:
    """The rows of jobs that are stored in the same transaction."""
    tx.execute(insert(clips), [_row(tx, job) for job in accepted])
    sources = [row for job in accepted for row in _edit_sources(tx, job)]
    if sources:
        tx.execute(insert(edit_sources), sources)


def change_model(tx: Connection, job_id: str, fitted: FittedRequest) -> None:
    """Another model makes the clip than it was accepted for."""
    found = tx.execute(select(clips.c.title).where(clips.c.job_id == job_id)).first()
    if found is None:
        return
    values = _settings(fitted) | {"text": search_text(found.title, fitted)}
    tx.execute(update(clips).where(clips.c.job_id == job_id).values(values))


def set_result(tx: Connection, job_id: str, result: Result) -> None:
    """The clip is there, or its files were removed."""
    tx.execute(update(clips).where(clips.c.job_id == job_id).values(_result(result)))


def rename(tx: Connection, job_id: str, title: str | None, fitted: FittedRequest) -> None:
    values = {"title": title, "text": search_text(title, fitted)}
    tx.execute(update(clips).where(clips.c.job_id == job_id).values(values))


def add_missing_rows(database: Database) -> int:
    """Adds the rows of jobs that were accepted by an earlier version; returns how many."""
    added = 0
    while True:
        with database.light.begin() as tx:
            if tx.dialect.name == "postgresql":  # two servers may start at the same moment
                tx.exec_driver_sql("LOCK TABLE clips IN SHARE ROW EXCLUSIVE MODE")
            rows = [_row(tx, job_of(row)) for row in tx.execute(WITHOUT_ROW).mappings()]
            if rows:
                tx.execute(insert(clips), rows)
        added += len(rows)
        if len(rows) < AT_ONCE:
            return added


def search_text(title: str | None, fitted: FittedRequest) -> str:
    """What a search looks through: the title, the prompt, then each setting as `seed 7;`."""
    origin = fitted.prompt_origin
    words = [title or "", fitted.prompt, origin.prompt if origin else ""]
    for field in REQUEST_FIELDS.values():
        value = getattr(fitted, field.name, None)
        if field.name == "prompt" or field.is_file or value in (None, "", (), False):
            continue
        if field.kind is Kind.LORAS:
            value = ", ".join(lora.source for lora in fitted.loras)
        elif field.kind is Kind.NUMBER:
            value = f"{value:g}"
        elif field.kind is Kind.POINT:
            continue
        words.append(f"{field.label} {'yes' if value is True else value};")
    words.append(f"size {fitted.width}x{fitted.height};")
    if origin and origin.style:
        words.append(f"style {origin.style};")
    return fold("\n".join(words))


def fold(text: str) -> str:
    """Equal for texts that differ in case, width or composition of their letters only."""
    return unicodedata.normalize("NFKC", text).casefold()


def _row(tx: Connection, job: Job) -> dict[str, Any]:
    source = _source(tx, job)
    return {
        "job_id": job.id,
        "owner": job.owner,
        "created_at": job.created_at,
        "task": job.fitted.task.value,
        "seconds": job.fitted.duration_s,
        "bytes": 0,
        "text": search_text(None, job.fitted),
        "starred": 0,
        "parent": None if job.edit else job.parent,  # which is among its sources
        "source": source[0] if source else None,
        "source_kind": source[1] if source else None,
        **_settings(job.fitted),
        **(_result(job.result) if job.result else {}),
    }


def _source(tx: Connection, job: Job) -> tuple[str, SourceKind] | None:
    """The clip that this one is made from, if it is one of the owner's. Not for an edit, which may
    have several: what its first clip was made from, it was not."""
    if job.edit:
        return None
    for name, kind in INPUTS:
        upload = getattr(job.fitted, name)
        found = upload and tx.execute(SOURCE, {"owner": job.owner, "upload": upload}).scalar()
        if found:
            return found, kind
    return None


def _edit_sources(tx: Connection, job: Job) -> list[dict[str, str]]:
    """The clips that an edit is made of, also those that were stored as uploads in between."""
    found: dict[str, None] = {}
    for each in job.edit.clips if job.edit else ():
        named = {"owner": job.owner, "upload": each}
        source = each if is_job_id(each) else tx.execute(SOURCE, named).scalar()
        if source:
            found[source] = None
    return [{"job_id": job.id, "source": source} for source in found]


def _settings(fitted: FittedRequest) -> dict[str, Any]:
    width, height = fitted.made_size
    return {"model": fitted.model, "width": width, "height": height}


def _result(result: Result) -> dict[str, Any]:
    """A clip that was reused shares its file with the first one: it is counted there."""
    takes_nothing = result.gone is not None or result.reused
    return {
        "width": result.width,
        "height": result.height,
        "seconds": result.duration_s,
        "bytes": 0 if takes_nothing else result.size_bytes,
    }
