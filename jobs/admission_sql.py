"""The checks of admission in SQL: limits, idempotency keys, and clips that can be reused.

Each function runs inside the transaction that accepts the request.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from errors import ErrorCode, KinoraError
from jobs.database import jobs, keys
from jobs.job import IdempotencyKey, Job, State
from pipelines.models.cards import ModelCard
from pipelines.request import FittedRequest

KEY_LIFETIME_S = 24 * 3600
WEIGHTS_CACHE_S = 1.0  # how soon changed weights in a folder are noticed
CANDIDATES = 5
"""How many earlier clips of the same recipe are tried; the files of some may be gone."""

HAS_OWNER = jobs.c.owner == bindparam("owner")
UNFINISHED_COUNTS = select(
    func.count().filter(jobs.c.state == State.QUEUED.value),
    func.count().filter(HAS_OWNER, jobs.c.batch.is_(None)),
    func.count().filter(HAS_OWNER, jobs.c.batch != bindparam("batch")),
).where(jobs.c.state.in_((State.QUEUED.value, State.RUNNING.value)))

MADE_BEFORE = (
    select(jobs.c.id)
    .where(
        HAS_OWNER,
        jobs.c.recipe == bindparam("recipe"),
        jobs.c.state == State.SUCCEEDED.value,
    )
    .order_by(jobs.c.created_at.desc())
    .limit(CANDIDATES)
)


NOT_IN_THE_FRAMES = {"adjustments", "allow_fallback", "prompt_origin"}


class DuplicateRequest(Exception):
    """The same request was accepted before, with the same idempotency key."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(job_id)


def check_key(tx: Connection, owner: str, key: IdempotencyKey) -> None:
    """Raises DuplicateRequest if this request was accepted before with the same key, and
    KinoraError(INVALID_INPUT) if the key was used for another request."""
    tx.execute(delete(keys).where(keys.c.at < time.time() - KEY_LIFETIME_S))
    is_same = (keys.c.owner == owner) & (keys.c.key == key.key)
    known = tx.execute(select(keys.c.fingerprint, keys.c.job_id).where(is_same)).first()
    if known is None:
        return
    if known.fingerprint != key.fingerprint:
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            "This Idempotency-Key was used for another request. Use a new one for each request.",
            details={"field": "Idempotency-Key"},
        )
    raise DuplicateRequest(known.job_id)


def store_key(tx: Connection, owner: str, key: IdempotencyKey, job_id: str) -> None:
    row = {"owner": owner, "key": key.key, "fingerprint": key.fingerprint}
    tx.execute(insert(keys).values(row | {"job_id": job_id, "at": time.time()}))


def check_limits(
    tx: Connection,
    accepted: Sequence[Job],
    *,
    max_queue: int,
    max_per_owner: int,
    idle: Collection[str] = (),
) -> None:
    """Raises KinoraError: RATE_LIMITED or QUEUE_FULL. An owner may have one unfinished batch at a
    time; a clip of it that is made again belongs to that batch.

    `idle` jobs are not counted: they wait for a web request that may never come (ZeroGPU)."""
    new = [job for job in accepted if job.state is State.QUEUED]
    if not new:
        return
    owner, is_batch = new[0].owner, new[0].batch is not None
    named = {"owner": owner, "batch": new[0].batch or ""}
    queued, single, in_batches = tx.execute(UNFINISHED_COUNTS, named).one()
    if idle:
        counts = UNFINISHED_COUNTS.where(
            jobs.c.state == State.QUEUED.value, jobs.c.id.in_(list(idle))
        )
        of_idle = tx.execute(counts, named).one()
        queued, single, in_batches = (
            all_ - idle_ for all_, idle_ in zip((queued, single, in_batches), of_idle, strict=True)
        )
    if is_batch and in_batches:
        raise KinoraError(
            ErrorCode.RATE_LIMITED,
            f"{in_batches} clips of your last batch are not finished yet. Wait for them.",
        )
    if not is_batch and single >= max_per_owner:
        raise KinoraError(
            ErrorCode.RATE_LIMITED,
            f"You have {single} clips that are not finished yet. Wait for one of them.",
        )
    if queued + len(new) > max_queue:
        raise KinoraError(ErrorCode.QUEUE_FULL)


def recipe_of(
    fitted: FittedRequest, card: ModelCard | None, loras: Sequence[tuple[str, int, int]] = ()
) -> str | None:
    """A hash of all that decides about the frames: every setting and the weights. `loras` are their
    files as (path, size, time of change). None where the weights are not known."""
    if card is None:
        return None
    settings = fitted.model_dump(mode="json", exclude=NOT_IN_THE_FRAMES)
    weights: list[object] = [card.repo, card.revision, card.variant]
    folder = card.local_path
    if folder is not None:  # a folder has no revision: the times of its files stand for it
        weights += _weights_in(folder, int(time.monotonic() / WEIGHTS_CACHE_S))
    weights += [list(each) for each in loras]
    line = json.dumps([settings, weights], sort_keys=True)
    return hashlib.sha256(line.encode()).hexdigest()


@functools.lru_cache(maxsize=64)
def _weights_in(folder: Path, _period: int) -> list[tuple[str, int, int]]:
    files = sorted(folder.rglob("*.safetensors"))
    return [(f.name, (s := f.stat()).st_size, s.st_mtime_ns) for f in files]


def made_before(tx: Connection, owner: str, recipe: str) -> list[str]:
    """The ids of the owner's finished jobs with that recipe, newest first."""
    return list(tx.execute(MADE_BEFORE, {"owner": owner, "recipe": recipe}).scalars())
