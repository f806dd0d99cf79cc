"""The sound in a clip, as a parser that is not ours hears it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from errors import ErrorCode, KinoraError
from media.encode import encode
from media.metadata import read_comment
from pipelines.sound import Sound
from tests.media.reading import read
from tests.media.test_encode import moving

FPS, FRAMES = 8, 17
LASTS_S = FRAMES / FPS


@dataclass(frozen=True)
class Heard:
    codec: str
    rate_hz: int
    samples: np.ndarray
    """float [channels, samples]"""

    @property
    def lasts_s(self) -> float:
        return self.samples.shape[1] / self.rate_hz

    def pitch_hz(self, channel: int) -> float:
        spectrum = np.abs(np.fft.rfft(self.samples[channel]))
        return float(np.fft.rfftfreq(self.samples.shape[1], 1 / self.rate_hz)[spectrum.argmax()])


def hear(path: Path) -> Heard | None:
    with av.open(str(path)) as clip:
        if not clip.streams.audio:
            return None
        stream = clip.streams.audio[0]
        blocks = [frame.to_ndarray() for frame in clip.decode(stream) if (frame.pts or 0) >= 0]
        return Heard(stream.codec_context.name, stream.rate, np.concatenate(blocks, axis=1))


def tones(seconds: float = LASTS_S, rate_hz: int = 24_000) -> Sound:
    """A low tone on the left, a high one on the right."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    left, right = (0.4 * np.sin(2 * np.pi * pitch * time) for pitch in (440, 1760))
    return Sound(np.stack([left, right]).astype(np.float32), rate_hz)


@pytest.mark.parametrize(("format", "codec"), [("mp4", "aac"), ("webm", "opus")])
def test_a_clip_sounds_as_long_as_it_moves(tmp_path: Path, format: str, codec: str) -> None:
    path = tmp_path / f"clip.{format}"
    encode(moving(FRAMES, 64, 64), path, fps=FPS, format=format, comment="made", sound=tones())  # pyright: ignore[reportArgumentType]
    heard = hear(path)
    assert heard is not None
    assert codec in heard.codec
    assert heard.lasts_s == pytest.approx(LASTS_S, abs=0.025)
    assert [heard.pitch_hz(channel) for channel in (0, 1)] == pytest.approx([440, 1760], abs=2)
    clip = read(path)
    assert len(clip.frames) == FRAMES
    assert clip.duration_s == pytest.approx(LASTS_S, abs=0.025)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_comment_and_the_index_are_where_they_are_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    encode(moving(FRAMES, 63, 65), path, fps=FPS, comment='{"seed": 3}', sound=tones())
    assert read_comment(path) == {"seed": 3}
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert read(path).frames.shape == (FRAMES, 63, 65, 3)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 9.0])
def test_sound_that_is_too_short_or_too_long_is_made_to_fit(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "clip.mp4"
    encode(moving(FRAMES, 64, 64), path, fps=FPS, sound=tones(seconds))
    heard = hear(path)
    assert heard is not None
    assert heard.lasts_s == pytest.approx(LASTS_S, abs=0.025)
    loud = np.abs(heard.samples).max(axis=0) > 0.05
    assert loud.mean() == pytest.approx(min(seconds / LASTS_S, 1.0), abs=0.06)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_any_rate_plays_at_its_pitch(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "clip.mp4"
    encode(moving(FRAMES, 64, 64), path, fps=FPS, sound=tones(rate_hz=rate_hz))
    heard = hear(path)
    assert heard is not None
    assert heard.pitch_hz(1) == pytest.approx(1760, abs=2)


def test_one_channel_stays_one(tmp_path: Path) -> None:
    both = tones()
    path = tmp_path / "clip.mp4"
    encode(moving(FRAMES, 64, 64), path, fps=FPS, sound=Sound(both.samples[:1], both.rate_hz))
    heard = hear(path)
    assert heard is not None
    assert heard.samples.shape[0] == 1


def test_what_is_no_number_is_silence_and_what_is_too_loud_is_as_loud_as_can_be() -> None:
    wild = Sound(np.array([[np.nan, np.inf, -np.inf, 7.0, -7.0, 0.5]], np.float32), 6)
    assert wild.lasting(1.0).samples.tolist() == [[0.0, 1.0, -1.0, 1.0, -1.0, 0.5]]


def test_a_gif_has_no_sound_and_a_clip_without_one_has_no_empty_track(tmp_path: Path) -> None:
    frames = moving(FRAMES, 64, 64)
    assert (
        hear(encode(frames, tmp_path / "a.gif", fps=FPS, format="gif", sound=tones()).path) is None
    )
    assert hear(encode(frames, tmp_path / "a.mp4", fps=FPS).path) is None


def test_a_clip_that_is_too_large_leaves_no_sound_behind(tmp_path: Path) -> None:
    with pytest.raises(KinoraError) as failure:
        encode(moving(FRAMES, 64, 64), tmp_path / "a.mp4", fps=FPS, sound=tones(), max_bytes=1000)
    assert failure.value.code is ErrorCode.TOO_LARGE
    assert list(tmp_path.iterdir()) == []
