"""Accepting: a key makes a request happen once, a batch is all or nothing, a clip is made once."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from errors import ErrorCode, KinoraError
from jobs.admission_sql import DuplicateRequest
from jobs.database import keys
from jobs.event_types import JobCancelled
from jobs.job import IdempotencyKey, State
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.request import GenerationRequest
from tests.goals import Goal
from tests.jobs.conftest import MakeJob, wait_for_kind

DOG = GenerationRequest(prompt="a dog", seed=5, num_inference_steps=2)
PLENTY: Any = {"max_queue": 1000, "max_per_owner": 1000}


def test_fifty_at_once_under_one_key_become_one_job(store: JobStore, make_job: MakeJob) -> None:
    def hand_in(_: int) -> str:
        job = make_job()
        try:
            store.add_all([job], idempotency_key=IdempotencyKey("k", "same"), **PLENTY)
        except DuplicateRequest as before:
            return before.job_id
        return job.id

    with ThreadPoolExecutor(16) as pool:
        ids = Counter(pool.map(hand_in, range(50)))
    assert len(ids) == 1
    assert len(store.history("visitor", limit=100)) == 1


def test_a_key_used_for_something_else_is_refused(store: JobStore, make_job: MakeJob) -> None:
    store.add_all([make_job()], idempotency_key=IdempotencyKey("k", "one"), **PLENTY)
    with pytest.raises(KinoraError, match="used for another request") as refused:
        store.add_all([make_job()], idempotency_key=IdempotencyKey("k", "two"), **PLENTY)
    assert refused.value.kind.http_status == 422
    store.add_all([make_job(owner="other")], idempotency_key=IdempotencyKey("k", "two"), **PLENTY)


@pytest.mark.goal("G6")
def test_a_key_holds_for_a_day(store: JobStore, make_job: MakeJob, goal: Goal) -> None:
    first = make_job()
    store.add_all([first], idempotency_key=IdempotencyKey("k", "one"), **PLENTY)
    hours = 0.0
    for seconds in (3600, 12 * 3600, 24 * 3600 - 60):
        with store.database.durable.begin() as tx:
            tx.execute(update(keys).values(at=time.time() - seconds))
        with pytest.raises(DuplicateRequest) as before:
            store.add_all([make_job()], idempotency_key=IdempotencyKey("k", "one"), **PLENTY)
        assert before.value.job_id == first.id
        hours = seconds / 3600
    goal.count("hours a key holds", hours, at_least=23.9, unit="h")


def test_a_key_is_forgotten_after_a_day_and_with_its_job(
    store: JobStore, make_job: MakeJob
) -> None:
    first = make_job()
    store.add_all([first], idempotency_key=IdempotencyKey("k", "one"), **PLENTY)
    with store.database.durable.begin() as tx:
        tx.execute(update(keys).values(at=time.time() - 24 * 3600 - 1))
    second = make_job()
    store.add_all([second], idempotency_key=IdempotencyKey("k", "two"), **PLENTY)

    store.move(second.id, State.QUEUED, State.CANCELLED, JobCancelled())
    store.delete(second.id)
    store.add_all([make_job()], idempotency_key=IdempotencyKey("k", "three"), **PLENTY)


def test_a_refused_request_leaves_its_key_free(store: JobStore, make_job: MakeJob) -> None:
    with pytest.raises(KinoraError):
        store.add_all(
            [make_job()], idempotency_key=IdempotencyKey("k", "x"), max_queue=0, max_per_owner=9
        )
    store.add_all([make_job()], idempotency_key=IdempotencyKey("k", "y"), **PLENTY)


@pytest.mark.parametrize(
    ("limit", "code"),
    [("max_queue", ErrorCode.QUEUE_FULL), ("max_per_owner", ErrorCode.RATE_LIMITED)],
)
def test_a_batch_is_accepted_whole_or_not_at_all(
    store: JobStore, make_job: MakeJob, limit: str, code: ErrorCode
) -> None:
    jobs = [make_job().model_copy(update={"batch": "b"}) for _ in range(4)]
    with pytest.raises(KinoraError) as full:
        store.add_all(jobs, **PLENTY | {limit: 3})
    assert full.value.code is code
    assert store.batch("b") == []
    store.add_all(jobs, **PLENTY | {limit: 4})
    assert [job.id for job in store.batch("b")] == [job.id for job in jobs]


def test_clips_and_batches_count_for_one_limit(store: JobStore, make_job: MakeJob) -> None:
    def batch(name: str, limit: int) -> None:
        made = [make_job().model_copy(update={"batch": name}) for _ in range(2)]
        store.add_all(made, max_queue=100, max_per_owner=limit)

    batch("first", 2)
    with pytest.raises(KinoraError, match="You have 2 clips that are not finished yet"):
        store.add(make_job(), max_queue=100, max_per_owner=2)
    store.add(make_job(), max_queue=100, max_per_owner=3)
    with pytest.raises(KinoraError, match="start 1 instead of 2"):
        batch("second", 4)
    batch("second", 5)


def test_a_history_can_be_read_from_its_beginning(store: JobStore, make_job: MakeJob) -> None:
    ids = []
    for _ in range(5):
        ids.append(store.add(make_job(), **PLENTY).job_id)
        time.sleep(0.002)
    first = [job.id for job in store.history("visitor", 3, oldest_first=True)]
    rest = [job.id for job in store.history("visitor", 9, first[-1], oldest_first=True)]
    assert first + rest == ids


def test_the_same_request_gets_the_stored_clip_at_once_and_is_told_so(
    service: JobService,
) -> None:
    first = service.submit(DOG, "reuser")
    wait_for_kind(service, first.id, "succeeded")
    again = service.submit(DOG, "reuser", reuse=True)
    assert again.state is State.SUCCEEDED
    assert again.id != first.id
    assert service.get(again.id).result == again.result
    assert again.result is not None
    assert again.result.reused
    assert [event.kind for event in service.watch(again.id)] == ["queued", "succeeded"]
    clip = service.clip_path(again.id, "reuser").read_bytes()
    assert clip == service.clip_path(first.id).read_bytes()

    service.delete(first.id)
    assert service.clip_path(again.id, "reuser").read_bytes() == clip


def test_what_is_not_the_same_request_is_made_anew(service: JobService) -> None:
    first = service.submit(DOG, "anew")
    wait_for_kind(service, first.id, "succeeded")
    for request, owner, reuse in [
        (DOG, "anew", False),
        (DOG, "somebody else", True),
        (DOG.model_copy(update={"seed": 6}), "anew", True),
        (DOG.model_copy(update={"seed": None}), "anew", True),
        (DOG.model_copy(update={"quality": "high"}), "anew", True),
    ]:
        job = service.submit(request, owner, reuse=reuse)
        assert job.state is State.QUEUED, (request, owner)
        service.cancel(job.id)


def test_a_stored_clip_whose_file_is_gone_is_made_anew(service: JobService) -> None:
    request = DOG.model_copy(update={"prompt": "gone"})
    first = service.submit(request, "gone")
    wait_for_kind(service, first.id, "succeeded")
    service.clip_path(first.id).unlink()
    again = service.submit(request, "gone", reuse=True)
    assert again.state is State.QUEUED
    wait_for_kind(service, again.id, "succeeded")
