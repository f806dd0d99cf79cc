"""Close-ups: only the tokens around a clip's subject, at their true positions.

The subject is a twelfth of a clip's tokens and most of its difficulty. As in masked training
(arXiv:2306.09305), the other tokens are left out: a close-up costs two fifths of a clip, so that a
batch holds more than twice as many subjects.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SIDE = 5
"""Window size in tokens; the largest subject at constant distance fits in."""
NOISE_SHIFT = 0.6
"""Mean logit of the noise levels of close-ups."""
MAX_NOISE = 0.92
"""Up to this sigma the noisy clip itself shows where the subject is. At more noise the window would
reveal a position that the model does not have at inference."""


def subject_windows(masks: Tensor, rng: np.random.Generator) -> Tensor:
    """Indices of the tokens in a window around the subject, jittered: [B, F * SIDE * SIDE].

    masks: [B, F, H, W], the share of each token that the subject covers.
    """
    clips, frames, height, width = masks.shape
    coverage = torch.nn.functional.avg_pool2d(masks.flatten(0, 1)[:, None], SIDE, 1)[:, 0]
    rows, columns = coverage.shape[1:]
    # tiny random values give clips without a subject a random window
    tie_breaker = torch.from_numpy(rng.random(tuple(coverage.shape)).astype(np.float32))
    best = (coverage + 1e-6 * tie_breaker).flatten(1).argmax(1)
    jitter = torch.from_numpy(rng.integers(-1, 2, (clips, 1, 2)))
    jitter = jitter.expand(clips, frames, 2).reshape(-1, 2)
    top = (best // columns + jitter[:, 0]).clamp(0, rows - 1)
    left = (best % columns + jitter[:, 1]).clamp(0, columns - 1)
    step = torch.arange(SIDE)
    in_frame = (top[:, None] + step)[:, :, None] * width + (left[:, None] + step)[:, None]
    frame_offset = torch.arange(frames)[:, None] * height * width
    return (in_frame.view(clips, frames, -1) + frame_offset).flatten(1)


def select_tokens(x: Tensor, tokens: Tensor) -> Tensor:
    """Selects these tokens from [B, N] or [B, N, C]."""
    return torch.take_along_dim(x, tokens if x.ndim == 2 else tokens[..., None], 1)
