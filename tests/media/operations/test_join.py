"""Joined clips: every frame and sample is where the plan puts it, whatever the clips are like."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import KinoraError
from media.operations.chain import Chain, plan_chain
from media.operations.edit_sources import open_source
from media.operations.join_clips import JoinClips, Joint
from media.operations.operation import Operation, StreamInfo
from media.operations.run_chain import EditedClip, OutputFile, run_chain
from media.operations.trim import Trim
from tests.media.operations.measure import (
    RATE_HZ,
    has_sound,
    offsets,
    plain_colour,
    read_sound,
    write_flashes,
    write_plain,
)
from tests.media.reading import Read, read

COLOURS = [(210, 60, 40), (40, 170, 90), (60, 80, 200), (200, 190, 60)]
TONES_HZ = [440.0, 1000.0, 2200.0, 3700.0]
RATES = [
    Fraction(8),
    Fraction(24),
    Fraction(25),
    Fraction(30_000, 1001),
    Fraction(30),
    Fraction(60),
]


def chain_of(paths: Sequence[Path], *operations: Operation) -> Chain:
    return plan_chain([open_source(path) for path in paths], operations)


def make(paths: Sequence[Path], target: Path, *operations: Operation) -> EditedClip:
    return run_chain(chain_of(paths, *operations), target, OutputFile(quality="high"))


def number_of(
    frame: np.ndarray, box: tuple[float, float, float, float] = (0, 0, 1, 1)
) -> int | None:
    """Which of the clips a frame is of: its colour, within 2 levels of what was written."""
    colour = plain_colour(frame, box)
    for number, expected in enumerate(COLOURS):
        if max(abs(a - b) for a, b in zip(colour, expected, strict=True)) <= 2:
            return number
    return None


def assert_exact(clip: Read, made: StreamInfo) -> None:
    assert len(clip.frames) == made.num_frames
    assert (clip.width, clip.height) == (made.width, made.height)
    for time, n in zip(clip.times, range(made.num_frames), strict=True):
        assert abs(time - n / made.fps) < Fraction(1, 10_000)
    assert clip.colour == (1, 1, 1, 1)


clips = st.tuples(
    st.sampled_from(RATES), st.integers(1, 30), st.sampled_from([(64, 48), (48, 64), (72, 40)]),
    st.sampled_from([0, 1, 2]),
)  # fmt: skip
joints = st.builds(
    Joint,
    transition=st.sampled_from(["cut", "crossfade", "fade_black", "fade_white", "wipe"]),
    duration_s=st.sampled_from([0.04, 0.2, 0.5]),
)


@settings(max_examples=6)
@given(st.lists(st.tuples(clips, joints), min_size=2, max_size=4), st.sampled_from(["pad", "crop"]))
def test_every_join_has_exactly_the_frames_and_the_sound_that_were_planned(
    parts: list[tuple[tuple[Fraction, int, tuple[int, int], int], Joint]], fit: str
) -> None:
    with TemporaryDirectory() as place:
        folder, paths = Path(place), list[Path]()
        for n, ((fps, num_frames, size, channels), _) in enumerate(parts):
            tone = TONES_HZ[n] if channels else None
            paths.append(
                write_plain(folder / f"{n}.mp4", COLOURS[n], fps=fps, num_frames=num_frames,
                            size=size, tone_hz=tone, channels=channels or 1)
            )  # fmt: skip
        join = JoinClips(joints=tuple(joint for _, joint in parts[1:]), fit=fit)  # pyright: ignore[reportArgumentType]
        chain = chain_of(paths, join)
        made = run_chain(chain, folder / "out.mp4", OutputFile(quality="high"))
        plan = join.plan([source.info for source in chain.sources])
        clip = read(made.path)
        assert_exact(clip, plan.info)

        # 1. outside of the transitions, each frame has the colour of its clip
        for n, start in enumerate(plan.starts):
            begin = start + (plan.overlaps[n - 1] if n else 0)
            end = start + plan.lengths[n] - (plan.overlaps[n] if n < len(plan.overlaps) else 0)
            for frame in clip.frames[begin:end]:
                assert number_of(frame, (0.2, 0.2, 0.8, 0.8)) == n

        # 2. the sound is as long as the frames, within a packet of the codec
        assert has_sound(made.path) == any(channels for (_, _, _, channels), _ in parts)
        if has_sound(made.path):
            assert abs(read_sound(made.path).seconds - float(plan.info.duration_s)) < 0.022


def test_a_cross_fade_blends_both_pictures_and_both_sounds(tmp_path: Path) -> None:
    paths = [
        write_plain(tmp_path / f"{n}.mp4", COLOURS[n], num_frames=48, tone_hz=TONES_HZ[n])
        for n in range(2)
    ]
    made = make(paths, tmp_path / "out.mp4", JoinClips(transition="crossfade", duration_s=1))
    clip, sound = read(made.path), read_sound(made.path)
    assert len(clip.frames) == 72
    shares = []
    for frame in clip.frames[24:48]:
        colour = np.array(plain_colour(frame))
        first, second = np.array(COLOURS[0]), np.array(COLOURS[1])
        share = float(
            np.dot(colour - first, second - first) / np.dot(second - first, second - first)
        )
        assert (
            np.abs(first + share * (second - first) - colour).max() <= 3.5
        )  # chroma of 8 bits, rounded
        shares.append(share)
    assert shares == sorted(shares) and shares[0] < 0.05 and shares[-1] > 0.9
    assert shares[12] == pytest.approx(0.5, abs=0.06)
    levels = [[sound.level_of(hz, at, at + 0.2) for hz in TONES_HZ[:2]] for at in (0.5, 1.4, 2.5)]
    assert levels[0] == pytest.approx([0.25, 0], abs=0.01)
    assert levels[1] == pytest.approx([0.25 * 0.5**0.5] * 2, abs=0.02)  # equal power
    assert levels[2] == pytest.approx([0, 0.25], abs=0.01)


@pytest.mark.parametrize("transition", ["cut", "crossfade"])
def test_flashes_and_clicks_stay_together_over_clips_with_variable_frame_rates(
    tmp_path: Path, transition: str
) -> None:
    rng = np.random.default_rng(23)
    paths = []
    for n in range(3):
        # frames at uneven times: 17 to 67 ms apart, as phones and screen recorders write
        gaps = [Fraction(int(each), 1000) for each in rng.integers(17, 67, 60)]
        times = [sum(gaps[:k], Fraction(0)) for k in range(60)]
        at = [times[k] for k in (20, 34, 47)]
        end = times[-1] + Fraction(1, 20)
        paths.append(write_flashes(tmp_path / f"{n}.mp4", at, end, times=times))
    join = JoinClips(transition=transition, duration_s=0.2)  # pyright: ignore[reportArgumentType]
    made = make(paths, tmp_path / "out.mp4", join)
    found = offsets(made.path)
    assert len(found) == 9
    assert max(abs(each) for each in found) < 0.02, found


def test_many_short_clips_do_not_drift(tmp_path: Path) -> None:
    """Sounds whose length is no whole number of samples: 20 clips of 30000/1001 and of 24."""
    paths = []
    for n, fps in enumerate([Fraction(30_000, 1001), Fraction(24)]):
        times = [k / fps for k in range(13)]
        path = tmp_path / f"{n}.mp4"
        paths.append(write_flashes(path, [times[5]], 13 / fps, times=times))
    made = make(paths * 10, tmp_path / "out.mp4", JoinClips())
    found = offsets(made.path)
    assert len(found) == 20
    assert max(abs(each) for each in found) < 0.02, found


def test_sizes_rates_and_missing_sound_are_fitted_with_a_sentence_each(tmp_path: Path) -> None:
    paths = [
        write_plain(tmp_path / "a.mp4", COLOURS[0], fps=24, size=(64, 48), tone_hz=440),
        write_plain(tmp_path / "b.mp4", COLOURS[1], fps=30, size=(96, 48)),
        write_plain(
            tmp_path / "c.mp4", COLOURS[2], fps=30, size=(64, 48), tone_hz=1000, num_frames=2
        ),
    ]
    made = make(
        paths, tmp_path / "out.mp4", JoinClips(joints=(Joint(), Joint(transition="crossfade")))
    )
    assert made.notes == (
        "Clip 1 has 24 frames a second; it is played at 30, at the same speed.",
        "Clip 2 is 96 x 48; it is scaled to 64 x 48, the size of the first clip, with black bars.",
        "Clip 2 has no sound; it is silent in the joined clip.",
        "The transition between clips 2 and 3 lasts 0.03 s, because one of them is too short.",
    )
    clip, sound = read(made.path), read_sound(made.path)
    bars = clip.frames[45][:6], clip.frames[45][-6:]
    assert max(float(bar.mean()) for bar in bars) < 2, "black above and below"
    assert number_of(clip.frames[45], (0, 0.3, 1, 0.7)) == 1
    assert sound.rms(1.1, 1.7) < 1e-3


def test_mono_and_stereo_sounds_keep_their_levels(tmp_path: Path) -> None:
    paths = [
        write_plain(tmp_path / "a.mp4", COLOURS[0], tone_hz=440, channels=1),
        write_plain(tmp_path / "b.mp4", COLOURS[1], tone_hz=1000, channels=2),
    ]
    made = make(paths, tmp_path / "out.mp4", JoinClips())
    sound = read_sound(made.path)
    assert sound.samples.shape[0] == 2
    assert sound.level_of(440, 0.1, 0.9) == pytest.approx(0.25, rel=0.03)
    assert sound.level_of(1000, 1.1, 1.9) == pytest.approx(0.25, rel=0.03)


def test_operations_before_a_join_change_each_clip_and_those_after_it_the_whole(
    tmp_path: Path,
) -> None:
    paths = [write_plain(tmp_path / f"{n}.mp4", COLOURS[n], num_frames=24) for n in range(3)]
    trim, whole = Trim(start_s=0.5), Trim(start_s=0.25, end_s=1.25)
    made = make(paths, tmp_path / "out.mp4", trim, JoinClips(), whole)
    assert [number_of(frame) for frame in read(made.path).frames] == [0] * 6 + [1] * 12 + [2] * 6


def test_the_number_of_joints_must_be_right(tmp_path: Path) -> None:
    paths = [write_plain(tmp_path / f"{n}.mp4", COLOURS[n], num_frames=4) for n in range(3)]
    with pytest.raises(KinoraError, match="There are 2 joints between 3 clips, but 1 were"):
        chain_of(paths, JoinClips(joints=(Joint(),)))


infos = st.builds(
    StreamInfo,
    width=st.integers(2, 200), height=st.integers(2, 200), fps=st.sampled_from(RATES),
    num_frames=st.integers(1, 500), channels=st.integers(0, 2),
)  # fmt: skip


@given(st.lists(infos, min_size=2, max_size=20), st.data())
def test_a_plan_adds_up(sources: list[StreamInfo], data: st.DataObject) -> None:
    joint = st.lists(joints, min_size=len(sources) - 1, max_size=len(sources) - 1)
    plan = JoinClips(joints=tuple(data.draw(joint))).plan(sources)
    made = plan.info
    assert plan.starts[-1] + plan.lengths[-1] == made.num_frames
    for number, source in enumerate(sources):
        assert abs(plan.lengths[number] / made.fps - source.duration_s) <= 1 / made.fps
        first, last = plan.samples(number)
        assert abs(Fraction(first, RATE_HZ) - plan.starts[number] / made.fps) <= Fraction(
            1, RATE_HZ
        )
        assert 0 <= first < last <= made.num_samples
    assert all(after >= before for before, after in pairwise(plan.starts))
