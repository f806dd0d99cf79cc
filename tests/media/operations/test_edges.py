"""Clips of one frame, tiny and odd ones, without sound, with a changing rate; time and pitch."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from errors import ErrorCode, KinoraError
from media.encode import encode
from media.operations.chain import plan_chain
from media.operations.change_speed import Speed
from media.operations.colour import Colour
from media.operations.edit_sources import EditSource, open_source
from media.operations.operation import Operation
from media.operations.outputs import OutputFile
from media.operations.registry import parse_short_form
from media.operations.run_chain import run_chain
from media.operations.trim import Trim
from media.soundtrack import load_sound
from tests.media.making import write_timed
from tests.media.operations.sources import RATE_HZ, coloured_frames, tones, write_clip
from tests.media.reading import read

CLIPS = Path(__file__).parents[1] / "clips"
FPS = Fraction(10)
ON_ANY_CLIP = [
    ["trim", "reverse", "speed=0.7", "loop", "deflicker"],
    ["speed=3", "freeze=0:0.3", "loop=repeat:3", "crop=shape=1/1", "pad=shape=16/9"],
    ["stabilise", "colour=0.3:1.1:1.2:0.3", "grain", "vignette"],
    ["rotate", "pad=shape=9/16:background=blur", "rotate=180:vertical"],
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EditSource:
    path = tmp_path_factory.mktemp("clips") / "in.clip"
    return open_source(write_clip(path, coloured_frames(8, 64, 48), FPS))


def run(clip: Path, target: Path, *operations: str | Operation) -> Path:
    made = [parse_short_form(each) if isinstance(each, str) else each for each in operations]
    chain = plan_chain([open_source(clip)], made)
    result = run_chain(chain, target, OutputFile(quality="high"))
    file = read(target)
    assert len(file.frames) == result.info.num_frames and file.rate == result.info.fps
    assert (file.width, file.height) == (result.info.width, result.info.height)
    return target


@pytest.mark.parametrize("count", [1, 2])
def test_every_operation_works_on_the_shortest_clips(tmp_path: Path, count: int) -> None:
    clip = write_clip(tmp_path / "in.clip", coloured_frames(count, 38, 27), FPS, tones(count, FPS))
    for operations in ON_ANY_CLIP:
        run(clip, tmp_path / "out.mp4", *operations)


def test_all_at_once_on_a_clip_without_sound(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.clip", coloured_frames(8, 64, 48), FPS)
    run(clip, tmp_path / "out.mp4", *itertools.chain.from_iterable(ON_ANY_CLIP))
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert not made.streams.audio


def test_a_changing_frame_rate_is_read_by_timestamp(tmp_path: Path) -> None:
    times = [Fraction(n, 20) for n in (0, 1, 2, 3, 8, 9, 10, 15, 16, 18)]
    values = [20 + 20 * n for n in range(10)]
    clip = write_timed(tmp_path / "in.mp4", values, times, Fraction(1))
    run(clip, tmp_path / "out.mp4", "reverse")
    shown = [round(float(grey)) for grey in read(tmp_path / "out.mp4").frames.mean((1, 2, 3))]
    at = [max(n for n, time in enumerate(times) if time <= Fraction(k, 20)) for k in range(20)]
    assert np.abs(np.array(shown) - [values[n] for n in reversed(at)]).max() <= 3


@pytest.mark.parametrize("name", [path.name for path in sorted(CLIPS.glob("*.mp4"))])
def test_clips_of_phones_and_recorders_can_be_edited(tmp_path: Path, name: str) -> None:
    run(CLIPS / name, tmp_path / "out.mp4", "trim=0:0.5", "speed=0.5")


def flash_and_click(
    count: int, fps: Fraction, frame: int
) -> tuple[np.ndarray, Fraction, np.ndarray]:
    frames = np.full((count, 48, 64, 3), 30, np.uint8)
    frames[frame : frame + 12] = 230
    sound = np.zeros((1, int(count / fps * RATE_HZ)), np.float32)
    start = int(frame / fps * RATE_HZ)
    length = int(12 / fps * RATE_HZ)
    sound[0, start : start + length] = 0.6 * np.sin(np.arange(length) * 2 * np.pi * 1000 / RATE_HZ)
    return frames, fps, sound


def offset_s(path: Path) -> float:
    """From the first bright frame to the first loud sample."""
    file = read(path)
    grey = file.frames.mean((1, 2, 3))
    shown = float(file.times[int(np.argmax(grey > 120))])
    sound = load_sound(path, RATE_HZ, 1)
    assert sound is not None
    return int(np.argmax(np.abs(sound.samples[0]) > 0.2)) / RATE_HZ - shown


@pytest.mark.parametrize(
    "operations",
    [["speed=2"], ["speed=0.25"], ["speed=0.15"], ["speed=5"], ["speed=3:false"],
     ["speed=0.8"], ["trim=0.2", "speed=0.5", "freeze=0:0.4"]],
    ids=" ".join,
)  # fmt: skip
def test_sound_and_frames_stay_together(tmp_path: Path, operations: list[str]) -> None:
    clip = write_clip(tmp_path / "in.clip", *flash_and_click(48, Fraction(24), 20))
    assert abs(offset_s(clip)) < 0.002
    run(clip, tmp_path / "out.mp4", *operations)
    assert abs(offset_s(tmp_path / "out.mp4")) < 0.020


@pytest.mark.parametrize(("factor", "keep", "pitch"), [(0.5, True, 1), (2, True, 1), (2, False, 2)])
def test_the_pitch_is_kept_unless_it_should_not_be(
    tmp_path: Path, factor: float, keep: bool, pitch: float
) -> None:
    tone = 0.4 * np.sin(np.arange(2 * RATE_HZ) * 2 * np.pi * 500 / RATE_HZ, dtype=np.float32)
    clip = write_clip(tmp_path / "in.clip", coloured_frames(20, 64, 48), FPS, tone[None])
    run(clip, tmp_path / "out.mp4", Speed(factor=factor, keep_pitch=keep))
    sound = load_sound(tmp_path / "out.mp4", RATE_HZ, 1)
    assert sound is not None
    middle = sound.samples[0][len(sound.samples[0]) // 4 :][: RATE_HZ // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), RATE_HZ))
    assert abs(np.argmax(spectrum) - 500 * pitch) < 10 * pitch


@pytest.mark.parametrize(
    "words",
    ["crop=9999:9999", "crop=10:10:60:0", "crop=10:shape=1/1", "crop=shape=0:1", "pad=10:10",
     "pad=64:48:red", "pad=shape=1/1:width=99", "rotate=45", "rotate=true", "split=0", "split=9",
     "split=0.5:both", "speed=1e9", "speed=nan", "speed", "freeze=99", "freeze=0:-1",
     "freeze=0:inf",
     "loop=spin", "loop=crossfade:1:9", "loop=repeat:1.5", "loop=repeat:99", "trim=-1", "trim=9",
     "grain=2", "vignette=-1", "colour=99", "deflicker=1", "stabilise=0", "lut=../../etc/passwd",
     "lut=http://example.org/a.cube", "crop=movie=/etc/passwd", "pad=64:48:#000000;movie=x",
     "grain=0.5,movie=x", "=", "", ":", "trim=1:2:3:4", "trim=start_s=a", "op=trim"],
)  # fmt: skip
def test_hostile_values_are_refused_in_a_sentence(source: EditSource, words: str) -> None:
    with pytest.raises(KinoraError) as refused:
        plan_chain([source], [parse_short_form(words)])
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert refused.value.message[-1] in ".!" and len(refused.value.message) < 300


def test_a_chain_has_one_join_and_several_clips_need_one(tmp_path: Path) -> None:
    clip = open_source(write_clip(tmp_path / "in.clip", coloured_frames(2, 64, 48), FPS))
    with pytest.raises(KinoraError, match="need to be joined"):
        plan_chain([clip, clip], [Trim(), Colour()])


def test_a_gif_of_ours_can_be_edited(tmp_path: Path) -> None:
    frames = np.stack([np.full((48, 64, 3), 20 + 9 * n, np.uint8) for n in range(24)])
    encode(frames, tmp_path / "in.gif", fps=24, format="gif")
    source = open_source(tmp_path / "in.gif")
    assert (source.info.num_frames, source.info.fps, source.info.channels) == (24, 24, 0)
    run(tmp_path / "in.gif", tmp_path / "out.mp4", "reverse", "trim=0:0.5")
    shown = read(tmp_path / "out.mp4").frames.mean((1, 2, 3))
    assert np.abs(shown - [20 + 9 * n for n in range(23, 11, -1)]).max() <= 4


def test_a_few_damaged_frames_are_got_over_and_a_ruin_is_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.clip", coloured_frames(24, 64, 48), FPS, tones(24, FPS))
    data = clip.read_bytes()
    start = data.index(b"mdat") + 8
    for begin, end, is_read in ((start + 3000, start + 5000, True), (start, start + 15_000, False)):
        clip.write_bytes(data[:begin] + bytes(end - begin) + data[end:])
        if is_read:
            run(clip, tmp_path / "out.mp4", "reverse")
            continue
        with pytest.raises(KinoraError, match="This clip is damaged") as refused:
            run(clip, tmp_path / "ruin.mp4", "reverse")
        assert refused.value.code is ErrorCode.INVALID_VIDEO
    assert {path.name for path in tmp_path.iterdir()} == {"in.clip", "in.raw", "out.mp4"}


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"RIFF....AVI ", b"#EXTM3U\nfile:///etc/passwd",
                                     b"ffconcat version 1.0\nfile /etc/passwd\n"])  # fmt: skip
def test_what_is_no_clip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in.mp4"
    path.write_bytes(content)
    with pytest.raises(KinoraError) as refused:
        open_source(path)
    assert refused.value.code is ErrorCode.INVALID_VIDEO


@pytest.mark.parametrize("start", [Fraction(9, 20), Fraction(1, 2), Fraction(12, 20)])
def test_a_part_of_a_changing_rate_begins_with_the_frame_that_is_shown_then(
    tmp_path: Path, start: Fraction
) -> None:
    times = [Fraction(n, 20) for n in (0, 1, 2, 3, 8, 9, 10, 15, 16, 18)]
    values = [20 + 20 * n for n in range(10)]
    clip = write_timed(tmp_path / "in.mp4", values, times, Fraction(1))
    source = open_source(clip)
    assert source.skippable(int(start * 20)) > 0, "else nothing is left out"
    run(clip, tmp_path / "out.mp4", Trim(start_s=float(start)))
    shown = [round(float(grey)) for grey in read(tmp_path / "out.mp4").frames.mean((1, 2, 3))]
    first = int(start * 20)
    at = [max(n for n, time in enumerate(times) if time <= Fraction(k, 20)) for k in range(20)]
    assert np.abs(np.array(shown) - [values[n] for n in at[first:]]).max() <= 3
