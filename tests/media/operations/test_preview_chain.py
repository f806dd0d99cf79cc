"""Previews are small and short, show the same thing, and estimates are of the right size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import KinoraError
from media.operations.chain import plan_chain
from media.operations.edit_sources import open_source
from media.operations.outputs import OUTPUTS, OutputFile
from media.operations.preview_chain import PREVIEW_FILE, estimate_chain, plan_preview
from media.operations.registry import parse_short_form
from media.operations.run_chain import run_chain
from media.operations.trim import Trim
from tests.media.operations.sources import tones, write_clip
from tests.media.reading import read

FPS = Fraction(12)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a picture with slow gradients, 1280 x 720."""
    y, x = np.mgrid[:720, :1280]
    picture = np.stack([60 + x / 10, 60 + y / 6, 200 - x / 12], axis=-1).astype(np.uint8)
    path = tmp_path_factory.mktemp("clips") / "in.clip"
    return write_clip(path, np.repeat(picture[None], 24, 0), FPS, tones(24, FPS))


@pytest.mark.parametrize(
    "operations",
    [["reverse"], ["crop=641:479:639:241"], ["pad=shape=9/16"],
     ["crop=2:2:1278:718"]],
    ids=" ".join,
)  # fmt: skip
def test_a_preview_shows_the_same_in_a_small_size(
    clip: Path, tmp_path: Path, operations: list[str]
) -> None:
    chain = plan_chain([open_source(clip)], [parse_short_form(each) for each in operations])
    preview = plan_preview(chain, seconds=0.5)
    made = run_chain(preview, tmp_path / "preview.mp4", PREVIEW_FILE)
    assert made.info.num_frames == 6 and made.info.channels == 1
    if max(chain.info.width, chain.info.height) > 480:
        assert made.info.width / made.info.height == pytest.approx(
            chain.info.width / chain.info.height, rel=0.02
        )
    first = plan_chain(chain.sources, [*(each.operation for each in chain.steps), Trim(end_s=0.1)])
    whole = run_chain(first, tmp_path / "whole.mp4", OutputFile())
    small = Image.fromarray(read(whole.path).frames[0]).resize((32, 32), Image.Resampling.BOX)
    shown = Image.fromarray(read(made.path).frames[0]).resize((32, 32), Image.Resampling.BOX)
    difference = np.abs(np.asarray(small, float) - np.asarray(shown, float))
    assert difference.mean() < 4


def test_a_short_small_clip_is_its_own_preview(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.clip", np.full((6, 48, 64, 3), 90, np.uint8), FPS)
    chain = plan_chain([open_source(clip)], [parse_short_form("reverse")])
    assert plan_preview(chain).info == chain.info


def test_estimates_grow_with_the_work_and_name_the_size(clip: Path, tmp_path: Path) -> None:
    source = open_source(clip)

    def seconds(*operations: str, output: OutputFile = OutputFile()) -> float:  # noqa: B008
        chain = plan_chain([source], [parse_short_form(each) for each in operations])
        return estimate_chain(chain, output).seconds

    assert seconds("trim=0:1") < seconds() < seconds("speed=0.5") < seconds("speed=0.25")
    assert seconds("stabilise") > seconds()
    assert seconds(output=OutputFile("webm")) > seconds()
    assert seconds(output=OutputFile(target_mb=5)) > seconds()
    chain = plan_chain([source], [])
    assert estimate_chain(chain, OutputFile(target_mb=5)).megabytes == 5
    for format in OUTPUTS:
        low, high = (estimate_chain(chain, OutputFile(format, quality)).megabytes
                     for quality in ("low", "high"))  # fmt: skip
        assert 0 < low <= high
    with pytest.raises(KinoraError):
        estimate_chain(chain, OutputFile("gif", target_mb=5))
