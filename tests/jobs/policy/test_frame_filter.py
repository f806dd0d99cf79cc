"""What was made, and what it is made from, is checked by a classifier: nothing refused stays."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import ErrorCode, KinoraError
from jobs.job import Job, State
from jobs.policy.own_filter import ContentFilter
from jobs.policy.policy_event import PolicyEvent
from jobs.service import JobService
from media.encode import encode
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.conftest import build_service, until

ME = "visitor:me"
Build = Callable[..., JobService]

pytestmark = pytest.mark.slow


class NoWhiteCorner(ContentFilter):
    """Refuses what has a white pixel in its corner."""

    def check_frames(self, frames: np.ndarray) -> str | None:
        assert frames.dtype == np.uint8
        assert frames.ndim == 4
        return "No white corners, please." if (frames[:, 0, 0] > 250).all(-1).any() else None


@pytest.fixture
def build(tiny_settings: Settings) -> Iterator[Build]:
    with ExitStack() as stack:

        def make(**changes: object) -> JobService:
            # in this process: a worker of its own takes seconds to start
            service = build_service(
                tiny_settings.model_copy(update={"executor": "inline"} | changes)
            )
            return stack.enter_context(service)

        yield make


def make_clip(service: JobService, **more: object) -> Job:
    request = {"prompt": "a dog", "seed": 1, "num_inference_steps": 2, "num_frames": 9} | more
    job = service.submit(GenerationRequest.model_validate(request), ME)
    until(lambda: service.get(job.id).state.ended)
    return service.get(job.id)


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (value,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def assert_nothing_is_left(service: JobService, job: Job) -> None:
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error["error"] == ErrorCode.CONTENT_POLICY.value
    assert not service._artifacts.folder(job.id).exists(), "no clip, no picture, no latents"
    assert service.preview(job.id, ME) is None
    assert not service.can_retry_decode(job.id, ME)


def test_a_refused_clip_leaves_nothing_and_says_what_to_change(
    build: Build, classifier: Path
) -> None:
    service = build(
        frame_filter_model=str(classifier),
        frame_filter_labels=("NORMAL", "nsfw"),
        frame_filter_threshold=0.4,
        contact="help@example.org",
    )
    events: list[PolicyEvent] = []
    service.policy.subscribe(events.append)
    job = make_clip(service)
    assert_nothing_is_left(service, job)
    assert job.error is not None
    assert "Change the prompt or the seed" in job.error["message"]
    assert "Questions: help@example.org" in job.error["message"]
    (event,) = events
    assert (event.stage, event.category, event.job_id) == ("result", "frames", job.id)
    assert event.rule in ("normal", "nsfw")


def test_a_clip_below_the_threshold_is_kept_and_a_bright_picture_is_not_used(
    build: Build, classifier: Path
) -> None:
    # its noise is bright, so that "normal" is improbable
    service = build(frame_filter_model=str(classifier), frame_filter_labels=("normal",))
    assert make_clip(service, num_frames=5).state is State.SUCCEEDED

    service = build(frame_filter_model=str(classifier), data_dir=service.settings.data_dir / "b")
    picture = service.store_picture(png(255), ME)
    events: list[PolicyEvent] = []
    service.policy.subscribe(events.append)
    job = make_clip(service, image=picture.id)
    assert_nothing_is_left(service, job)
    assert job.error is not None
    assert job.error["details"]["field"] == "image"
    assert [(event.stage, event.rule) for event in events] == [("input", "nsfw")]
    with pytest.raises(KinoraError) as gone:
        service.upload_path(picture.id, ME)
    assert gone.value.code is ErrorCode.NOT_FOUND


def test_one_bright_frame_of_a_clip_to_continue_is_enough(
    build: Build, classifier: Path, tmp_path: Path
) -> None:
    frames = np.zeros((9, 64, 64, 3), np.uint8)
    frames[:2] = 255
    clip = encode(frames, tmp_path / "given.mp4", fps=8, quality="high").path
    service = build(frame_filter_model=str(classifier))
    stored = service.store_video(clip, ME)
    job = make_clip(service, continue_from=stored.id)
    assert_nothing_is_left(service, job)
    assert job.error is not None
    assert job.error["details"]["field"] == "continue_from"


def test_an_operators_own_filter_sees_frames(build: Build) -> None:
    service = build(content_filter=f"{__name__}:NoWhiteCorner")
    picture = service.store_picture(png(255), ME)
    job = make_clip(service, image=picture.id)
    assert_nothing_is_left(service, job)
    assert job.error is not None
    assert job.error["message"].startswith("No white corners, please.")


def test_a_pickle_and_a_model_without_the_labels_are_refused(
    classifier: Path, tmp_path: Path
) -> None:
    from pipelines.engine.frame_filter import find_refused

    pickled = shutil.copytree(classifier, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    bright = np.full((3, 48, 64, 3), 255, np.uint8)
    settings = Settings(_env_file=None, frame_filter_model=str(classifier))  # pyright: ignore[reportCallIssue]
    assert find_refused(np.zeros_like(bright), settings) is None
    with pytest.raises(KinoraError, match="pickle"):
        find_refused(bright, settings.model_copy(update={"frame_filter_model": str(pickled)}))
    with pytest.raises(KinoraError, match="none of the labels") as refused:
        find_refused(bright, settings.model_copy(update={"frame_filter_labels": ("cat",)}))
    assert "normal, nsfw" in refused.value.message
