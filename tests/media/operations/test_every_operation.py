"""What holds for every operation of the registry, also for those to come: frames, size, rate and
sound are as planned, colours stay, and sound and frames stay together."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter1d

from media.operations.chain import plan_chain
from media.operations.edit_sources import open_source
from media.operations.operation import JoinOperation
from media.operations.outputs import OutputFile
from media.operations.registry import OPERATIONS, read_operation
from media.operations.run_chain import run_chain
from tests.media.operations.measure import RATE_HZ, read_sound
from tests.media.operations.sources import write_clip
from tests.media.reading import read

FPS, COUNT, WIDTH, HEIGHT = Fraction(25), 25, 96, 64
SHOWN, FLASH = np.array([200, 60, 40]), np.array([40, 100, 114])
"""As bright as each other: flicker is a matter of brightness."""
FLASHES = slice(12, 18)
LUT_ID = "1" * 64
CODEC_LEVELS = 4
"""A rounded chroma value is two levels of blue."""

SETTINGS: dict[str, dict[str, Any]] = {
    "trim": {"start_s": 0.12, "end_s": 0.96},
    "split": {"at_s": 0.2, "keep": "after"},
    "speed": {"factor": 0.5},
    "freeze": {"at_s": 0.2, "hold_s": 0.4},
    "crop": {"width": 51, "height": 43, "x": 7, "y": 5},
    "pad": {"width": 121, "height": 83, "colour": "#cc7815"},
    "colour": {"contrast": 1.0001},
    "lut": {"file": LUT_ID},
    "join": {"transition": "wipe", "duration_s": 0.2},
    "subtitles": {"text": "1\n00:00:00,000 --> 00:00:01,000\nIt snows.\n"},
    "title": {"text": "Snow", "duration_s": 0.4, "background": "#cc7815"},
}
"""Where the defaults change nothing, or are not enough."""
CASES = [
    *((name, SETTINGS.get(name, {})) for name in OPERATIONS),
    ("pad", {"shape": "1:1", "background": "blur"}),
]
CHANGES_COLOURS = {"grain", "vignette"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of one colour; some of them have another one, for which a tone sounds."""
    frames = np.broadcast_to(SHOWN.astype(np.uint8), (COUNT, HEIGHT, WIDTH, 3)).copy()
    frames[FLASHES] = FLASH
    at = np.arange(int(COUNT / FPS * RATE_HZ))
    tone = 0.5 * np.cos(2 * np.pi * 1000 * at / RATE_HZ)
    begin, end = (int(n / FPS * RATE_HZ) for n in (FLASHES.start, FLASHES.stop))
    sound = np.where((at >= begin) & (at < end), tone, 0).astype(np.float32)[None]
    return write_clip(tmp_path_factory.mktemp("clips") / "in.clip", frames, FPS, sound)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Those that operations need, by the ids in SETTINGS."""
    lut = tmp_path_factory.mktemp("files") / "plain.cube"
    corners = "\n".join(f"{n & 1} {n >> 1 & 1} {n >> 2}" for n in range(8))
    lut.write_text(f"LUT_3D_SIZE 2\n{corners}\n")
    return {LUT_ID: lut}


@pytest.mark.parametrize(("name", "values"), CASES, ids=[name for name, _ in CASES])
def test_what_comes_out_is_what_was_planned(
    clip: Path, files: dict[str, Path], tmp_path: Path, name: str, values: dict[str, Any]
) -> None:
    operation = read_operation({"op": name, **values})
    count = 2 if isinstance(operation, JoinOperation) else 1
    chain = plan_chain([open_source(clip)] * count, [operation], files=files)
    made = run_chain(chain, tmp_path / "out.mp4", OutputFile(quality="high"))

    # 1. Frames, size and rate
    file, planned = read(made.path), chain.info
    assert len(file.frames) == planned.num_frames
    assert (file.width, file.height) == (planned.width, planned.height)
    assert file.rate == planned.fps
    assert file.times == [n / planned.fps for n in range(planned.num_frames)]

    # 2. Colours
    frames = file.frames[:, : planned.height, : planned.width].astype(int)
    flashes = share_of_flash(frames)
    if name not in CHANGES_COLOURS:
        is_mixed = (flashes > 0.05) & (flashes < 0.95)
        assert is_mixed.sum() <= 2 * count, "only between frames with a flash and without"
        declared = [colour_of(value) for value in operation.model_dump().values()]
        wanted = [SHOWN, FLASH, np.zeros(3), *(each for each in declared if each is not None)]
        for frame in frames[~is_mixed]:
            check_plain_areas(frame, np.array(wanted))

    # 3. Sound: as long as the frames, and with them
    sound = read_sound(made.path)
    assert planned.channels and abs(sound.seconds - float(planned.duration_s)) < 0.025
    seen = [float(file.times[n]) for n in begins(flashes > 0.75)]
    clicks = sound.onsets()
    assert len(seen) == len(clicks) > 0, (seen, clicks)
    assert np.abs(np.array(clicks) - seen).max() < 0.020


def share_of_flash(frames: np.ndarray) -> np.ndarray:
    """[F]: 0 for SHOWN, 1 for FLASH, in the middle of the frames."""
    _, height, width, _ = frames.shape
    middle = frames[:, height // 4 : -height // 4, width // 4 : -width // 4]
    colour = np.median(middle, axis=(1, 2))
    return (colour - SHOWN) @ (FLASH - SHOWN) / ((FLASH - SHOWN) @ (FLASH - SHOWN))


def check_plain_areas(frame: np.ndarray, wanted: np.ndarray) -> None:
    """Squares of 9 x 9 pixels that look the same have one of the colours, as far as the codec
    allows, and on average are within two levels of it. wanted: [N, 3]"""
    size = (9, 9, 1)
    is_plain = (maximum_filter(frame, size) - minimum_filter(frame, size) <= 4).all(-1)
    assert is_plain.mean() > 0.3
    means = uniform_filter1d(uniform_filter1d(frame.astype(float), size[0], 0), size[1], 1)
    squares = means[is_plain]
    off = squares[:, None] - wanted
    nearest = np.abs(off).max(-1).argmin(1)
    for number in set(nearest.tolist()):
        away = off[nearest == number, number]
        assert np.abs(away).max() <= CODEC_LEVELS, wanted[number]
        assert np.abs(away.mean(0)).max() <= 2, wanted[number]


def begins(shown: np.ndarray) -> list[int]:
    return np.flatnonzero(shown & ~np.concatenate([[False], shown[:-1]])).tolist()


def colour_of(value: object) -> np.ndarray | None:
    """Of "#rrggbb"."""
    if not isinstance(value, str) or not value.startswith("#"):
        return None
    return np.array([int(value[n : n + 2], 16) for n in (1, 3, 5)])
