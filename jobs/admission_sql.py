"""What is looked at before a request is accepted: limits, keys, and clips that are there already.

Each function works inside the transaction that accepts the request. Knows SQL; knows no worker.
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

KEY_KEPT_S = 24 * 3600
LOOKED_AT_S = 1.0  # how often it is seen whether the weights in a folder have changed
CANDIDATES = 5
"""How many earlier clips of the same recipe are looked at; their files may be gone."""

IS_OWNERS = jobs.c.owner == bindparam("owner")
HOW_MANY = select(
    func.count().filter(jobs.c.state == State.QUEUED.value),
    func.count().filter(IS_OWNERS, jobs.c.batch.is_(None)),
    func.count().filter(IS_OWNERS, jobs.c.batch.is_not(None)),
).where(jobs.c.state.in_((State.QUEUED.value, State.RUNNING.value)))

MADE_BEFORE = (
    select(jobs.c.id)
    .where(
        IS_OWNERS,
        jobs.c.recipe == bindparam("recipe"),
        jobs.c.state == State.SUCCEEDED.value,
    )
    .order_by(jobs.c.created_at.desc())
    .limit(CANDIDATES)
)


class DuplicateRequest(Exception):
    """This very request was accepted earlier, under the same key."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(job_id)


def check_key(tx: Connection, owner: str, once: IdempotencyKey) -> None:
    """AcceptedBefore if this request came already; a KinoraError if the key was another's."""
    tx.execute(delete(keys).where(keys.c.at < time.time() - KEY_KEPT_S))
    mine = (keys.c.owner == owner) & (keys.c.key == once.key)
    known = tx.execute(select(keys.c.fingerprint, keys.c.job_id).where(mine)).first()
    if known is None:
        return
    if known.fingerprint != once.fingerprint:
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            "This Idempotency-Key was used for another request. Use a new one for each request.",
            details={"field": "Idempotency-Key"},
        )
    raise DuplicateRequest(known.job_id)


def keep_key(tx: Connection, owner: str, once: IdempotencyKey, job_id: str) -> None:
    row = {"owner": owner, "key": once.key, "fingerprint": once.fingerprint}
    tx.execute(insert(keys).values(row | {"job_id": job_id, "at": time.time()}))


def check_limits(
    tx: Connection,
    accepted: Sequence[Job],
    *,
    max_queue: int,
    max_per_owner: int,
    idle: Collection[str] = (),
) -> None:
    """A batch is one thing to its owner: of those, one at a time may be unfinished.

    `idle` clips count for nothing: they wait for a web request that may never come (ZeroGPU)."""
    asked = [job for job in accepted if job.state is State.QUEUED]
    if not asked:
        return
    owner, is_batch = asked[0].owner, asked[0].batch is not None
    waiting, single, in_batches = tx.execute(HOW_MANY, {"owner": owner}).one()
    if idle:
        named = HOW_MANY.where(jobs.c.state == State.QUEUED.value, jobs.c.id.in_(list(idle)))
        nobodys = tx.execute(named, {"owner": owner}).one()
        waiting, single, in_batches = (
            all_ - idle_ for all_, idle_ in zip((waiting, single, in_batches), nobodys, strict=True)
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
    if waiting + len(asked) > max_queue:
        raise KinoraError(ErrorCode.QUEUE_FULL)


def recipe_of(
    fitted: FittedRequest, card: ModelCard | None, loras: Sequence[tuple[str, int, int]] = ()
) -> str | None:
    """The same recipe, the same frames: every setting, and the weights they are used with. `loras`
    are the files that their names mean. None where it is not known which weights those are."""
    if card is None:
        return None
    settings = fitted.model_dump(mode="json", exclude={"adjustments", "allow_fallback"})
    weights: list[object] = [card.repo, card.revision, card.variant]
    folder = card.local_path
    if folder is not None:  # a folder has no revision; its files say when they changed
        weights += _weights_in(folder, int(time.monotonic() / LOOKED_AT_S))
    weights += [list(each) for each in loras]
    line = json.dumps([settings, weights], sort_keys=True)
    return hashlib.sha256(line.encode()).hexdigest()


@functools.lru_cache(maxsize=64)
def _weights_in(folder: Path, _when: int) -> list[tuple[str, int, int]]:
    files = sorted(folder.rglob("*.safetensors"))
    return [(f.name, (s := f.stat()).st_size, s.st_mtime_ns) for f in files]


def made_before(tx: Connection, owner: str, recipe: str) -> list[str]:
    """The owner's finished clips of that recipe, newest first."""
    return list(tx.execute(MADE_BEFORE, {"owner": owner, "recipe": recipe}).scalars())
