"""Clips whose frames and sounds can be told apart: each frame has colours and a tone of its own."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np

RATE_HZ = 48_000
BLOCK = 24
FIRST_TONE_HZ, TONE_STEP_HZ = 400, 60


def coloured_frames(count: int, width: int, height: int) -> np.ndarray:
    """[F, H, W, 3]: squares of one colour each, all different from those of the other frames."""
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    n, y, x = np.meshgrid(range(count), range(rows), range(columns), indexing="ij")
    colours = [40 + (n * 37 + x * 61 + y * 23) % 160, 40 + (n * 53 + x * 17 + y * 71) % 160,
               40 + (n * 71 + x * 29 + y * 47) % 160]  # fmt: skip
    blocks = np.stack(colours, axis=-1).astype(np.uint8)
    return blocks.repeat(BLOCK, 1).repeat(BLOCK, 2)[:, :height, :width]


def tones(count: int, fps: Fraction, channels: int = 1) -> np.ndarray:
    """[channels, samples]: the tone of frame n, as long as the frame is shown."""
    samples = np.arange(int(count / fps * RATE_HZ))
    frame = np.minimum(samples * fps.numerator // (fps.denominator * RATE_HZ), count - 1)
    phase = np.cumsum(2 * np.pi * (FIRST_TONE_HZ + TONE_STEP_HZ * frame) / RATE_HZ)
    return np.repeat(0.4 * np.sin(phase)[None], channels, 0).astype(np.float32)


def tone_at(sound: np.ndarray, fps: Fraction, frame: int) -> float | None:
    """The number of the frame whose tone is heard while output frame `frame` is shown, as a
    fraction; None for silence. sound: [samples]."""
    start, end = (round(n / fps * RATE_HZ) for n in (frame, frame + 1))
    margin = (end - start) // 4
    part = sound[start + margin : end - margin]
    if len(part) == 0 or np.abs(part).max() < 0.02:
        return None
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * RATE_HZ // 10))
    return (np.argmax(spectrum) * 1.25 - FIRST_TONE_HZ) / TONE_STEP_HZ


def write_clip(
    path: Path, frames: np.ndarray, fps: Fraction, sound: np.ndarray | None = None
) -> Path:
    """Losslessly, as BT.709 yuv420p. Odd sizes as VP9, because H.264 has none."""
    _, height, width, _ = frames.shape
    inputs: list[str] = []
    if sound is not None:
        raw = path.with_suffix(".raw")
        sound.T.astype("<f4").tofile(raw)
        inputs = ["-f", "f32le", "-ar", str(RATE_HZ), "-ac", str(len(sound)), "-i", str(raw)]
    codec = ("-c:v", "libvpx-vp9", "-lossless", "1", "-cpu-used", "8", "-f", "matroska")
    if width % 2 == height % 2 == 0:
        codec = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-f", "mp4")
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "rawvideo",
         "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}", "-framerate", str(fps),
         "-i", "pipe:0", *inputs, "-vf",
         "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,"
         "format=yuv420p,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv",
         "-c:a", "flac", "-strict", "experimental", *codec, str(path)],
        input=np.ascontiguousarray(frames).tobytes(), check=True,
    )  # fmt: skip
    return path
