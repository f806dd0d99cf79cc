"""A job as a row of the database, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from jobs.job import Job, Result, State
from media.operations.edit_request import EditRequest
from pipelines.field_types import STORED
from pipelines.request import FittedRequest, GenerationRequest


def row_of(job: Job, server: str, recipe: str | None) -> dict[str, Any]:
    """`server` accepted the job; equal `recipe`s may share a clip. An edit needs no model, so that
    every worker may run it."""
    return {
        "id": job.id,
        "owner": job.owner,
        "server": server,
        "state": job.state.value,
        "request": job.request.model_dump_json(),
        "fitted": job.fitted.model_dump_json(),
        "image": job.request.image,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "attempts": 0,
        "result": job.result.model_dump_json() if job.result else None,
        "model": "" if job.edit else job.fitted.model,
        "recipe": recipe,
        "batch": job.batch,
        "parent": job.parent,
        "full_request": job.full_request.model_dump_json() if job.full_request else None,
        "edit": job.edit.model_dump_json() if job.edit else None,
    }


def job_of(row: RowMapping | Mapping[str, Any]) -> Job:
    return Job(
        id=row["id"],
        owner=row["owner"],
        state=State(row["state"]),
        request=_request(row["request"]),
        fitted=FittedRequest.model_validate_json(row["fitted"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        attempts=row["attempts"],
        asked=row["asked"],
        result=Result.model_validate_json(row["result"]) if row["result"] else None,
        error=json.loads(row["error"]) if row["error"] else None,
        batch=row["batch"],
        parent=row["parent"],
        full_request=_request(row["full_request"]) if row["full_request"] else None,
        edit=edit_of(row["edit"]),
    )


def _request(stored: str) -> GenerationRequest:
    return GenerationRequest.model_validate_json(stored, context=STORED)


def edit_of(stored: str | None) -> EditRequest | None:
    return EditRequest.model_validate_json(stored) if stored else None
