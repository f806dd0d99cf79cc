"""Frames between frames, by the built-in method: which they are, and that nothing else changes."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from errors import Cancelled, KinoraError
from media.encode import encode
from media.operations.chain import plan_chain
from media.operations.edit_sources import open_source
from media.operations.interpolate import Interpolate
from media.operations.operation import FrameTools, StreamInfo
from media.operations.raw_frames import luminance
from media.operations.registry import parse_short_form
from media.operations.run_chain import OutputFile, run_chain
from pipelines.sound import Sound
from tests.media.reading import read
from tests.media.textures import HEIGHT, WIDTH, planar, texture, view

TOOLS = FrameTools(check=lambda: None)


def info_of(frames: list[np.ndarray], fps: Fraction = Fraction(8)) -> StreamInfo:
    return StreamInfo(WIDTH, HEIGHT, fps, len(frames))


def made_of(
    frames: list[np.ndarray], operation: Interpolate, fps: Fraction = Fraction(8)
) -> list[np.ndarray]:
    info = info_of(frames, fps)
    source = (planar(frame) for frame in frames)
    made = list(operation.change_frames(source, info, TOOLS))
    assert len(made) == operation.output(info).num_frames
    assert all((frame[WIDTH * HEIGHT :] == 128).all() for frame in made), "no colour"
    return [np.repeat(luminance(frame, info)[..., None], 3, 2) for frame in made]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """Five frames of one scene, one of another, four of a third."""
    first, second, third = (texture(seed, 12, 200) for seed in (1, 2, 3))
    return [
        *(view(first, 4 * n, 0) for n in range(5)),
        view(second, 0, 0),
        *(view(third, 0, 3 * n) for n in range(4)),
    ]


CUTS = (5, 6)


@given(
    st.sampled_from([Fraction(8), Fraction(24), Fraction(24000, 1001), Fraction(25)]),
    st.sampled_from([None, 30, 60, 29.97, 90]),
)
@settings(max_examples=4, deadline=None)
@example(Fraction(24), 60)
@example(Fraction(24000, 1001), 59.94)
def test_frames_of_the_clip_stay_and_nothing_is_mixed_across_a_cut(
    scenes: list[np.ndarray], fps: Fraction, wanted: float | None
) -> None:
    operation = Interpolate(fps=wanted)
    made, rate = made_of(scenes, operation, fps), operation.output(info_of(scenes, fps)).fps
    for number, frame in enumerate(made):
        at = number * fps / rate
        before = min(int(at), len(scenes) - 1)
        if at == before or before + 1 in (*CUTS, len(scenes)):
            assert (frame == scenes[before]).all(), f"frame {number}"
        elif 0.25 <= at - before <= 0.75:  # the scene has moved on by a part of the way
            assert (frame != scenes[before]).any() and (frame != scenes[before + 1]).any()
    assert (made[0] == scenes[0]).all() and (made[-1] == scenes[-1]).all()


def test_what_is_between_has_moved_half_of_the_way(scenes: list[np.ndarray]) -> None:
    first = texture(1, 12, 200)
    made = made_of(scenes[:5], Interpolate(times=2))
    for number in range(4):
        truth = view(first, 4 * number + 2, 0)
        # the border shows what neither frame has
        inner = slice(16, -16)
        found = made[2 * number + 1][inner, inner]
        assert (
            difference(found, truth[inner, inner])
            < 2
            < 5
            < difference(found, scenes[number][inner, inner])
        )


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("times", [2, 4])
def test_short_clips(scenes: list[np.ndarray], count: int, times: int) -> None:
    made = made_of(scenes[:count], Interpolate.model_validate({"times": times}))
    assert all((made[times * n] == scenes[n]).all() for n in range(count))


@pytest.mark.parametrize("size", [(2, 2), (16, 200), (31, 64), (33, 35)])
def test_any_size(size: tuple[int, int]) -> None:
    frames = [planar(np.full((*size, 3), 40 * n, np.uint8)) for n in range(3)]
    info = StreamInfo(size[1], size[0], Fraction(8), 3)
    made = list(Interpolate().change_frames(iter(frames), info, TOOLS))
    assert [frame.shape for frame in made] == [frames[0].shape] * 6


def test_the_sound_stays_and_the_file_has_the_new_rate(
    scenes: list[np.ndarray], tmp_path: Path
) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000, dtype=np.float32)
    source = tmp_path / "clip.mp4"
    encode(np.stack(scenes[:8]), source, fps=8, quality="high", sound=Sound(tone[None], 48_000))
    for text, rate, count in (("interpolate=2", 16, 16), ("interpolate=fps=11", 11, 11)):
        chain = plan_chain([open_source(source)], [parse_short_form(text)])
        made = run_chain(chain, tmp_path / "made.mp4", OutputFile(quality="high"))
        file = read(made.path)
        assert file.rate == rate and len(file.frames) == count == made.info.num_frames
        assert file.colour == (1, 1, 1, 1)
        assert abs(file.duration_s - count / rate) < 0.001


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"times": 3}, "Input should be 2 or 4"),
        ({"times": 2, "fps": 30}, "either"),
        ({"fps": 0.5}, "greater than or equal to 1"),
        ({"fps": float("inf")}, "finite"),
        ({"method": "learned"}, "built-in"),
    ],
)
def test_wrong_values(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Interpolate.model_validate(values)


def test_fewer_frames_than_there_are_is_refused() -> None:
    with pytest.raises(KinoraError, match="already has 30 frames a second"):
        Interpolate(fps=24).output(StreamInfo(64, 64, Fraction(30), 10))


def test_a_discarded_job_ends_within_a_second_and_leaves_no_process() -> None:
    scene = texture(1, 12, 200)
    discarded = threading.Event()

    def check() -> None:
        if discarded.is_set():
            raise Cancelled

    frames = (planar(view(scene, n % 50, 0)) for n in range(10_000))
    threads = threading.active_count()
    made = Interpolate().change_frames(
        frames, StreamInfo(WIDTH, HEIGHT, Fraction(8), 10_000), FrameTools(check)
    )
    for _ in range(4):
        next(made)
    discarded.set()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        for _ in made:
            pass
    assert time.monotonic() - began < 1
    assert threading.active_count() == threads
