"""Parts of clips are joined as if each had been trimmed before."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from errors import KinoraError
from media.operations.chain import plan_chain
from media.operations.edit_sources import open_source
from media.operations.join_clips import ClipPart, JoinClips, Joint
from media.operations.operation import Operation
from media.operations.run_chain import OutputFile, run_chain
from media.operations.trim import Trim
from tests.media.operations.measure import read_sound, write_plain
from tests.media.reading import read

PARTS = (ClipPart(start_s=0.5), ClipPart(end_s=0.75), ClipPart(start_s=0.25, end_s=1.0))


def make(paths: Sequence[Path], target: Path, *operations: Operation) -> Path:
    chain = plan_chain([open_source(path) for path in paths], operations)
    return run_chain(chain, target, OutputFile(quality="high")).path


@pytest.mark.parametrize("transition", ["cut", "crossfade"])
def test_parts_are_joined_as_trimmed_clips_are(tmp_path: Path, transition: str) -> None:
    joint = Joint(transition=transition, duration_s=0.2)  # pyright: ignore[reportArgumentType]
    clips = [
        write_plain(tmp_path / "red.mp4", (210, 60, 40), fps=Fraction(24), num_frames=36),
        write_plain(tmp_path / "green.mp4", (40, 170, 90), fps=Fraction(24), num_frames=24,
                    tone_hz=440.0),
        write_plain(tmp_path / "blue.mp4", (60, 80, 200), fps=Fraction(30), num_frames=40,
                    tone_hz=1000.0, channels=2),
    ]  # fmt: skip
    trimmed = [
        make([clip], tmp_path / f"part{n}.mp4", Trim(start_s=part.start_s, end_s=part.end_s))
        for n, (clip, part) in enumerate(zip(clips, PARTS, strict=True))
    ]
    joints = (joint, joint)
    at_once = make(clips, tmp_path / "at_once.mp4", JoinClips(joints=joints, parts=PARTS))
    apart = make(trimmed, tmp_path / "apart.mp4", JoinClips(joints=joints))
    ours, theirs = read(at_once), read(apart)
    assert ours.frames.shape == theirs.frames.shape
    difference = np.abs(ours.frames.astype(float) - theirs.frames.astype(float))
    assert difference.mean() < 3, "they were encoded once more"
    sound, other = read_sound(at_once), read_sound(apart)
    assert abs(sound.samples.shape[1] - other.samples.shape[1]) <= 1024, "one frame of AAC"
    for begin in (1.1, 1.9):
        assert sound.rms(begin, begin + 0.2) == pytest.approx(
            other.rms(begin, begin + 0.2), abs=0.02
        )


def test_a_part_for_each_clip_or_none(tmp_path: Path) -> None:
    clip = write_plain(tmp_path / "red.mp4", (210, 60, 40), fps=Fraction(8), num_frames=8)
    with pytest.raises(KinoraError, match="There are 2 clips, but 1 parts were described"):
        make([clip, clip], tmp_path / "out.mp4", JoinClips(parts=PARTS[:1]))
    with pytest.raises(KinoraError, match=r"nothing is left from 1\.5 s on"):
        make(
            [clip, clip], tmp_path / "out.mp4", JoinClips(parts=(ClipPart(start_s=1.5), ClipPart()))
        )
    assert not (tmp_path / "out.mp4").exists()
