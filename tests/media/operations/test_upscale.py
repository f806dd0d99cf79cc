"""Larger clips, by the built-in method: size, colours, and how steady they are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from media.clip_metrics import measure
from media.encode import encode
from media.operations.chain import ChainLimits, plan_chain
from media.operations.edit_sources import open_source
from media.operations.operation import StreamInfo
from media.operations.registry import parse_short_form
from media.operations.run_chain import OutputFile, run_chain
from media.operations.upscale import Upscale, resized, with_tones_of
from tests.media.reading import read
from tests.media.textures import texture, view


def enlarged(frames: np.ndarray, tmp_path: Path, operation: str) -> np.ndarray:
    source = tmp_path / "clip.mp4"
    encode(frames, source, fps=8, quality="high")
    chain = plan_chain([open_source(source)], [parse_short_form(operation)])
    made = run_chain(chain, tmp_path / "made.mp4", OutputFile(quality="high"))
    file = read(made.path)
    assert (file.width, file.height) == (chain.info.width, chain.info.height)
    assert file.colour == (1, 1, 1, 1) and file.rate == 8
    return file.frames


@pytest.mark.parametrize(("times", "size"), [(2, (48, 64)), (4, (34, 50))])
def test_plain_areas_keep_their_colours(tmp_path: Path, times: int, size: tuple[int, int]) -> None:
    height, width = size
    frames = np.empty((3, height, width, 3), np.uint8)
    frames[:, :, : width // 2], frames[:, :, width // 2 :] = (200, 60, 30), (20, 90, 180)
    made = enlarged(frames, tmp_path, f"upscale={times}")
    assert made.shape == (3, height * times, width * times, 3)
    edge = 6 * times
    sides = made[:, edge:-edge, edge : width * times // 2 - edge], made[:, :, -edge:-2]
    for side, colour in zip(sides, ((200, 60, 30), (20, 90, 180)), strict=True):
        assert np.abs(side.mean((0, 1, 2)) - colour).max() < 2


def test_it_is_sharper_and_as_steady_as_the_clip(tmp_path: Path) -> None:
    scene = texture(1, 8, 200)
    frames = np.stack([view(scene, 2 * n, 0) for n in range(8)])
    plain = enlarged(frames, tmp_path, "upscale=2:sharpness=0")
    sharp = enlarged(frames, tmp_path, "upscale=2:sharpness=1")

    def detail(clip: np.ndarray) -> float:
        return float(np.abs(np.diff(clip.astype(float), axis=2)).mean())

    assert detail(sharp) > 1.02 * detail(plain)
    before, after = measure(frames).flicker, measure(sharp).flicker
    assert before is not None and after is not None
    # in levels of 255
    assert after < before + 0.2


def test_a_still_clip_stays_still(tmp_path: Path) -> None:
    frame = view(texture(1, 8, 200), 0, 0)
    made = enlarged(np.stack([frame] * 6), tmp_path, "upscale=2")
    assert measure(made).flicker == pytest.approx(0, abs=0.05)


def test_what_would_be_too_large_is_refused() -> None:
    made = Upscale(times=4).output(StreamInfo(1920, 1080, Fraction(24), 10))
    assert (made.width, made.height) == (7680, 4320)
    assert made.width * made.height > ChainLimits().max_pixels  # refused by plan_chain


@pytest.mark.parametrize("values", [{"times": 3}, {"times": 0}, {"sharpness": 2}, {"model": "x"}])
def test_wrong_values(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        Upscale.model_validate(values)


@pytest.mark.parametrize("size", [(48, 64), (37, 51), (8, 5)])
def test_a_models_frame_gets_the_tones_of_the_source(size: tuple[int, int]) -> None:
    source = view(texture(3, 12, 120), 0, 0)[: size[0], : size[1]]
    large = resized(source, 2 * size[1], 2 * size[0])
    shifted = large.astype(int) + np.array([6, -5, 3])
    made = with_tones_of(source, shifted.clip(0, 255).astype(np.uint8))
    assert made.shape == large.shape
    assert np.abs(made.astype(float).mean((0, 1)) - source.mean((0, 1))).max() < 0.5
