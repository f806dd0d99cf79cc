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
    func.count().filter(HAS_OWNER),
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
    """Raises KinoraError: RATE_LIMITED if the owner would have more than `max_per_owner` unfinished
    clips, QUEUE_FULL. Every clip of a batch counts as one that is submitted alone does.

    `idle` jobs are not counted: they wait for a web request that may never come (ZeroGPU)."""
    new = sum(job.state is State.QUEUED for job in accepted)
    if not new:
        return
    named = {"owner": accepted[0].owner}
    queued, unfinished = tx.execute(UNFINISHED_COUNTS, named).one()
    if idle:
        counts = UNFINISHED_COUNTS.where(
            jobs.c.state == State.QUEUED.value, jobs.c.id.in_(list(idle))
        )
        idle_queued, idle_unfinished = tx.execute(counts, named).one()
        queued, unfinished = queued - idle_queued, unfinished - idle_unfinished
    if unfinished + new > max_per_owner:
        raise _too_many(new, unfinished, max_per_owner)
    if queued + new > max_queue:
        raise _queue_full(new, queued, max_queue)


def _too_many(new: int, unfinished: int, most: int) -> KinoraError:
    details = {"clips": new, "unfinished": unfinished, "limit": most}
    if new > most:
        sentence = f"{new} clips at once are more than the {most} that may be unfinished here."
        advice = f"Start at most {most} at a time." if most > 1 else "Start them one by one."
        return KinoraError(ErrorCode.RATE_LIMITED, f"{sentence} {advice}", details=details)
    sentence = (
        f"You have 1 clip that is not finished yet; at most {most} are allowed."
        if unfinished == 1
        else f"You have {unfinished} clips that are not finished yet; at most {most} are allowed."
    )
    if new == 1:
        advice = "Wait for one of them, or discard one."
    elif unfinished >= most:
        advice = f"Wait, or discard some: there is no room for {new} more."
    else:
        advice = f"Wait, or start {most - unfinished} instead of {new}."
    return KinoraError(ErrorCode.RATE_LIMITED, f"{sentence} {advice}", details=details)


def _queue_full(new: int, queued: int, most: int) -> KinoraError:
    details = {"clips": new, "queued": queued, "limit": most}
    if new == 1:
        return KinoraError(ErrorCode.QUEUE_FULL, details=details)
    free = max(0, most - queued)
    sentence = f"{new} clips do not fit into the queue, which has room for {free} of {most} now."
    advice = "Try again in a minute." if free < 2 else "Try again in a minute, or start fewer."
    return KinoraError(ErrorCode.QUEUE_FULL, f"{sentence} {advice}", details=details)


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
