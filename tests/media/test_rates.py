"""Variable frame rates: every picture at its time, at the rate of what moves."""

from __future__ import annotations

import bisect
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from media.prefix import LeadIn
from media.rates import choose_rate
from media.videos import StoredVideo, load_frames, store_video
from tests.media.making import shown_values, write_timed

NEAR = Fraction(21, 2000)
"""A picture may be off by half a frame at 60 a second, or by the jitter of phones."""
SIXTIETH = Fraction(1, 60)
STEP = 4
LIKE = 2
"""What coding changes of a grey."""

gaps = st.one_of(
    st.lists(st.sampled_from([SIXTIETH, 2 * SIXTIETH, Fraction(1, 10), Fraction(3, 2)]), min_size=1,
             max_size=40),
    st.lists(st.integers(1501, 40_000).map(lambda ticks: Fraction(ticks, 90_000)), min_size=1,
             max_size=40),
    st.lists(st.integers(30, 37).map(lambda ms: Fraction(ms, 1000)), min_size=1, max_size=40),
)  # fmt: skip
SCREEN_RECORDING = [SIXTIETH] * 20 + [Fraction(5)] + [SIXTIETH] * 9
HELD_AT_THE_END = [SIXTIETH] * 29 + [Fraction(5)]


def kept(lasting: list[Fraction], folder: Path, tick: Fraction) -> tuple[Path, StoredVideo]:
    times = [sum(lasting[:n], Fraction(0)) for n in range(len(lasting))]
    values = [16 + STEP * n for n in range(len(times))]
    made = write_timed(folder / "vfr.mp4", values, times, sum(lasting, Fraction(0)), tick=tick)
    return made, store_video(made, folder)


