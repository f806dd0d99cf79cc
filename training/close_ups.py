"""Close-ups: of a film only the tokens around its subject, at their true places and times.

The subject is a twelfth of a film's tokens and most of what is hard about it. Tokens that a network
sees alone are still tokens of the same film (masked training, arXiv:2306.09305), and a close-up
costs two fifths of a film, so that a batch holds more than twice as many subjects.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SIDE = 5
"""Of the window in tokens: the largest subject that stays at its distance fits in."""
NOISE_SHIFT = 0.6
MOST_NOISE = 0.92
"""Where the subject is can be told from the noisy film itself up to here; at more noise the window
would tell the network what no clip in the making tells it."""


def windows(masks: Tensor, rng: np.random.Generator) -> Tensor:
    """masks: how much of each token is the subject, [B, F, H, W].

    The tokens to look at, as indices into all of a film's: [B, F * SIDE * SIDE], frame by frame.
    """
    films, frames, height, width = masks.shape
    covered = torch.nn.functional.avg_pool2d(masks.flatten(0, 1)[:, None], SIDE, 1)[:, 0]
    rows, columns = covered.shape[1:]
    # a film without a subject has a window all the same: anywhere
    chance = torch.from_numpy(rng.random(tuple(covered.shape)).astype(np.float32))
    at = (covered + 1e-6 * chance).flatten(1).argmax(1)
    aside = torch.from_numpy(rng.integers(-1, 2, (films, 1, 2)))
    aside = aside.expand(films, frames, 2).reshape(-1, 2)
    top = (at // columns + aside[:, 0]).clamp(0, rows - 1)
    left = (at % columns + aside[:, 1]).clamp(0, columns - 1)
    step = torch.arange(SIDE)
    inside = (top[:, None] + step)[:, :, None] * width + (left[:, None] + step)[:, None]
    before = torch.arange(frames)[:, None] * height * width
    return (inside.view(films, frames, -1) + before).flatten(1)


def seen(x: Tensor, tokens: Tensor) -> Tensor:
    """Those tokens of [B, N] or [B, N, C]."""
    return torch.take_along_dim(x, tokens if x.ndim == 2 else tokens[..., None], 1)
