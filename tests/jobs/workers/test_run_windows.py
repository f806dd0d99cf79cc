"""Long clips: made in windows by run_job, on a real pipeline."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from errors import Cancelled, ErrorCode, KinoraError
from jobs.event_types import StepDone
from jobs.workers.window_files import fingerprint, load_windows
from media.encode import encode
from media.metadata import read_comment
from media.videos import store_video
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.request import GenerationRequest, Task
from settings import Settings
from tests.jobs.conftest import MakeJob
from tests.jobs.workers.test_run import Person, Run
from tests.media.reading import read
from tests.media.test_encode import moving, psnr

if TYPE_CHECKING:
    from pipelines.engine.manager import PipelineManager

SECONDS = 6.0
"""48 frames: six windows of the tiny model, whose best length is 9."""


@pytest.fixture
def run(tiny_manager: PipelineManager, tiny_settings: Settings, tmp_path: Path) -> Run:
    return Run(tiny_manager, tiny_settings, tmp_path / "clip")


def steps_of(run: Run) -> list[StepDone]:
    return [event for event in run.events if isinstance(event, StepDone)]


def test_a_long_clip_is_one_exact_file_with_one_progress(run: Run, make_job: MakeJob) -> None:
    job = make_job(duration_s=SECONDS)
    result = run(job)
    assert (result.num_frames, result.fps, result.parts) == (48, 8, 6)
    assert len(read(run.folder / result.clip).frames) == 48
    assert sorted(f.name for f in run.folder.iterdir()) == [
        *("clip.mp4", "last.png", "poster.jpg", "result.json")
    ]
    assert run.kinds() == ["step"] * 24 + ["decoding", "encoding"]
    steps = steps_of(run)
    assert [(step.index, step.total) for step in steps] == [(n, 24) for n in range(1, 25)]
    assert [step.part for step in steps] == [1 + n // 4 for n in range(24)]
    assert all(step.parts == 6 and step.eta_s is not None for step in steps)
    assert steps[-1].eta_s == 0
    assert {"load", "encode_prompt", "denoise", "decode", "encode"} < set(result.seconds)
    assert not result.adjustments
    comment = read_comment(run.folder / "clip.mp4")
    assert comment and comment["settings"]["num_frames"] == 48
    assert comment["settings"]["windows"] == {"lengths": [9, 9, 9, 9, 9, 9], "overlap": 1}


def test_the_same_request_makes_the_same_clip(run: Run, make_job: MakeJob) -> None:
    job = make_job(duration_s=5)
    run(job)
    first = (run.folder / "clip.mp4").read_bytes()
    run(job)
    assert (run.folder / "clip.mp4").read_bytes() == first


def test_finish_now_ends_after_the_present_window(run: Run, make_job: MakeJob) -> None:
    result = run(make_job(duration_s=SECONDS), Person(finish_at=9))
    assert len(steps_of(run)) == 12
    assert (result.finished_early, result.parts, result.num_frames) == (True, 3, 24)
    assert len(read(run.folder / result.clip).frames) == 24
    (change,) = result.adjustments
    assert change.sentence == (
        "The clip was finished after part 3 of 6: it lasts 3.0 s instead of 6.0 s."
    )
    comment = read_comment(run.folder / "clip.mp4")
    assert comment and comment["made"]["num_frames"] == 24


@pytest.mark.parametrize("step", [0, 4, 13])
def test_a_discard_is_heard_in_every_window(run: Run, make_job: MakeJob, step: int) -> None:
    with pytest.raises(Cancelled):
        run(make_job(duration_s=SECONDS), Person(discard_at=step))
    assert len(steps_of(run)) == step
    assert not (run.folder / "result.json").exists()


def test_a_window_that_fails_keeps_the_others(
    run: Run, make_job: MakeJob, tiny_manager: PipelineManager, tmp_path: Path
) -> None:
    job = make_job(duration_s=SECONDS)
    other = Run(run.manager, run.settings, tmp_path / "other")
    other(job)

    decoder = tiny_manager.get("pocket", Task.IMAGE_TO_VIDEO).pipe.vae.decoder
    decoded: list[bool] = []

    def fail_in_the_fourth(*_: object) -> None:
        decoded.append(True)
        if len(decoded) == 4:
            raise KinoraError(ErrorCode.DECODE)

    hook = decoder.register_forward_pre_hook(fail_in_the_fourth)
    try:
        with pytest.raises(KinoraError) as failed:
            run(job)
    finally:
        hook.remove()
    assert failed.value.details == {"part": 4, "parts": 6}
    assert "This was part 4 of 6; what came before it is kept." in failed.value.message
    assert len(steps_of(run)) == 16
    assert len(load_windows(run.folder, fingerprint(job.fitted))) == 3

    # its latents are kept, too: it is only decoded again
    run.events.clear()
    result = run(job)
    assert [step.index for step in steps_of(run)] == list(range(17, 25))
    assert result.num_frames == 48
    assert (run.folder / "clip.mp4").read_bytes() == (tmp_path / "other" / "clip.mp4").read_bytes()


def test_windows_of_another_request_are_not_used(run: Run, make_job: MakeJob) -> None:
    with pytest.raises(Cancelled):
        run(make_job(duration_s=SECONDS), Person(discard_at=13))
    assert len(list(run.folder.glob("window-*.json"))) == 3
    run.events.clear()
    run(make_job(duration_s=SECONDS, seed=2))
    assert len(steps_of(run)) == 24
    assert not list(run.folder.glob("window-*"))


def test_finish_now_after_a_failure_makes_a_clip_of_what_is_there(
    run: Run, make_job: MakeJob
) -> None:
    job = make_job(duration_s=SECONDS)
    with pytest.raises(Cancelled):
        run(job, Person(discard_at=13))
    run.events.clear()
    result = run(job, Person(finish_at=0))
    assert (result.parts, result.num_frames) == (3, 24)
    assert not steps_of(run)


def test_a_damaged_window_is_made_again(run: Run, make_job: MakeJob) -> None:
    job = make_job(duration_s=SECONDS)
    with pytest.raises(Cancelled):
        run(job, Person(discard_at=13))
    (run.folder / "window-003.json").write_text("{", encoding="utf-8")
    run.events.clear()
    assert run(job).num_frames == 48
    assert steps_of(run)[0].index == 9


def test_memory_does_not_grow_with_the_length(run: Run, make_job: MakeJob) -> None:
    """What Python and numpy hold at most, frames above all."""

    def peak(seconds: float) -> int:
        job = make_job(duration_s=seconds, width=128, height=128, num_inference_steps=1)
        tracemalloc.start()
        try:
            run(job)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # imports and caches
    short, long = peak(4), peak(16)
    frame = 128 * 128 * 3
    assert long - short < 8 * frame, (short, long)  # 96 frames more


@pytest.mark.parametrize("format", ["webm", "gif"])
def test_other_formats(run: Run, make_job: MakeJob, format: str) -> None:
    result = run(make_job(duration_s=5, format=format))
    assert (result.clip, result.num_frames) == (f"clip.{format}", 40)


def test_a_mark_is_drawn_and_a_clip_without_it_is_kept(run: Run, make_job: MakeJob) -> None:
    job = make_job(duration_s=5, width=128, height=128)
    result = run(job, mark_text="KINORA")
    assert [change.field for change in result.adjustments] == ["mark"]
    marked, plain = (read(run.folder / name).frames for name in ("clip.mp4", "unmarked.mp4"))
    assert len(marked) == len(plain) == 40
    assert min(psnr(a, b) for a, b in zip(marked, plain, strict=True)) < 40


def test_a_clip_is_continued_by_more_than_one_window(
    run: Run, make_job: MakeJob, tiny_manager: PipelineManager
) -> None:
    pictures = run.folder.parent / "pictures"
    before = moving(11, 64, 96)
    source = encode(before, run.folder.parent / "b.mp4", fps=8, quality="high").path
    given = store_video(source, pictures)
    asked = GenerationRequest(prompt="a dog", seed=1, continue_from=given.id, duration_s=6)
    clip = SourceClip(given.width, given.height, given.seconds, given.fps)
    made = fit(asked, tiny_manager.cards["pocket"], Limits(), clip=clip)
    job = make_job().model_copy(update={"request": asked, "fitted": made})
    result = run(job)
    assert (result.num_frames, result.width, result.height) == (11 + 48, 96, 64)
    frames = read(run.folder / result.clip).frames
    assert len(frames) == 59
    assert all(psnr(frames[n], before[n]) > 24 for n in range(11))
    assert not np.array_equal(frames[11], frames[-1])
