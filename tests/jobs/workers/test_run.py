"""run_job: the one function that makes a clip, on a real pipeline."""

from __future__ import annotations

import errno
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from errors import Cancelled, ErrorCode, KinoraError
from jobs.event_types import Loading, StepDone, WorkerEvent
from jobs.job import Job, Result
from jobs.workers.run import as_kinora_error, run_job
from jobs.workers.timing import LoadingThrottle, StepTimer, TimedControl
from media.metadata import read_comment
from pipelines.control import Control
from pipelines.preview import Preview
from pipelines.request import Task
from settings import Settings
from tests.jobs.conftest import MakeJob

if TYPE_CHECKING:
    from pipelines.engine.manager import PipelineManager


class Person:
    """Wants something after so many steps."""

    def __init__(self, discard_at: int = 99, finish_at: int = 99) -> None:
        self.discard_at, self.finish_at, self.steps = discard_at, finish_at, 0

    def cancelled(self) -> bool:
        return self.steps >= self.discard_at

    def finish_now(self) -> bool:
        return self.steps >= self.finish_at


class Run:
    """One call of run_job and what it emitted."""

    def __init__(self, manager: PipelineManager, settings: Settings, folder: Path) -> None:
        self.manager, self.settings, self.folder = manager, settings, folder
        self.events: list[WorkerEvent] = []

    def __call__(self, job: Job, control: Control | None = None, **settings: object) -> Result:
        person = control or Person()

        def emit(event: WorkerEvent) -> None:
            self.events.append(event)
            if isinstance(event, StepDone) and isinstance(person, Person):
                person.steps += 1

        used = self.settings.model_copy(update=settings)
        pictures = self.folder.parent / "pictures"
        return run_job(job, self.manager, emit, person, self.folder, pictures, used)

    def kinds(self) -> list[str]:
        return [each.kind for each in self.events if not isinstance(each, Preview | Loading)]


@pytest.fixture
def run(tiny_manager: PipelineManager, tiny_settings: Settings, tmp_path: Path) -> Run:
    return Run(tiny_manager, tiny_settings, tmp_path / "clip")


def test_it_leaves_a_clip_its_stills_and_a_manifest(run: Run, make_job: MakeJob) -> None:
    result = run(make_job())
    assert sorted(f.name for f in run.folder.iterdir()) == [
        *("clip.mp4", "last.png", "poster.jpg", "result.json")
    ]
    manifest = Result.model_validate_json((run.folder / "result.json").read_bytes())
    assert manifest == result
    assert (run.folder / "clip.mp4").stat().st_size == result.size_bytes
    assert run.kinds() == ["step"] * 4 + ["decoding", "encoding"]


def test_the_file_says_what_made_it(run: Run, make_job: MakeJob) -> None:
    job = make_job(prompt="a “dog”")
    run(job)
    comment = read_comment(run.folder / "clip.mp4")
    assert comment
    assert comment["settings"] == json.loads(job.fitted.model_dump_json(exclude={"adjustments"}))
    assert comment["versions"]["torch"]


@pytest.mark.parametrize("format", ["webm", "gif"])
def test_other_formats_have_their_own_names(run: Run, make_job: MakeJob, format: str) -> None:
    result = run(make_job(format=format))
    assert result.clip == f"clip.{format}"
    assert (run.folder / result.clip).is_file()


@pytest.mark.parametrize("step", [0, 1, 3, 4])
def test_a_discard_is_heard_between_any_two_steps(run: Run, make_job: MakeJob, step: int) -> None:
    with pytest.raises(Cancelled):
        run(make_job(), Person(discard_at=step))
    assert run.kinds() == ["step"] * step
    assert not (run.folder / "result.json").exists()


