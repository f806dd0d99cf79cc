"""Measures finished clips with libraries that share no code with the operations: PyAV decodes,
pyloudnorm measures loudness (ITU-R BS.1770), scipy oversamples for the true peak."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyloudnorm
from scipy.signal import resample_poly

from tests.media.reading import Read, read

RATE_HZ = 48_000
OVERSAMPLING = 8
"""BS.1770 demands 4; twice as much finds peaks that are between those samples as well."""
FLASH = 0.5
CLICK = 0.2


@dataclass(frozen=True)
class Sound:
    samples: np.ndarray
    """[channels, samples] at RATE_HZ; the first one is at time 0 of the file."""

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / RATE_HZ

    @property
    def loudness(self) -> float:
        """Integrated, in LUFS; -inf for silence. The clip lasts at least 0.4 s."""
        return float(pyloudnorm.Meter(RATE_HZ).integrated_loudness(self.samples.T))

    @property
    def true_peak_db(self) -> float:
        """In dBTP."""
        peak = np.abs(resample_poly(self.samples.astype(float), OVERSAMPLING, 1, axis=1)).max()
        return float(20 * np.log10(max(peak, 1e-9)))

    def rms(self, begin_s: float, end_s: float) -> float:
        part = self.samples[:, round(begin_s * RATE_HZ) : round(end_s * RATE_HZ)]
        return float(np.sqrt(np.mean(part.astype(float) ** 2)))

    def level_of(self, frequency: float, begin_s: float, end_s: float) -> float:
        """The amplitude of a sine of that frequency within a part, in the mean of the channels."""
        part = self.samples[:, round(begin_s * RATE_HZ) : round(end_s * RATE_HZ)].mean(axis=0)
        times = np.arange(part.size) / RATE_HZ
        weights = np.hanning(part.size)
        wave = np.exp(-2j * np.pi * frequency * times) * weights
        return float(2 * np.abs(np.sum(part * wave)) / weights.sum())

    def onsets(self, threshold: float = CLICK) -> list[float]:
        """When it becomes loud after 50 ms of quiet, in seconds."""
        loud = np.flatnonzero(np.abs(self.samples).max(axis=0) > threshold)
        if not loud.size:
            return []
        begins = np.concatenate([[True], np.diff(loud) > RATE_HZ // 20])
        return [float(at) / RATE_HZ for at in loud[begins]]


def read_sound(path: Path) -> Sound:
    """Every sample at the time that the file's timestamps give it: a track that starts late begins
    with silence."""
    with av.open(str(path)) as clip:
        assert clip.streams.audio, "the clip has a sound track"
        stream = clip.streams.audio[0]
        resampler = av.AudioResampler("fltp", stream.layout, RATE_HZ)
        parts: list[tuple[int, np.ndarray]] = []
        for frame in (*clip.decode(stream), None):
            for part in resampler.resample(frame):
                at = round(float((part.pts or 0) * (part.time_base or 0)) * RATE_HZ)
                parts.append((at, part.to_ndarray()))
    end = max(at + samples.shape[1] for at, samples in parts)
    line = np.zeros((parts[0][1].shape[0], end), np.float32)
    for at, samples in parts:
        kept = samples[:, max(-at, 0) :]
        line[:, max(at, 0) : max(at, 0) + kept.shape[1]] = kept
    return Sound(line)


def has_sound(path: Path) -> bool:
    with av.open(str(path)) as clip:
        return bool(clip.streams.audio)


def flashes(clip: Read) -> list[float]:
    """When the frames become bright after dark ones, in seconds."""
    bright = clip.frames.mean(axis=(1, 2, 3)) / 255 > FLASH
    begins = np.flatnonzero(bright & ~np.concatenate([[False], bright[:-1]]))
    return [float(clip.times[n]) for n in begins]


def offsets(path: Path) -> list[float]:
    """How much later each click is than its flash, in seconds, in clips of `write_flashes`."""
    seen, heard = flashes(read(path)), read_sound(path).onsets()
    assert len(seen) == len(heard) > 0, f"flashes at {seen}, clicks at {heard}"
    return [click - flash for flash, click in zip(seen, heard, strict=True)]


def plain_colour(frame: np.ndarray, box: tuple[float, float, float, float] = (0, 0, 1, 1)) -> list:
    """The mean R, G, B of the middle of a box: left, top, right, bottom as parts of the frame."""
    height, width, _ = frame.shape
    left, top, right, bottom = box
    quarter_x, quarter_y = (right - left) / 4, (bottom - top) / 4
    rows = slice(round((top + quarter_y) * height), round((bottom - quarter_y) * height))
    columns = slice(round((left + quarter_x) * width), round((right - quarter_x) * width))
    return [float(value) for value in frame[rows, columns].mean(axis=(0, 1))]


def plain(colour: tuple[int, int, int], width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def write_clip(
    path: Path,
    frames: list[np.ndarray],
    times: list[Fraction],
    end: Fraction,
    sound: np.ndarray | None = None,
) -> Path:
    """Frames, each at its own time, and sound [channels, samples] at RATE_HZ, as H.264 and AAC in
    BT.709. The last frame lasts until `end`."""
    tick = Fraction(1, 90_000)
    height, width, _ = frames[0].shape
    with av.open(str(path), "w") as clip:
        video = clip.add_stream("libx264", rate=60)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "6", "bf": "0"}
        context = video.codec_context
        context.time_base, context.thread_count = tick, 1
        context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1
        context.color_range = 1
        audio = None
        if sound is not None:
            layout = "mono" if sound.shape[0] == 1 else "stereo"
            audio = clip.add_stream("aac", rate=RATE_HZ, layout=layout)
            audio.bit_rate = 192_000
        places = [round(time / tick) for time in (*times, end)]
        lasting = {at: after - at for at, after in itertools.pairwise(places)}
        packets: list[av.Packet] = []
        for n, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = places[n], tick
            packets += video.encode(frame)
        for packet in (*packets, *video.encode(None)):
            packet.duration = lasting[packet.pts or 0]
            clip.mux(packet)
        if audio is not None and sound is not None:
            layout = "mono" if sound.shape[0] == 1 else "stereo"
            samples = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound, np.float32), format="fltp", layout=layout
            )
            samples.rate, samples.pts, samples.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
            resampler = av.AudioResampler("fltp", layout, RATE_HZ, frame_size=1024)
            for part in (*resampler.resample(samples), *resampler.resample(None)):
                clip.mux(audio.encode(part))
            clip.mux(audio.encode(None))
    return path


def write_plain(
    path: Path,
    colour: tuple[int, int, int],
    *,
    fps: Fraction | int = 24,
    num_frames: int = 24,
    size: tuple[int, int] = (64, 48),
    tone_hz: float | None = None,
    amplitude: float = 0.25,
    channels: int = 1,
) -> Path:
    """One colour, and a sine of one frequency if there is one."""
    frames = [plain(colour, *size)] * num_frames
    times = [n / Fraction(fps) for n in range(num_frames)]
    end = num_frames / Fraction(fps)
    sound = None if tone_hz is None else tone(tone_hz, float(end), amplitude, channels)
    return write_clip(path, frames, times, end, sound)


def tone(
    frequency: float, seconds: float, amplitude: float = 0.25, channels: int = 1
) -> np.ndarray:
    """A sine, float32 [channels, samples]."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = amplitude * np.sin(2 * np.pi * frequency * times)
    return np.tile(wave, (channels, 1)).astype(np.float32)


def write_flashes(
    path: Path,
    at: list[Fraction],
    end: Fraction,
    *,
    times: list[Fraction],
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Dark frames at `times`; bright ones for 80 ms from each time in `at`, at which the sound
    clicks: a burst of 1 kHz. Each time of a flash is also one of a frame."""
    until = Fraction(8, 100)
    bright = [any(flash <= time < flash + until for flash in at) for time in times]
    frames = [plain((250, 250, 250) if is_bright else (5, 5, 5), *size) for is_bright in bright]
    clock = np.arange(round(float(end) * RATE_HZ)) / RATE_HZ
    loud = sum((clock >= float(flash)) & (clock < float(flash + until)) for flash in at)
    wave = (0.5 * np.cos(2 * np.pi * 1000 * clock) * loud).astype("f4")
    return write_clip(path, frames, times, end, wave[None])
