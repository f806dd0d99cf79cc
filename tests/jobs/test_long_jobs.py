"""Long clips through the service, with a real worker process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.checkpoint import WINDOWS, WindowUploads, bring, drop_windows, window_file
from jobs.event_types import Event, StepDone
from jobs.job import State
from jobs.service import JobService
from media.metadata import read_comment
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.conftest import build_service, until
from tests.media.reading import read

pytestmark = pytest.mark.slow

ME = "visitor:me"
LONG = GenerationRequest(prompt="a dog", seed=3, duration_s=6, num_inference_steps=10)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, tiny_models_dir: Path) -> Iterator[JobService]:
    data_dir = tmp_path_factory.mktemp("long") / "data"
    settings = Settings(_env_file=None, data_dir=data_dir, models_dir=tiny_models_dir)  # pyright: ignore[reportCallIssue]
    with build_service(settings) as service:
        until(lambda: service.health()["state"] == "ready")
        yield service


def parts_of(log: list[Event]) -> list[int | None]:
    return [event.body.part for event in log if isinstance(event.body, StepDone)]


def test_a_worker_killed_in_the_fourth_window_costs_that_window_at_most(mortal: JobService) -> None:
    plain = mortal.submit(LONG, ME)
    assert list(mortal.watch(plain.id))[-1].kind == "succeeded"

    job = mortal.submit(LONG, ME)
    log: list[Event] = []
    for event in mortal.watch(job.id):
        log.append(event)
        if isinstance(event.body, StepDone) and event.body.part == 4 and len(parts_of(log)) < 40:
            os.kill(mortal.health()["worker_pid"], signal.SIGKILL)
            break
    log += mortal.watch(job.id, after=log[-1].n)
    assert log[-1].kind == "succeeded"
    (requeued,) = [event for event in log if event.kind == "requeued"]
    assert requeued.data["message"] == "The worker stopped; the finished parts are kept."
    after = [event for event in log if event.n > requeued.n]
    assert parts_of(after)[0] == 4
    assert parts_of(after).count(4) <= 10
    assert set(parts_of(after)) == {4, 5, 6}

    done = mortal.get(job.id)
    assert done.result and done.result.num_frames == 48 and done.result.parts == 6
    frames, same = (read(mortal.clip_path(each.id)).frames for each in (job, plain))
    assert (frames == same).all()
    folder = mortal.settings.data_dir / "jobs" / job.id
    assert not [path for path in folder.iterdir() if path.name.startswith(WINDOWS)]


def test_progress_never_goes_back_and_the_wait_is_for_the_whole_clip(mortal: JobService) -> None:
    fitted, estimate = mortal.estimate(LONG)
    assert (fitted.parts, estimate.parts) == (6, 6)
    short = mortal.estimate(LONG.model_copy(update={"duration_s": None, "num_frames": 9}))[1]
    assert estimate.seconds == pytest.approx(6 * short.seconds, rel=0.5)
    job = mortal.submit(LONG, ME)
    log = list(mortal.watch(job.id))
    steps = [event.body for event in log if isinstance(event.body, StepDone)]
    assert [step.index for step in steps] == list(range(1, 61))
    assert {step.total for step in steps} == {60}
    first, last = steps[3].eta_s, steps[-1].eta_s
    assert first is not None and last is not None and first > last
    comment = read_comment(mortal.clip_path(job.id))
    assert comment and comment["settings"]["num_frames"] == 48


def test_finish_now_keeps_the_parts_so_far(mortal: JobService) -> None:
    job = mortal.submit(LONG, ME)
    for event in mortal.watch(job.id):
        if isinstance(event.body, StepDone) and event.body.part == 2:
            mortal.finish(job.id, ME)
            break
    assert list(mortal.watch(job.id))[-1].kind == "succeeded"
    done = mortal.get(job.id)
    assert done.state is State.SUCCEEDED and done.result
    assert done.result.finished_early
    assert done.result.parts in (2, 3)
    assert done.result.num_frames == 8 * done.result.parts


def test_a_part_is_discarded_and_made_again_with_another_seed(mortal: JobService) -> None:
    plain = mortal.submit(LONG, ME)
    assert list(mortal.watch(plain.id))[-1].kind == "succeeded"
    with pytest.raises(KinoraError) as caught:
        mortal.redo_part(plain.id, ME)
    assert caught.value.code is ErrorCode.CONFLICT

    job = mortal.submit(LONG, ME)
    log: list[Event] = []
    for event in mortal.watch(job.id):
        log.append(event)
        has_asked = parts_of(log)[:-1] and parts_of(log)[-2] == 3
        if isinstance(event.body, StepDone) and event.body.part == 3 and not has_asked:
            mortal.redo_part(job.id, ME)
    assert log[-1].kind == "succeeded"
    (requeued,) = [event for event in log if event.kind == "requeued"]
    assert set(parts_of([event for event in log if event.n > requeued.n])) == {3, 4, 5, 6}
    done = mortal.get(job.id)
    assert done.attempts == 1
    assert done.result and done.result.num_frames == 48 and done.result.parts == 6
    said = [change.sentence for change in done.result.adjustments if change.field == "seed"]
    assert said == ["Part 3 was discarded and made again with another seed."]
    frames, before = (read(mortal.clip_path(each.id)).frames for each in (job, plain))
    differs = np.abs(frames.astype(float) - before).mean((1, 2, 3))
    assert differs[:12].max() < differs[18:24].min() / 4, "the finished parts are kept"
    folder = mortal.settings.data_dir / "jobs" / job.id
    assert not [path for path in folder.iterdir() if path.name.startswith(WINDOWS)]


def test_finish_while_a_part_is_discarded_keeps_those_before_it(mortal: JobService) -> None:
    job = mortal.submit(LONG, ME)
    for event in mortal.watch(job.id):
        if isinstance(event.body, StepDone) and event.body.part == 3:
            mortal.redo_part(job.id, ME)
            mortal.finish(job.id, ME)
            break
    assert list(mortal.watch(job.id))[-1].kind == "succeeded"
    done = mortal.get(job.id)
    assert done.result and done.result.finished_early
    assert done.result.parts in (2, 3)


def test_a_clip_in_one_part_has_none_to_make_again(mortal: JobService) -> None:
    job = mortal.submit(LONG.model_copy(update={"duration_s": None}), ME)
    with pytest.raises(KinoraError) as caught:
        mortal.redo_part(job.id, ME)
    assert caught.value.message.startswith("This clip is made in one part")
    assert list(mortal.watch(job.id))[-1].kind == "succeeded"


def test_a_failed_long_clip_may_end_with_its_windows(mortal: JobService) -> None:
    job, last = mortal.submit(LONG, ME), 0
    for _ in range(2):
        for event in mortal.watch(job.id, after=last):
            last = event.n
            if isinstance(event.body, StepDone) and event.body.part == 3:
                os.kill(mortal.health()["worker_pid"], signal.SIGKILL)
                break
    ended = list(mortal.watch(job.id, after=last))[-1]
    assert ended.kind == "failed"
    mortal.finish(job.id, ME)
    log = list(mortal.watch(job.id, after=ended.n))
    assert log[-1].kind == "succeeded"
    assert parts_of(log) == []
    done = mortal.get(job.id)
    assert done.result and done.result.finished_early and done.result.parts == 2
    folder = mortal.settings.data_dir / "jobs" / job.id
    assert not [path for path in folder.iterdir() if path.name.startswith(WINDOWS)]


def test_windows_travel_through_an_object_store(tmp_path: Path) -> None:
    store = Artifacts(tmp_path / "data", f"memory://{tmp_path.name}")
    job_id, made = "a" * 32, tmp_path / "made"
    made.mkdir()
    uploads = WindowUploads(store, job_id, made)
    for number in (1, 2):
        uploads.upload()
        for kind in ("frames", "record"):
            (made / window_file(number, kind)).write_bytes(b"x" * number)
    uploads.upload()
    bring(store, job_id, tmp_path / "new")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["window-001.json", "window-001.mkv", "window-002.json", "window-002.mkv"]
    drop_windows(store, job_id, 2)
    assert store.size(job_id, window_file(1, "record")) is None


def test_a_failed_long_clip_is_continued_from_its_windows(mortal: JobService) -> None:
    """Its worker dies twice, which is the end of a job; the person tries again."""
    job, last = mortal.submit(LONG, ME), 0
    for part in (2, 4):
        for event in mortal.watch(job.id, after=last):
            last = event.n
            if isinstance(event.body, StepDone) and event.body.part == part:
                os.kill(mortal.health()["worker_pid"], signal.SIGKILL)
                break
    ended = list(mortal.watch(job.id, after=last))[-1]
    assert ended.kind == "failed"
    error = mortal.get(job.id).error
    assert error and error["details"]["latents_kept"] is True
    assert mortal.can_retry_decode(job.id, ME)
    mortal.retry_decode(job.id, ME)
    log = list(mortal.watch(job.id, after=ended.n))
    assert log[-1].kind == "succeeded"
    assert set(parts_of(log)) == {4, 5, 6}
    done = mortal.get(job.id)
    assert done.result and done.result.num_frames == 48
