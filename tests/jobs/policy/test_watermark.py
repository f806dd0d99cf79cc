"""The invisible watermark: found in clips, never in the way, refused without its package."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from errors import ErrorCode, KinoraError
from jobs.job import WATERMARK
from jobs.marks_check import check_marks
from jobs.workers.edit_files import write_edit
from jobs.workers.marking import adjustments_of, write_files
from media import unmarked
from media.encode import encode
from media.invisible_watermark import InvisibleWatermark
from media.operations.chain import plan_chain
from media.operations.edit_request import EditRequest
from media.operations.edit_sources import open_source
from media.operations.run_chain import Hooks
from media.operations.trim import Trim
from media.small_frames import read_small_frames
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny

CARD = ModelCard.model_validate(tiny.CARD | {"repo": "./nowhere"})
TEXT = "Kinora"


def settings(**more: object) -> Settings:
    return Settings.model_validate({"watermark": TEXT} | more)


def pictures(side: int) -> np.ndarray:
    """Two frames with smooth areas and texture: uint8 [2, side, side, 3]."""
    y, x = np.mgrid[0:side, 0:side]
    waves = np.stack([np.sin(x / 40), np.cos(y / 30), np.sin((x + y) / 50)], -1)
    texture = np.random.default_rng(1).normal(0, 8, waves.shape)
    return np.clip([120 + 50 * waves + texture] * 2, 0, 255).astype(np.uint8)


def write(folder: Path, frames: np.ndarray, with_settings: Settings) -> None:
    _, height, width, _ = frames.shape
    fitted = fit(GenerationRequest(prompt="a dog"), CARD, Limits())
    fitted = fitted.model_copy(update={"width": width, "height": height})
    write_files(frames, folder, fitted, with_settings, comment="", sound=None, lead=None)


def test_it_is_found_in_the_encoded_clip_and_in_no_other(tmp_path: Path) -> None:
    frames = pictures(256)
    write(tmp_path, frames, settings())
    made = read_small_frames(tmp_path / "clip.mp4", 256, 2)
    assert np.abs(made.astype(int) - frames).mean() < 8, "and the picture is the same"
    assert InvisibleWatermark(TEXT).matching_bits(made) > 0.9
    assert InvisibleWatermark("another").matching_bits(made) < 0.8
    plain = read_small_frames(tmp_path / unmarked.CLIP, 256, 2)
    assert InvisibleWatermark(TEXT).matching_bits(plain) < 0.8, "what is continued has none"


def test_a_clip_that_is_too_small_has_none_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, pictures(64), settings())
    assert (tmp_path / "clip.mp4").exists()
    (small,) = adjustments_of(settings(), 64, 64)
    assert (small.field, small.used) == (WATERMARK, "none")
    assert "too small" in small.sentence
    (large,) = adjustments_of(settings(), 256, 256)
    assert (large.field, large.used) == (WATERMARK, "hidden")
    assert adjustments_of(Settings(), 256, 256) == []


def test_it_is_drawn_with_the_visible_mark(tmp_path: Path) -> None:
    frames = pictures(256)
    write(tmp_path, frames, settings(mark_text="AI", mark_opacity=1))
    made = read_small_frames(tmp_path / "clip.mp4", 256, 2)
    assert InvisibleWatermark(TEXT).matching_bits(made) > 0.9
    assert (made[0, -30:, -60:] > 230).all(-1).any(), "the letters"


def test_without_the_package_the_setting_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_marks(settings())
    monkeypatch.setitem(sys.modules, "imwatermark", None)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(KinoraError) as refused:
        check_marks(settings())
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert "pip install invisible-watermark" in refused.value.message


def test_a_mark_picture_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    picture = tmp_path / "mark.png"
    picture.write_bytes(b"no picture")
    with pytest.raises(KinoraError, match="KINORA_MARK_PICTURE is not a PNG file"):
        check_marks(Settings.model_validate({"mark_picture": picture}))


def test_an_edit_has_it_and_its_copy_without_marks_has_not(tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    encode(np.repeat(pictures(256), 3, axis=0), source, fps=8, quality="high")
    chain = plan_chain([open_source(source)], [Trim(start_s=0.25)])
    folder = tmp_path / "edit"
    folder.mkdir()
    request = EditRequest(clips=("0" * 64,))
    made = write_edit(chain, request, folder, settings(), Hooks(), "")
    assert made.adjustments[0].used == "hidden"
    found = read_small_frames(made.clip.path, 256, 9)
    assert len(found) == 4
    assert InvisibleWatermark(TEXT).matching_bits(found) > 0.9
    plain = read_small_frames(folder / unmarked.CLIP, 256, 9)
    assert InvisibleWatermark(TEXT).matching_bits(plain) < 0.8
