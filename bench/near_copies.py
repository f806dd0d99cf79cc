"""How near re-encoded, resized and cropped copies of clips are, and how far other clips."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from bench.common import Figure
from media.ffmpeg import base_command
from media.perceptual_hash import (
    MOST_BITS,
    Hashes,
    blocked_hashes,
    clip_frames,
    distances,
    hash_frames,
)
from settings import ROOT

SAMPLES = ROOT / "docs" / "images" / "pocket-samples.webp"
"""64 clips of one model with few backgrounds: the hardest to keep apart."""
TILE, TILES = 64, 8
COPIED = 8
"""Every eighth of them is copied and compared with all others."""
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
CHANGES = {
    "encoded again at crf 35": (*H264, "-crf", "35"),
    "encoded again at crf 40": (*H264, "-crf", "40"),
    "half the size": ("-vf", "scale=iw/2:-2", *H264),
    "cropped to 90 %": ("-vf", "crop=trunc(iw*.45)*2:trunc(ih*.45)*2", *H264),
    "cropped to 80 %": ("-vf", "crop=trunc(iw*.4)*2:trunc(ih*.4)*2", *H264),
    "cropped to 85 %, half the size": (
        "-vf", "crop=trunc(iw*.425)*2:trunc(ih*.425)*2,scale=trunc(iw/4)*2:-2", *H264, "-crf", "30",
    ),
    "mirrored": ("-vf", "hflip", *H264),
    "as a screen recording": (
        "-vf", "scale=trunc(iw*.365)*2:trunc(ih*.365)*2,eq=gamma=1.15:contrast=.9,noise=alls=8",
        *H264, "-crf", "32",
    ),
    "as a GIF": ("-vf", "scale=iw/2:-2"),
}  # fmt: skip
"""The last one is written as a GIF, all others as MP4."""


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Differing bits of 100: of half the frames of each copy at most `MOST_BITS`, of half the
    frames of any other clip more. `rounds` has no effect: nothing here is timed."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = list(_clips())
    copied = clips[::COPIED]
    originals = [folder / f"{number}.mp4" for number in range(len(copied))]
    for frames, path in zip(copied, originals, strict=True):
        _encode(frames, path, H264)
    blocked = [blocked_hashes(clip_frames(path)) for path in originals]
    figures: list[Figure] = []
    for name, options in CHANGES.items():
        copy = folder / ("copy.gif" if name.endswith("GIF") else "copy.mp4")
        found: list[float] = []
        for frames, hashes in zip(copied, blocked, strict=True):
            _encode(frames, copy, options)
            found.append(_bits(hash_frames(clip_frames(copy)), hashes))
        spread = (min(found), max(found))
        figures.append(
            Figure(f"a copy, {name}, the farthest", max(found), MOST_BITS, "bits", spread)
        )
    far = [
        _bits(hash_frames(other), hashes)
        for number, hashes in enumerate(blocked)
        for place, other in enumerate(clips)
        if place != number * COPIED
    ]
    near = sum(bits <= MOST_BITS for bits in far)
    spread = (min(far), float(np.median(far)))
    figures.append(Figure(f"others taken for a copy, of {len(far)}", near, 0, "clips", spread))
    return figures


def _bits(found: Hashes, blocked: Hashes) -> float:
    return float(np.median(distances(found, blocked).min(axis=1)))


def _clips() -> Iterator[np.ndarray]:
    """uint8 [17, 128, 128, 3] each."""
    with Image.open(SAMPLES) as opened:
        sheet = np.stack([np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(opened)])
    for top in range(0, TILE * TILES, TILE):
        for left in range(0, TILE * TILES, TILE):
            tile = sheet[:, top : top + TILE, left : left + TILE]
            yield tile.repeat(2, axis=1).repeat(2, axis=2)


def _encode(frames: np.ndarray, path: Path, options: tuple[str, ...]) -> None:
    height, width = frames.shape[1:3]
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "8")
    command = [*base_command(), "-y", *source, "-i", "pipe:0", *options, str(path)]
    subprocess.run(command, input=frames.tobytes(), check=True, capture_output=True)
