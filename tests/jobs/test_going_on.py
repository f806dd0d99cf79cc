"""A clip that goes on from another, made by run_job on a real pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from jobs.workers.run import run_job
from media.encode import encode
from media.videos import find_video, store_video
from pipelines.engine.families.base import Inputs
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.conftest import MakeJob
from tests.jobs.workers.test_run import Person
from tests.media.reading import read
from tests.media.test_encode import moving, psnr

if TYPE_CHECKING:
    from pipelines.engine.manager import PipelineManager


@pytest.mark.parametrize("format", ["mp4", "webm"])
def test_both_are_in_one_file_and_the_new_one_starts_where_the_old_one_ends(
    tiny_manager: PipelineManager,
    tiny_settings: Settings,
    tmp_path: Path,
    make_job: MakeJob,
    format: str,
) -> None:
    pictures, folder = tmp_path / "pictures", tmp_path / "clip"
    before = moving(11, 64, 96)
    given = store_video(encode(before, tmp_path / "b.mp4", fps=8, quality="high").path, pictures)
    card = tiny_manager.cards["pocket"]
    asked = GenerationRequest(
        prompt="a dog", seed=1, continue_from=given.id, duration_s=1, format=format, quality="high"  # type: ignore[arg-type]
    )  # fmt: skip
    found = find_video(given.id, pictures)
    clip = SourceClip(found.width, found.height, found.seconds, found.fps)
    job = make_job().model_copy(
        update={"request": asked, "fitted": fit(asked, card, Limits(), clip=clip)}
    )
    result = run_job(job, tiny_manager, lambda *_: None, Person(), folder, pictures, tiny_settings)
    assert (result.num_frames, result.width, result.height) == (11 + 8, 96, 64)
    made = read(folder / result.clip)
    assert len(made.frames) == 19
    for n in range(11):
        assert psnr(made.frames[n], before[n]) > 26, n
    last = np.asarray(Image.open(folder / "last.png"))
    ends_on = made.frames[-1]
    assert psnr(ends_on, last) > psnr(ends_on, before[-1]) + 3, "the last frame is a new one"


def test_models_that_can_are_given_the_end_of_the_clip() -> None:
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    from pipelines.engine.families import ltx, ltx2

    pictures = tuple(Image.new("RGB", (64, 64), (n, 0, 0)) for n in range(9))
    inputs = Inputs(image=pictures[-1], lead=pictures)
    fitted: object = None
    (first,) = ltx._conditions(fitted, inputs)  # type: ignore[arg-type]
    assert (len(first.video), first.frame_index, first.strength) == (9, 0, 1.0)
    (second,) = ltx2._conditions(fitted, inputs)  # type: ignore[arg-type]
    assert isinstance(second, LTX2VideoCondition)
    assert (len(second.frames), second.index, second.strength) == (9, 0, 1.0)  # type: ignore[arg-type]
