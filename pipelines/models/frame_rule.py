"""Pipelines that sample a clip in chunks, one after another: what their arguments say about it."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.models.call_signatures import FRAMES
from pipelines.models.rules import Steps

CHUNK_LATENTS = ("num_latent_frames_per_chunk", "latent_window_size")
"""What pipelines call the number of latent frames in a chunk: Helios, FramePack."""


def whole_chunks(arguments: Mapping[str, object], ratio: int) -> Steps | None:
    """The rule of a class that makes whole chunks only; None for others.

    `arguments`: of the call, or its defaults. `ratio`: frames for one latent frame.
    """
    length = _chunk_frames(arguments, ratio)
    return None if length is None else Steps(of=length)


def partition_frames(partition: object, ratio: int) -> int | None:
    """The one length of a clip whose latent frames are divided by a fixed list, as AnyFlow's."""
    if not isinstance(partition, list) or not all(isinstance(each, int) for each in partition):
        return None
    return (sum(partition) - 1) * ratio + 1 if partition else None


def count_rounds(arguments: Mapping[str, object], ratio: int) -> int:
    """How many times a call with these arguments samples; 1 for most classes.

    `arguments`: of the call, with the defaults of the others.
    """
    frames = next((v for n in FRAMES if isinstance(v := arguments.get(n), int)), None)
    if frames is None:
        return 1
    length = _chunk_frames(arguments, ratio)
    if length is not None:
        return max(1, -(-frames // length))
    base, overlap = arguments.get("base_num_frames"), arguments.get("overlap_history")
    if isinstance(base, int) and isinstance(overlap, int) and frames > base:
        # SkyReels-V2: each chunk after the first repeats the end of the one before
        whole, first, kept = ((n - 1) // ratio + 1 for n in (frames, base, overlap))
        return 1 + -(-(whole - first) // max(1, first - kept))
    return 1


def _chunk_frames(arguments: Mapping[str, object], ratio: int) -> int | None:
    latents = next((v for n in CHUNK_LATENTS if isinstance(v := arguments.get(n), int)), None)
    return None if latents is None else (latents - 1) * ratio + 1
