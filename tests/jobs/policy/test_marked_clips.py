"""A visible mark is on everything that is handed out, once, and on nothing that a model sees."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.job import Job, State
from jobs.service import JobService
from jobs.workers.marking import mark_of
from media import unmarked
from media.small_frames import read_small_frames
from media.videos import find_video, read_images
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.conftest import build_service, until

ME = "visitor:me"
SIZE = 64

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory, tiny_models_dir: Path) -> Iterator[JobService]:
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path_factory.mktemp("marked"),
        models_dir=tiny_models_dir,
        executor="inline",
        mark_text="AI",
        mark_size=30,
        mark_opacity=1,
    )
    with build_service(settings) as service:
        yield service


@pytest.fixture(scope="module")
def first(marked: JobService) -> Job:
    return make_clip(marked)


def make_clip(service: JobService, **more: object) -> Job:
    request = {"prompt": "a dog", "seed": 1, "num_inference_steps": 2, "num_frames": 9}
    request |= {"quality": "high", "width": SIZE, "height": SIZE}
    job = service.submit(GenerationRequest.model_validate(request | more), ME)
    until(lambda: service.get(job.id).state.ended)
    job = service.get(job.id)
    assert job.state is State.SUCCEEDED, job.error
    return job


def whites(frame: np.ndarray, service: JobService) -> float:
    """How many pixels of the letters are as white as the mark."""
    mark = mark_of(service.settings)
    assert mark is not None
    rows, columns, colour, alpha = mark.layer(SIZE, SIZE)
    is_letter = (colour.min(-1) > 250) & (alpha[..., 0] > 0.99)
    assert is_letter.sum() > 10
    return float((frame[rows, columns][is_letter].min(-1) > 200).mean())


def last_frame(service: JobService, job: Job) -> np.ndarray:
    data = service.last_frame_path(job.id, ME).read_bytes()
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_the_clip_its_pictures_and_its_adjustments_have_the_mark(
    marked: JobService, first: Job
) -> None:
    frames = read_small_frames(marked.clip_path(first.id), SIZE, 10)
    assert len(frames) == 9
    for frame in (*frames, last_frame(marked, first)):
        assert whites(frame, marked) > 0.8
    assert first.result is not None
    (said,) = (each for each in first.result.adjustments if each.field == "mark")
    assert said.sentence == "This server has put the mark “AI” on the clip, at the bottom right."


def test_a_continuation_starts_from_frames_without_a_mark_and_has_one_everywhere(
    marked: JobService, first: Job
) -> None:
    stored = marked.store_finished_clip(first.id, ME)
    uploads = marked._artifacts.uploads_folder
    folder = unmarked.input_folder(uploads, stored.id, ".mp4")
    assert folder != uploads
    clean = find_video(stored.id, folder)
    assert (clean.width, clean.height, clean.num_frames) == (SIZE, SIZE, 9)
    for picture in read_images(folder / f"{stored.id}.mp4", clean, 8, 9):
        assert whites(np.asarray(picture.convert("RGB")), marked) < 0.8

    longer = make_clip(marked, continue_from=stored.id)
    assert longer.result is not None
    frames = read_small_frames(marked.clip_path(longer.id), SIZE, 99)
    assert len(frames) == longer.result.num_frames
    assert all(whites(frame, marked) > 0.8 for frame in frames)


def test_marks_do_not_pile_up(marked: JobService, first: Job) -> None:
    """With a mark that is half transparent, the third generation looks as the first."""
    mark = mark_of(marked.settings.model_copy(update={"mark_opacity": 0.5}))
    assert mark is not None
    frames = np.full((1, SIZE, SIZE, 3), 90, np.uint8)
    once, twice = mark.draw_on(frames), mark.draw_on(mark.draw_on(frames))
    assert (once != twice).any(), "else this would show nothing"

    job = first
    for _ in range(2):
        stored = marked.store_last_frame(job.id, ME)
        folder = unmarked.input_folder(marked._artifacts.uploads_folder, stored.id, ".png")
        with Image.open(folder / f"{stored.id}.png") as picture:
            seen = np.asarray(picture.convert("RGB"))
        kept = marked._artifacts.fetch(job.id, unmarked.FRAME)
        assert kept is not None
        assert (seen == np.asarray(Image.open(kept).convert("RGB"))).all()
        assert whites(seen, marked) < 0.8
        job = make_clip(marked, image=stored.id)


def test_the_owner_gets_the_marked_file_of_an_input_and_nothing_stays_when_it_is_removed(
    marked: JobService, first: Job
) -> None:
    from jobs.uploads import remove

    stored = marked.store_finished_clip(first.id, ME)
    path = marked.upload_path(stored.id, ME)
    assert whites(read_small_frames(path, SIZE, 1)[0], marked) > 0.8
    folder = marked._artifacts.uploads_folder
    remove(folder, stored.id)
    assert not [path for path in folder.rglob(f"{stored.id}*") if path.is_file()]


def test_a_gif_has_a_mark_and_no_copy_to_continue_from(marked: JobService) -> None:
    job = make_clip(marked, format="gif", seed=2)
    assert marked._artifacts.fetch(job.id, unmarked.CLIP) is None
    frames = read_small_frames(marked.clip_path(job.id), SIZE, 10)
    assert whites(frames[0], marked) > 0.8


def test_a_clip_without_a_mark_is_not_used_again_for_one_with_a_mark(
    tiny_settings: Settings,
) -> None:
    settings = tiny_settings.model_copy(update={"executor": "inline"})
    request = GenerationRequest(prompt="a dog", seed=5, num_inference_steps=2, num_frames=5)
    is_reused: list[bool] = []
    for text in (None, None, "AI", "AI"):
        with build_service(settings.model_copy(update={"mark_text": text})) as service:
            job = service.submit(request, ME, reuse=True)
            until(lambda service=service, job=job: service.get(job.id).state.ended)
            result = service.get(job.id).result
            assert result is not None
            is_reused.append(result.reused)
            assert any(each.field == "mark" for each in result.adjustments) == bool(text)
    assert is_reused == [False, True, False, True]
