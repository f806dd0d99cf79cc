"""What is left of the invisible watermark after a clip was changed, and what it costs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.common import Figure, figure
from media.encode import encode
from media.ffmpeg import base_command
from media.invisible_watermark import InvisibleWatermark
from media.small_frames import read_small_frames

WIDTH, HEIGHT, FRAMES, FPS = 832, 480, 8, 24
FOUND = 0.9
"""The part of the bits that must match for a watermark to count as found: by chance, 48 bits match
this well once in a billion clips."""
ATTACKS: dict[str, tuple[str, ...]] = {
    "none": ("-c", "copy"),
    "re-encoded, CRF 23": ("-c:v", "libx264", "-crf", "23"),
    "re-encoded, CRF 32": ("-c:v", "libx264", "-crf", "32"),
    "resized to half and back": ("-vf", f"scale=iw/2:-2,scale={WIDTH}:{HEIGHT}", "-crf", "18"),
    "cropped by 10 %": ("-vf", "crop=iw*0.9:ih*0.9", "-crf", "18"),
    "cropped by 10 % and resized": (
        *("-vf", f"crop=iw*0.9:ih*0.9,scale={WIDTH}:{HEIGHT}", "-crf", "18"),
    ),
    "screen recording, simulated": (
        *("-vf", f"scale=iw*1.37:-2,eq=gamma=1.1,noise=alls=6:allf=t,scale={WIDTH}:{HEIGHT}"),
        *("-r", "30", "-crf", "26"),
    ),
}


def measure(folder: Path, rounds: int) -> list[Figure]:
    """The part of the bits that match, by attack; only the unchanged clip has a bound."""
    folder.mkdir(parents=True, exist_ok=True)
    watermark, frames = InvisibleWatermark("Kinora"), _picture_in_motion()
    started = time.perf_counter()
    marked = watermark.draw_on(frames)
    frame_s = (time.perf_counter() - started) / len(frames)
    error = np.mean((marked.astype(float) - frames) ** 2)
    print(f"{frame_s * 1000:.0f} ms a frame of {WIDTH}x{HEIGHT}, {_decibels(float(error)):.1f} dB")
    for label, clip in (("the same clip without a watermark", frames), ("watermarked", marked)):
        encode(clip, folder / "clip.mp4", fps=FPS)
        _print_attacks(label, folder, watermark.matching_bits)
    encode(marked, folder / "clip.mp4", fps=FPS)
    missing = 1 - watermark.matching_bits(_read(folder / "clip.mp4"))
    return [figure("bits lost in the encoded clip", [missing], 1 - FOUND, "")]


def _print_attacks(label: str, folder: Path, match: Callable[[np.ndarray], float]) -> None:
    for attack, arguments in ATTACKS.items():
        changed = folder / "changed.mp4"
        source = f"file:{folder / 'clip.mp4'}"
        subprocess.run([*base_command(), "-i", source, *arguments, f"file:{changed}"], check=True)
        bits = match(_read(changed))
        print(f"{label}, {attack}: {bits:.0%} of the bits{', found' if bits >= FOUND else ''}")


def _read(clip: Path) -> np.ndarray:
    return read_small_frames(clip, WIDTH, FRAMES)


def _decibels(error: float) -> float:
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def _picture_in_motion() -> np.ndarray:
    """Smooth areas and texture that move: uint8 [F, H, W, 3]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = (np.sin(x / 70) + np.cos(y / 40), np.cos(x / 90 + y / 60), np.sin(y / 50))
    texture = rng.normal(0, 10, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1)
    picture = 120 + 40 * np.stack(waves, -1) + texture
    moved = [np.roll(picture, 2 * step, 1) for step in range(FRAMES)]
    return np.clip(moved, 0, 255).astype(np.uint8)
