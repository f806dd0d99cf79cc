"""Batches with a row of their own: accepted whole or not at all, made again, removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest

from app import build_service
from errors import ErrorCode, KinoraError
from jobs.batch import Batch, Layout
from jobs.event_types import JobCancelled
from jobs.job import Job, State
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.foreground import ForegroundExecutor
from pipelines.models.comparison import parse_settings
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.jobs.conftest import MakeJob

ME, OTHER = "visitor:me", "visitor:other"
DOG = GenerationRequest(prompt="a dog", seed=5)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobService]:
    """With a card whose drafts are smaller, and no weights: nothing is made here. Each test leaves
    an empty queue of ten."""
    root = tmp_path_factory.mktemp("batches")
    tiny.write_card(root / "cards", root / "nowhere", drafts={"steps": 2, "scale": 0.5})
    more: dict[str, object] = {"data_dir": root / "data", "models_dir": root / "cards"}
    settings = Settings(_env_file=None, max_queue=10, **more)  # pyright: ignore[reportCallIssue]
    service = build_service(settings, ForegroundExecutor(settings))
    service.start_command()
    yield service
    service.close()


@pytest.fixture(autouse=True)
def _empty_queue(service: JobService) -> Iterator[None]:
    yield
    for job in service._store.unfinished(service._store.server):
        service.cancel(job.id)
    for owner in (ME, OTHER):
        for job in service.list(owner):
            service.delete(job.id)


def code_of(call: object, *args: object, **named: object) -> ErrorCode:
    with pytest.raises(KinoraError) as refused:
        call(*args, **named)  # type: ignore[operator]
    return refused.value.code


def cancel(service: JobService, job_id: str) -> None:
    assert service.cancel(job_id).state is State.CANCELLED


def test_drafts_have_a_batch_different_seeds_and_their_full_clip(service: JobService) -> None:
    jobs = service.submit_plan(service.plans.drafts(DOG, 4), ME)
    found = service.find_batch(jobs[0].batch or "", ME)
    assert found.batch.kind == "drafts" and not found.has_ended
    assert [cell.job_id for cell in found.batch.layout.cells] == [job.id for job in jobs]
    assert list(found.jobs) == jobs
    assert len({job.fitted.seed for job in jobs}) == 4
    for job in jobs:
        assert (job.fitted.width, job.fitted.num_inference_steps) == (32, 2)
        assert job.full_request == DOG.model_copy(
            update={"seed": job.fitted.seed, "model": "pocket"}
        )
    again = service.plans.drafts(DOG, 4)
    assert [job.request.seed for job in again.jobs] == [job.fitted.seed for job in jobs]


def test_a_draft_is_rendered_in_whatever_state_it_is(service: JobService) -> None:
    first, second = service.submit_plan(service.plans.drafts(DOG, 2), ME)
    cancel(service, second.id)
    for draft in (first, second):
        job = service.render(draft.id, ME)
        assert (job.parent, job.batch, job.full_request) == (draft.id, None, None)
        assert job.fitted.seed == draft.fitted.seed
        assert (job.fitted.width, job.fitted.num_inference_steps) == (64, 4)
        assert "another composition" in job.fitted.adjustments[-1].sentence
    assert code_of(service.render, job.id, ME) is ErrorCode.CONFLICT


@pytest.mark.parametrize("count", [0, 1, 9, -3])
def test_there_are_two_to_eight_drafts(service: JobService, count: int) -> None:
    assert code_of(service.plans.drafts, DOG, count) is ErrorCode.INVALID_INPUT


def test_a_batch_is_accepted_whole_or_not_at_all(service: JobService) -> None:
    """Of many at once on a queue with room for one batch, one is accepted, with all its clips."""

    def submit(n: int) -> int:
        try:
            return len(service.submit_plan(service.plans.drafts(DOG, 6), f"visitor:{n}"))
        except KinoraError as error:
            assert error.code is ErrorCode.QUEUE_FULL
            return 0

    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(submit, range(8)))
    assert sorted(accepted) == [0] * 7 + [6]
    assert [len(service.list(f"visitor:{n}")) for n in range(8)] == accepted
    assert sum(len(service.batches(f"visitor:{n}", 10)) for n in range(8)) == 1


def test_another_callers_batch_does_not_exist(service: JobService) -> None:
    jobs = service.submit_plan(service.plans.drafts(DOG, 2), ME)
    batch_id = jobs[0].batch or ""
    assert code_of(service.find_batch, batch_id, OTHER) is ErrorCode.NOT_FOUND
    assert code_of(service.find_batch, "0" * 32, ME) is ErrorCode.NOT_FOUND
    assert service.batches(OTHER, 10) == []
    assert [each.batch.id for each in service.batches(ME, 10)] == [batch_id]


def test_one_clip_is_made_again_in_its_place(service: JobService) -> None:
    first, second = service.submit_batch([DOG, DOG.model_copy(update={"seed": None})], ME)
    assert code_of(service.make_again, first.id, ME) is ErrorCode.CONFLICT
    cancel(service, second.id)
    again = service.make_again(second.id, ME)
    assert (again.batch, again.parent) == (first.batch, second.id)
    assert again.fitted.seed == second.fitted.seed
    found = service.find_batch(first.batch or "")
    assert [job.id for job in found.jobs] == [first.id, again.id]
    assert service.get(second.id).batch is None, "it has left the batch"
    cancel(service, again.id)
    assert service.make_again(again.id, ME).batch == first.batch


def test_a_draft_that_is_made_again_stays_a_draft(service: JobService) -> None:
    draft, _ = service.submit_plan(service.plans.drafts(DOG, 2), ME)
    cancel(service, draft.id)
    again = service.make_again(draft.id, ME)
    assert again.full_request == draft.full_request
    assert service.render(again.id, ME).fitted.seed == draft.fitted.seed


def test_a_batch_keeps_the_request_that_its_clips_vary(service: JobService) -> None:
    request = DOG.model_copy(update={"seed": None, "guidance_scale": 3.0})
    settings = parse_settings(["guidance_scale=2,4", "prompt=dog=>dog,dog=>cat"])
    compared = service.plans.comparison(request, settings, ME)
    shared = service.plans.batch([DOG, DOG.model_copy(update={"prompt": "a cat"})], ME, request)
    for plan in (compared, shared):
        made = service.submit_plan(plan, ME)
        layout = service.find_batch(str(made[0].batch)).batch.layout
        assert GenerationRequest.model_validate(layout.base) == request
        for job in made:
            cancel(service, job.id)
    first = compared.batch.cells[0]
    assert first.labels == ("2", "dog"), "a word that stays says so once"


def test_of_several_that_make_a_clip_again_at_once_one_gets_its_place(service: JobService) -> None:
    """One that reads the clip after it has left the batch makes a clip of its own."""
    _, lost = service.submit_batch([DOG, DOG], ME)
    cancel(service, lost.id)

    def again(_: int) -> bool:
        try:
            return service.make_again(lost.id, ME).batch == lost.batch
        except KinoraError as error:
            assert error.code is ErrorCode.CONFLICT
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(again, range(4))) == [False] * 3 + [True]
    assert len(service.find_batch(lost.batch or "").jobs) == 2


def test_the_row_goes_with_the_last_job(store: JobStore, make_job: MakeJob) -> None:
    jobs = [make_job().model_copy(update={"batch": "b" * 32}) for _ in range(2)]
    layout = Layout.of_jobs([job.id for job in jobs])
    batch = Batch(id="b" * 32, owner="visitor", created_at=1.0, kind="drafts", layout=layout)
    store.add_all(jobs, max_queue=10, max_per_owner=10, batch=batch)
    assert store.batch_row(batch.id) == batch
    for job in jobs:
        assert store.batch_row(batch.id) is not None
        store.move(job.id, State.QUEUED, State.CANCELLED, JobCancelled())
        assert store.delete(job.id)
    assert store.batch_row(batch.id) is None


def test_batches_are_listed_and_one_clip_takes_anothers_place(
    store: JobStore, make_job: MakeJob
) -> None:
    plenty: Any = {"max_queue": 100, "max_per_owner": 100}
    made: list[list[Job]] = []
    for n in range(3):
        batch_id = f"{n}" * 32
        jobs = [make_job().model_copy(update={"batch": batch_id}) for _ in range(2)]
        layout = Layout.of_jobs([job.id for job in jobs])
        at = jobs[0].created_at
        batch = Batch(id=batch_id, owner="visitor", created_at=at, layout=layout)
        store.add_all(jobs, batch=batch if n else None, **plenty)
        made.append(jobs)
        for job in jobs:
            store.move(job.id, State.QUEUED, State.CANCELLED, JobCancelled())
    assert store.newest_batches("visitor", 2) == ["2" * 32, "1" * 32]
    last = made[1][0].created_at
    assert store.newest_batches("visitor", 2, last) == ["0" * 32]
    assert store.newest_batches("other", 2) == []
    assert store.known_batches(["0" * 32, "f" * 32]) == {"0" * 32}

    for first, second in made[:2]:  # without a row, and with one
        again = make_job().model_copy(update={"batch": first.batch})
        store.add_all([again], replaces=first.id, **plenty)
        row = store.batch_row(first.batch or "")
        assert row and [cell.job_id for cell in row.layout.cells] == [again.id, second.id]
        with pytest.raises(KinoraError):
            store.add_all([make_job().model_copy(update={"batch": first.batch})],
                          replaces=first.id, **plenty)  # fmt: skip
        store.move(again.id, State.QUEUED, State.CANCELLED, JobCancelled())
        assert store.batch_ids(first.batch or "") == {again.id, second.id}


def test_a_batch_of_an_earlier_version_is_read_from_its_jobs(service: JobService) -> None:
    jobs = service.submit_batch([DOG, DOG], ME)
    batch_id = jobs[0].batch or ""
    with service._store.database.durable.begin() as tx:
        tx.exec_driver_sql("DELETE FROM batches")
    found = service.find_batch(batch_id)
    assert (found.batch.kind, found.batch.created_at) == ("batch", jobs[0].created_at)
    assert list(found.jobs) == jobs
    cancel(service, jobs[0].id)
    again = service.make_again(jobs[0].id, ME)
    assert [job.id for job in service.find_batch(batch_id).jobs] == [again.id, jobs[1].id]


def test_followers_of_a_batch_follow_a_clip_that_is_made_again(service: JobService) -> None:
    lost, waiting = service.submit_batch([DOG, DOG], ME)
    cancel(service, lost.id)
    batch_id = lost.batch or ""

    async def follow() -> None:
        async with aclosing(service.abatch_changes(batch_id, tick_s=60)) as changes:

            async def changed() -> None:
                await asyncio.wait_for(anext(changes), 20)

            await changed()
            waits = asyncio.ensure_future(changed())
            await asyncio.sleep(0.05)
            again = await asyncio.to_thread(service.make_again, lost.id, ME)
            await waits
            await asyncio.to_thread(service.cancel, again.id)
            await changed()  # it follows the new clip
            found = service.find_batch(batch_id)
            assert [job.id for job in found.jobs] == [again.id, waiting.id]

    asyncio.run(follow())


def test_a_lora_that_is_not_there_concerns_its_cell_only(service: JobService) -> None:
    plan = service.plans.comparison(DOG, parse_settings("loras=,nowhere.safetensors"))
    assert len(plan.jobs) == 1
    problem = plan.batch.cells[1].problem
    assert problem and "nowhere.safetensors" in problem