@pytest.mark.parametrize("tick", [Fraction(1, 90_000), Fraction(1, 1000)], ids=["mp4", "ms"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lasting=gaps)
@example(lasting=SCREEN_RECORDING)
@example(lasting=HELD_AT_THE_END)
@example(lasting=[Fraction(1, 25)])
@example(lasting=[Fraction(1, 240)] * 3)
def test_at_each_moment_the_picture_is_the_one_that_the_source_shows(
    lasting: list[Fraction], tick: Fraction
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made, stored = kept(lasting, folder, tick)
        times, values = shown_values(made)
        ends = sum(lasting, Fraction(0))
        _, shown = shown_values(folder / f"{stored.id}.mp4")
        assert len(shown) == stored.num_frames
        assert stored.seconds == pytest.approx(float(ends), abs=1 / stored.fps + 0.002)

        # 1. what is kept, in the middle of each picture's time
        for n, value in enumerate(values):
            until = times[n + 1] if n + 1 < len(times) else ends
            if until - times[n] < SIXTIETH - 2 * tick:
                continue  # more than 60 a second: every second one is kept
            middle = float(times[n] + until) / 2
            assert abs(shown[min(int(middle * stored.fps), len(shown) - 1)] - value) <= LIKE

        # 2. what a model is given, at its own pace
        count = max(1, int(ends * 8))
        for n, picture in enumerate(
            load_frames(stored.id, folder, fps=8, num_frames=count, width=64, height=48)
        ):
            at = Fraction(n, 8)
            first, last = (
                max(bisect.bisect_right(times, at + off) - 1, 0) for off in (-NEAR, NEAR)
            )
            meant = values[first : last + 1]
            grey = np.asarray(picture)[8:-8, 8:-8].mean()
            assert min(abs(grey - value) for value in meant) <= LIKE


@pytest.mark.parametrize(
    ("lasting", "fps"),
    [
        (SCREEN_RECORDING, 60),
        (HELD_AT_THE_END, 60),
        ([Fraction(1, 10)] * 8 + [SIXTIETH] * 8 + [Fraction(1, 10)] * 8, 60),
        ([Fraction(1, 30)] * 12 + [Fraction(4)], 30),
        ([Fraction(1, 12)] * 12, 12),
        ([Fraction(1001, 30_000)] * 15, 30_000 / 1001),
        ([Fraction(1001, 24_000)] * 15, 24_000 / 1001),
        ([Fraction(1, 120)] * 24, 60),
        ([Fraction(1, 100)] * 24, 50),
        ([Fraction(5)] * 3, 1),
    ],
)  # fmt: skip
def test_the_rate_is_that_of_what_moves_not_an_average(lasting: list[Fraction], fps: float) -> None:
    shown = [sum(lasting[:n], Fraction(0)) for n in range(len(lasting))]
    rate = choose_rate(shown, sum(lasting, Fraction(0)), Fraction(1, 120_000), Fraction(7))
    assert float(rate) == pytest.approx(fps, rel=1e-9)


@given(
    fps=st.sampled_from([8, 10, 12, 15, 24, 25, 30, 48, 50, 60]),
    count=st.integers(2, 400),
    jitter=st.randoms(use_true_random=False),
    tick=st.sampled_from([Fraction(1, 600), Fraction(1, 1000), Fraction(1, 90_000)]),
)
@settings(max_examples=60, deadline=None)
def test_jitter_and_coarse_timestamps_do_not_change_the_rate(
    fps: int, count: int, jitter: object, tick: Fraction
) -> None:
    """As phones write it: each picture within a few milliseconds of its place."""
    rng = np.random.default_rng(hash(str(jitter)) % 2**32)
    off = rng.uniform(-0.12 / fps, 0.12 / fps, count).clip(-0.004, 0.004)
    shown = sorted(
        round(max(Fraction(n, fps) + Fraction(float(d)), Fraction(0)) / tick) * tick
        for n, d in enumerate(off)
    )
    rate = choose_rate(shown, shown[-1] + Fraction(1, fps), tick, None)
    assert len({round(time * rate) for time in shown}) >= count - count // 100 - 1
    if count >= 12:
        assert float(rate) == pytest.approx(fps, rel=0.002)


@settings(max_examples=200, deadline=None)
@given(
    ticks=st.lists(st.integers(0, 10**7), min_size=0, max_size=60),
    tick=st.sampled_from([Fraction(1, 1), Fraction(1, 600), Fraction(1, 10**6)]),
    said=st.none() | st.fractions(Fraction(1, 1000), 10**6),
    lasts=st.fractions(0, 100),
)
def test_any_timestamps_give_a_rate_between_1_and_60(
    ticks: list[int], tick: Fraction, said: Fraction | None, lasts: Fraction
) -> None:
    shown = sorted(each * tick for each in ticks)
    assert 1 <= choose_rate(shown, max([*shown, Fraction(0)]) + lasts, tick, said) <= 60


def test_both_sides_of_a_seam_move_where_the_first_clip_held_a_picture(tmp_path: Path) -> None:
    """The clip that comes first moves, holds and moves again, and its last picture is its last."""
    made, stored = kept(SCREEN_RECORDING, tmp_path, Fraction(1, 90_000))
    times, values = shown_values(made)
    for fps in (8, 24, 60):
        count = round(stored.seconds * fps)
        first = LeadIn(stored.id, tmp_path, fps, count, width=64, height=48)
        greys = [frame[8:-8, 8:-8].mean() for frame in first.frames()]
        assert len(greys) == count
        for n, grey in enumerate(greys):
            meant = values[max(bisect.bisect_right(times, Fraction(n, fps) + NEAR / 2) - 1, 0)]
            near = values[max(bisect.bisect_right(times, Fraction(n, fps) - NEAR / 2) - 1, 0)]
            assert min(abs(grey - meant), abs(grey - near)) <= LIKE
        assert greys[-1] > greys[count // 2] + STEP, "what moves after the pause is there"
    assert len({round(grey) for grey in greys}) >= 25, "at 60 a second each picture is seen"
