"""Latents of any pipeline as [B, C, F, H, W], for previews: the layouts that diffusers uses.

Chunks, tiles and the small first stages of a pyramid differ in frames and size from the clip.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ORDERS = {1: (0, 1, 2, 3, 4), 2: (0, 2, 1, 3, 4), 4: (0, 4, 1, 2, 3)}
"""Axis of the channels -> the permutation to [B, C, F, H, W]."""


def to_bcfhw(x0: torch.Tensor, channels: int, place: tuple[int, int]) -> torch.Tensor:
    """Finds the axis of the channels, by the clip's height and width in latents where they match.

    Raises ValueError for an unknown layout, which switches previews off.
    """
    while x0.ndim > 5 and x0.shape[0] == 1:  # a batch of batches, as Cosmos 3
        x0 = x0[0]
    if x0.ndim == 4 and x0.shape[1] == channels:  # the frames are the batch
        return x0.unsqueeze(0).permute(0, 2, 1, 3, 4)
    if x0.ndim == 5:
        found = [x0.permute(order) for axis, order in ORDERS.items() if x0.shape[axis] == channels]
        found.sort(key=lambda each: tuple(each.shape[3:]) != place)
        if found:
            return found[0]
    raise ValueError(f"latents of an unknown layout: {tuple(x0.shape)}")


def unpack_tokens(pipe: Any, x0: torch.Tensor, clip: tuple[int, int, int]) -> torch.Tensor:
    """Packed latents [B, tokens, C], by the pipeline's own `_unpack_latents`.

    `clip`: its frames, height and width in latents. Tokens beyond it, of conditions, are left out.
    Raises ValueError where the pipeline has no such method, or for a number of tokens that no size
    of the clip explains.
    """
    unpack = getattr(pipe, "_unpack_latents", None)
    names = set(inspect.signature(unpack).parameters) if unpack is not None else set()
    if unpack is None or not {"num_frames", "height", "width"} <= names:
        raise ValueError(f"{type(pipe).__name__} does not say how its latents are unpacked")
    patch = int(getattr(pipe, "transformer_spatial_patch_size", 1))
    patch_t = int(getattr(pipe, "transformer_temporal_patch_size", 1))
    for smaller in (1, 2, 4):  # pipelines that refine begin with a smaller clip
        frames = -(-clip[0] // patch_t)
        height, width = (side // smaller // patch for side in clip[1:])
        tokens = frames * height * width
        if 0 < tokens <= x0.shape[1]:
            sizes = {"num_frames": frames, "height": height, "width": width}
            patches = {"patch_size": patch, "patch_size_t": patch_t}
            return unpack(
                x0[:, :tokens], **sizes, **{n: v for n, v in patches.items() if n in names}
            )
    raise ValueError(f"{x0.shape[1]} tokens for a clip of {clip}")
