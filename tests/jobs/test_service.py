"""What a door may do with clips: on a real worker with a real, tiny model."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from errors import ErrorCode, KinoraError
from jobs.job import State
from jobs.service import JobService
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.jobs.conftest import build_service, until, wait_for_kind
from tests.unsigned import without_credentials

ME, OTHER = "visitor:me", "visitor:other"
SHORT = GenerationRequest(prompt="a dog running to the right in the snow", seed=3)
LONG = SHORT.model_copy(update={"num_inference_steps": 50, "width": 128, "height": 128})

pytestmark = pytest.mark.slow


def kinds(service: JobService, job_id: str) -> list[str]:
    return [event.kind for event in service.watch(job_id)]


def refusal(call: object, *args: object) -> ErrorCode:
    with pytest.raises(KinoraError) as refused:
        call(*args)  # type: ignore[operator]
    return refused.value.code


@pytest.fixture
def busy(service: JobService) -> Iterator[str]:
    """A long clip that has begun, so that what comes after it waits."""
    job = service.submit(LONG.model_copy(update={"num_frames": 33}), "visitor:busy")
    wait_for_kind(service, job.id, "step")
    yield job.id
    service.cancel(job.id)
    kinds(service, job.id)


def test_a_clip_from_words(service: JobService) -> None:
    job = service.submit(SHORT, ME)
    assert job.state is State.QUEUED
    log = list(service.watch(job.id, ME))
    assert [e.kind for e in log if e.kind not in ("preview", "loading")] == [
        *("queued", "started", "step", "step", "step", "step"),
        *("decoding", "encoding", "succeeded"),
    ]
    steps = [e.data for e in log if e.kind == "step"]
    assert [(s["index"], s["total"]) for s in steps] == [(i, 4) for i in range(1, 5)]
    assert all(s["eta_s"] >= 0 for s in steps)

    done = service.get(job.id, ME)
    assert done.result and done.state is State.SUCCEEDED
    assert (done.result.width, done.result.height, done.result.num_frames) == (64, 64, 9)
    assert {"load", "encode_prompt", "denoise", "decode", "encode", "total"} <= set(
        done.result.seconds
    )
    for path in (service.clip_path, service.poster_path, service.last_frame_path):
        assert path(job.id, ME).stat().st_size > 0
    with Image.open(service.last_frame_path(job.id)) as last:
        assert last.size == (64, 64)


def test_previews_come_while_it_is_made_and_stay_out_of_the_log(service: JobService) -> None:
    job = service.submit(SHORT, ME)
    previews = [e.data for e in service.watch(job.id) if e.kind == "preview"]
    assert previews
    assert [p["number"] for p in previews] == list(range(1, len(previews) + 1))
    assert not any("jpeg" in p for p in previews)
    latest = service.preview(job.id, ME)
    assert latest
    assert latest.number == len(previews)
    with Image.open(io.BytesIO(latest.jpeg)) as strip:
        assert strip.size == (latest.width * latest.frames, latest.height)


def test_the_same_seed_gives_the_same_file(service: JobService) -> None:
    first, second = (service.submit(SHORT, ME) for _ in range(2))
    assert kinds(service, first.id)[-1] == kinds(service, second.id)[-1] == "succeeded"
    clips = [without_credentials(service.clip_path(job.id)) for job in (first, second)]
    assert clips[0] == clips[1]


def test_a_clip_from_a_picture(service: JobService) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), "orange").save(buffer, "PNG")
    picture = service.store_picture(buffer.getvalue(), ME)
    request = GenerationRequest(prompt="it moves", image=picture.id, seed=1)
    job = service.submit(request, ME)
    assert (job.fitted.width, job.fitted.height) == (96, 64)  # the picture's shape
    assert kinds(service, job.id)[-1] == "succeeded"


def test_a_request_that_cannot_be_made_is_refused_before_any_work(service: JobService) -> None:
    before = len(service.list(ME))
    assert refusal(service.submit, GenerationRequest(), ME) is ErrorCode.INVALID_INPUT
    unknown = GenerationRequest(prompt="x", model="none")
    assert refusal(service.submit, unknown, ME) is ErrorCode.UNKNOWN_MODEL
    lost = GenerationRequest(prompt="x", image="0" * 64)
    assert refusal(service.submit, lost, ME) is ErrorCode.NOT_FOUND
    assert len(service.list(ME)) == before


def test_a_model_this_machine_is_too_small_for_is_refused_with_the_nearest_that_fits(
    tiny_settings: Settings, tiny_repo: Path
) -> None:
    models = tiny_settings.data_dir / "cards"
    tiny.write_card(models, tiny_repo)
    needs = {"ram_gb": 4000, "disk_gb": 1}
    tiny.write_card(models, Path("owner/huge"), id="huge", name="Huge", needs=needs)
    # it has no worker: whatever is refused, is refused before any work
    service = build_service(tiny_settings.model_copy(update={"models_dir": models}))
    try:
        with pytest.raises(KinoraError) as refused:
            service.submit(SHORT.model_copy(update={"model": "huge"}), ME)
        assert refused.value.code is ErrorCode.TOO_LARGE
        assert "4000 GB" in refused.value.message
        assert refused.value.action == {"label": "Use Tiny", "set": {"model": "pocket"}}
        assert service.list(ME) == []
        assert service.submit(SHORT, ME).state is State.QUEUED
    finally:
        service.close()


def test_another_visitors_clip_does_not_exist(service: JobService) -> None:
    job = service.submit(SHORT, ME)
    kinds(service, job.id)
    for call in (
        *(service.get, service.watch, service.preview, service.cancel, service.finish),
        *(service.clip_path, service.poster_path, service.last_frame_path, service.delete),
        *(service.drive, service.awatch),
    ):
        assert refusal(call, job.id, OTHER) is ErrorCode.NOT_FOUND
    assert job.id in [j.id for j in service.list(ME)]
    assert job.id not in [j.id for j in service.list(OTHER)]
    assert refusal(service.get, "f" * 32, ME) is ErrorCode.NOT_FOUND


def test_a_waiting_clip_is_discarded_at_once(service: JobService, busy: str) -> None:
    job = service.submit(SHORT, ME)
    assert service.position(job.id) == 1
    states = [service.cancel(job.id, ME).state for _ in range(3)]
    assert states == [State.CANCELLED] * 3
    assert kinds(service, job.id) == ["queued", "cancelled"]
    assert service.get(busy).state is State.RUNNING


def test_a_running_clip_is_discarded_within_a_step(service: JobService) -> None:
    # steps of some length: on a busy machine the press takes longer than a short one
    job = service.submit(LONG.model_copy(update={"num_frames": 33}), ME)
    wait_for_kind(service, job.id, "step", count=3)
    asked = [service.cancel(job.id, ME).asked for _ in range(3)]
    asked_at = time.time()
    log = list(service.watch(job.id))
    assert asked == ["discard"] * 3
    assert log[-1].kind == "cancelled"
    # the step in the making, and those on their way to us: two of fifty on a quiet machine
    assert sum(e.kind == "step" and e.at > asked_at for e in log) < 25
    assert service.cancel(job.id, ME).state is State.CANCELLED
    assert not service._lifecycle.folder(job.id).exists()


def test_finish_now_keeps_a_whole_clip(service: JobService) -> None:
    # steps of some length: on a busy machine the press may come late
    job = service.submit(LONG.model_copy(update={"num_frames": 33}), ME)
    wait_for_kind(service, job.id, "step", count=2)
    for _ in range(3):
        assert service.finish(job.id, ME).id == job.id
    assert kinds(service, job.id)[-1] == "succeeded"
    result = service.get(job.id).result
    assert result and result.finished_early
    assert result.steps_done and result.steps_done < 50
    assert result.num_frames == 33
    assert service.finish(job.id, ME).state is State.SUCCEEDED


def test_a_waiting_clip_has_nothing_to_keep(service: JobService, busy: str) -> None:
    job = service.submit(SHORT, ME)
    assert refusal(service.finish, job.id, ME) is ErrorCode.CONFLICT
    service.cancel(job.id, ME)


def test_deleting_removes_clip_log_and_files(service: JobService) -> None:
    job = service.submit(SHORT, ME)
    kinds(service, job.id)
    folder = service.clip_path(job.id).parent
    assert folder.is_dir()
    service.delete(job.id, ME)
    assert not folder.exists()
    assert refusal(service.get, job.id, ME) is ErrorCode.NOT_FOUND
    assert service._store.events(job.id) == []


def test_a_running_clip_must_be_discarded_before_it_is_deleted(
    service: JobService, busy: str
) -> None:
    assert refusal(service.delete, busy) is ErrorCode.CONFLICT
    waiting = service.submit(SHORT, ME)
    service.delete(waiting.id, ME)
    assert refusal(service.get, waiting.id) is ErrorCode.NOT_FOUND


def test_a_clip_goes_on_when_everyone_stops_watching(service: JobService) -> None:
    job = service.submit(SHORT, ME)
    watching = service.drive(job.id, ME)
    next(watching)
    watching.close()  # type: ignore[attr-defined]
    assert kinds(service, job.id)[-1] == "succeeded"


def test_many_doors_watch_the_same_clip(service: JobService) -> None:
    job = service.submit(SHORT, ME)
    logs: list[list[int]] = []
    watchers = [
        threading.Thread(target=lambda: logs.append([e.n for e in service.watch(job.id)]))
        for _ in range(10)
    ]
    for watcher in watchers:
        watcher.start()

    async def watch() -> list[int]:
        return [event.n async for event in service.awatch(job.id, ME)]

    # in a thread: the end-to-end tests' browser keeps a loop running in this one
    watchers.append(threading.Thread(target=lambda: logs.append(asyncio.run(watch()))))
    watchers[-1].start()
    for watcher in watchers:
        watcher.join(60)
    assert len(logs) == 11
    assert all(log == list(range(1, len(logs[0]) + 1)) for log in logs)


def test_a_newcomer_goes_before_the_second_clip_of_someone_else(
    service: JobService, busy: str
) -> None:
    one_s = service.estimate(SHORT)[1].seconds
    many = [service.submit(SHORT, ME) for _ in range(3)]
    newcomer = service.submit(SHORT, OTHER)
    assert [service.position(j.id) for j in (many[0], newcomer, *many[1:])] == [1, 2, 3, 4]
    assert service.position(busy) == 0
    # what is known of the clip that runs changes from one line to the next; who waits does not
    for place, waiting in ((4, many[2]), (3, many[1]), (2, newcomer), (1, many[0])):
        assert (service.eta_s(waiting.id) or 0) >= 0.99 * place * one_s > 0
    for job in (*many, newcomer):
        service.cancel(job.id)


def test_an_estimate_is_learned_from_the_clips_made_so_far(service: JobService) -> None:
    job = service.submit(SHORT, ME)
    kinds(service, job.id)
    fitted, estimate = service.estimate(SHORT)
    assert fitted == job.fitted
    assert estimate.learned
    made = [other.result for other in service.list(ME) if other.fitted == job.fitted]
    totals = [result.seconds["total"] for result in made if result]
    assert totals
    assert min(totals) / 2 < estimate.seconds < 2 * max(totals)


def test_each_visitor_may_have_so_many_unfinished_clips(
    service: JobService, shared_settings: Settings, busy: str
) -> None:
    allowed = shared_settings.max_jobs_per_visitor
    # in two requests, so that they are all queued before the busy clip is done
    halves = (allowed // 2, allowed - allowed // 2)
    jobs = [j for n in halves for j in service.submit_batch([SHORT] * n, "visitor:greedy")]
    assert refusal(service.submit, SHORT, "visitor:greedy") is ErrorCode.RATE_LIMITED
    for job in jobs:
        service.cancel(job.id)


def test_health_tells_what_goes_on(service: JobService, busy: str) -> None:
    health = service.health()
    assert health["state"] == "busy"
    assert health["job_id"] == busy
    assert health["running"] == 1
    service.cancel(busy)
    until(lambda: service.health()["state"] == "ready")
