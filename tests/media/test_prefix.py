"""A clip that comes first in the file of another: every frame and its sound, at the right place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.encode import encode
from media.prefix import LeadIn
from media.videos import store_video
from pipelines.sound import Sound
from tests.media.reading import read
from tests.media.test_encode import moving, psnr
from tests.media.test_sound import hear

FPS = 8


def stored(folder: Path, frames: np.ndarray, sound: Sound | None = None, **how: object) -> str:
    clip = encode(frames, folder / "before.mp4", fps=FPS, quality="high", sound=sound)
    return store_video(clip.path, folder, sound=bool(how.get("made_here", True))).id


def tone(pitch_hz: int, seconds: float, rate_hz: int = 24_000, channels: int = 2) -> Sound:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = (0.4 * np.sin(2 * np.pi * pitch_hz * time)).astype(np.float32)
    return Sound(np.stack([wave] * channels), rate_hz)


def lead(video: str, folder: Path, count: int, fps: int = FPS, skip: int = 0) -> LeadIn:
    return LeadIn(video, folder, fps, count, width=64, height=64, skip=skip)


@pytest.mark.parametrize("format", ["mp4", "webm", "gif"])
def test_the_file_has_all_frames_of_both_in_their_order(tmp_path: Path, format: str) -> None:
    before, after = moving(11, 64, 64), moving(6, 64, 64, seed=4)
    first = lead(stored(tmp_path, before), tmp_path, 11)
    made = encode(after, tmp_path / f"clip.{format}", fps=FPS, format=format, lead=first)  # type: ignore[arg-type]
    assert made.num_frames == 17
    if format == "gif":
        return
    clip = read(made.path)
    assert len(clip.frames) == 17
    assert clip.duration_s == pytest.approx(17 / FPS, abs=0.01)
    for shown, meant in zip(clip.frames, [*before, *after], strict=True):
        assert psnr(shown, meant) > 28


def test_a_sound_that_goes_on_begins_where_the_first_clip_ends(tmp_path: Path) -> None:
    video = stored(tmp_path, moving(16, 64, 64), tone(440, 2.0))
    first = lead(video, tmp_path, 16, skip=1)
    made = encode(moving(8, 64, 64), tmp_path / "clip.mp4", fps=FPS, sound=tone(1760, 9 / FPS),
                  lead=first)  # fmt: skip
    heard = hear(made.path)
    assert heard is not None
    assert heard.lasts_s == pytest.approx(3.0, abs=0.03)
    for begins_s, pitch_hz in ((0.3, 440), (2.3, 1760)):
        part = heard.samples[0][round(begins_s * heard.rate_hz) :][: heard.rate_hz // 2]
        assert np.abs(np.fft.rfft(part)).argmax() * 2 == pytest.approx(pitch_hz, abs=4)


@pytest.mark.parametrize("which", ["before", "after", "neither"])
def test_where_one_is_silent_there_is_silence_as_long(tmp_path: Path, which: str) -> None:
    video = stored(tmp_path, moving(16, 64, 64), tone(440, 2.0) if which == "before" else None)
    sound = tone(1760, 1.0, channels=1) if which == "after" else None
    made = encode(moving(8, 64, 64), tmp_path / "clip.mp4", fps=FPS, sound=sound,
                  lead=lead(video, tmp_path, 16))  # fmt: skip
    heard = hear(made.path)
    if which == "neither":
        assert heard is None
        return
    assert heard is not None
    assert heard.lasts_s == pytest.approx(3.0, abs=0.03)
    loud = np.abs(heard.samples[0]) > 0.1
    first, last = (part.mean() for part in np.split(loud, [round(2 * heard.rate_hz)]))
    assert (first > 0.5) == (which == "before")
    assert (last > 0.5) == (which == "after")


def test_sound_is_kept_unless_it_is_not_wanted(tmp_path: Path) -> None:
    clip = encode(moving(8, 64, 64), tmp_path / "theirs.mp4", fps=FPS, sound=tone(440, 1.0))
    kept = hear(tmp_path / f"{store_video(clip.path, tmp_path).id}.mp4")
    assert kept is not None
    assert (kept.codec, kept.rate_hz) == ("flac", 48_000)
    assert hear(tmp_path / f"{store_video(clip.path, tmp_path, sound=False).id}.mp4") is None


def test_the_end_of_the_first_sound_is_added_to_what_follows_not_cut(tmp_path: Path) -> None:
    """At 5 frames a second 2.1 s are 10 frames, 2.0 s; the last 0.1 s are heard after the seam."""
    before = encode(moving(21, 64, 64), tmp_path / "b.mp4", fps=10, sound=tone(440, 2.1)).path
    video = store_video(before, tmp_path).id
    first = lead(video, tmp_path, 10, fps=5)
    after = Sound(np.zeros((2, 24_000), np.float32), 24_000)
    for sound in (None, after):
        whole = first.prepend_sound(sound, 5)
        assert whole is not None
        loud = np.abs(whole.samples[0]) > 0.1
        assert np.flatnonzero(loud)[-1] / whole.rate_hz == pytest.approx(2.1, abs=0.03)
        assert whole.samples.shape[1] / whole.rate_hz == pytest.approx(
            3 if sound else 2.1, abs=0.03
        )


def test_another_pace_and_shape_give_exactly_the_count_that_was_promised(tmp_path: Path) -> None:
    video = stored(tmp_path, moving(12, 64, 96))
    for fps, count in ((16, 24), (5, 8), (5, 7), (8, 15)):
        frames = list(lead(video, tmp_path, count, fps).frames())
        assert len(frames) == count
        assert {frame.shape for frame in frames} == {(64, 64, 3)}
    assert len(lead(video, tmp_path, 12).last_images(3)) == 3


def test_a_clip_that_is_only_continued_from_is_not_in_the_file(tmp_path: Path) -> None:
    before, after = moving(16, 64, 64), moving(8, 64, 64, seed=4)
    video = stored(tmp_path, before, tone(440, 2.0))
    first = lead(video, tmp_path, 0, skip=1)
    made = encode(after, tmp_path / "clip.mp4", fps=FPS, sound=tone(1760, 9 / FPS), lead=first)
    assert made.num_frames == 8
    for shown, meant in zip(read(made.path).frames, after, strict=True):
        assert psnr(shown, meant) > 28
    ends = first.last_images(5)
    assert len(ends) == 5
    for picture, meant in zip(ends, before[-5:], strict=True):
        assert psnr(np.asarray(picture.convert("RGB")), meant) > 26
    heard = hear(made.path)
    assert heard is not None
    assert heard.lasts_s == pytest.approx(1.0, abs=0.03)
    part = heard.samples[0][round(0.3 * heard.rate_hz) :][: heard.rate_hz // 2]
    spectrum = np.abs(np.fft.rfft(part))
    assert np.argmax(spectrum) * heard.rate_hz / len(part) == pytest.approx(1760, abs=5)