def test_a_discard_is_heard_while_the_frames_are_developed(
    run: Run, make_job: MakeJob, tiny_manager: PipelineManager
) -> None:
    decoder = tiny_manager.get("pocket", Task.TEXT_TO_VIDEO).pipe.vae.decoder
    person, developed = Person(), []

    def begun(_layer: object, _given: object) -> None:
        person.discard_at = 0

    hooks = [
        decoder.conv_in.register_forward_pre_hook(begun),
        decoder.conv_out.register_forward_hook(lambda *_: developed.append(True)),
    ]
    try:
        with pytest.raises(Cancelled):
            run(make_job(), person)
    finally:
        for hook in hooks:
            hook.remove()
    assert run.kinds()[-1] == "decoding"
    assert not developed, "the last layer was never reached"
    assert list(run.folder.iterdir()) == []
    assert run(make_job()).num_frames == 9, "and the next one is whole"
    assert not decoder.conv_in._forward_pre_hooks


def test_finish_now_keeps_a_playable_clip(run: Run, make_job: MakeJob) -> None:
    result = run(make_job(), Person(finish_at=2))
    assert result.finished_early
    assert result.steps_done == 2
    assert result.num_frames == 9


def test_time_over_is_a_timeout_and_not_a_discard(run: Run, make_job: MakeJob) -> None:
    with pytest.raises(KinoraError) as failure:
        run(make_job(), request_timeout_s=0.001)
    assert failure.value.code is ErrorCode.TIMEOUT
    assert "0.001 s" in failure.value.message


def test_the_way_of_a_model_to_this_machine_is_not_the_clips_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipelines.engine.manager import LoadProgress

    told = LoadingThrottle()
    for here, is_more in [(0, False), (10, True), (10, False), (900, True)]:
        progress = LoadProgress("downloading", here / 1000, here, 1000)
        assert told.has_more_bytes(progress) is is_more
    assert not told.has_more_bytes(LoadProgress("transformer", 0.9))
    news = [told.is_due(LoadProgress("downloading", f / 1000)) for f in range(11)]
    assert sum(news) == 3

    timed = TimedControl(Person(), 200)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    now += 150
    timed.deadline.renew()
    now += 150
    assert not timed.deadline.is_over()
    now += 60
    assert timed.deadline.is_over()


def test_a_clip_that_is_too_large_leaves_nothing(run: Run, make_job: MakeJob) -> None:
    with pytest.raises(KinoraError) as failure:
        run(make_job(), max_video_file_size_mb=0.0001)
    assert failure.value.code is ErrorCode.TOO_LARGE
    assert list(run.folder.iterdir()) == []


def test_a_picture_that_is_gone_is_said_so(run: Run, make_job: MakeJob) -> None:
    with pytest.raises(KinoraError) as failure:
        run(make_job(image="0" * 64))
    assert failure.value.code is ErrorCode.NOT_FOUND


def test_without_previews_none_are_made(run: Run, make_job: MakeJob) -> None:
    run(make_job(), previews=False)
    assert not [each for each in run.events if isinstance(each, Preview)]


def test_what_was_not_foreseen_is_internal_and_the_log_has_it_all(
    run: Run, make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Person):
        def cancelled(self) -> bool:
            raise ValueError("/secret/path")

    with caplog.at_level(logging.ERROR), pytest.raises(KinoraError) as failure:
        run(make_job(), Broken())
    assert failure.value.code is ErrorCode.INTERNAL
    assert "secret" not in json.dumps(failure.value.as_dict())
    assert "/secret/path" in caplog.text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), ErrorCode.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ErrorCode.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), ErrorCode.OUT_OF_DISK),
        (OSError(errno.EIO, "Input/output error"), ErrorCode.INTERNAL),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ErrorCode.INTERNAL),
    ],
)
def test_failures_get_their_code(error: Exception, code: ErrorCode) -> None:
    assert as_kinora_error(error).code is code


def test_the_pace_forgets_a_slow_first_step() -> None:
    pace = StepTimer()
    assert pace.eta_s(5.0, remaining=9) == 45.0
    for _ in range(3):
        eta = pace.eta_s(1.0, remaining=4)
    assert eta == 4.0
