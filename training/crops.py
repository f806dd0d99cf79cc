"""Training data of the autoencoder: crops or whole clips, rendered on the fly."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from training.current_world import FRAMES, SIDE, render
from training.world.ood_clips import emoji_clip, single_object_clip

Rng = np.random.Generator


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """[F, H, W, 3] uint8 -> [3, F, H, W] in -1..1."""
    return torch.from_numpy(pixels.copy()).permute(3, 0, 1, 2).float().div_(127.5).sub_(1)


class CropDataset(IterableDataset):  # type: ignore[type-arg]
    """Yields (video [3, F, S, S] in -1..1, weight [1, F, S, S]); subjects weigh twice as much.

    Three in four crops of a clip with a subject are near it; `ood_share` is the share of clips
    from outside the world.
    """

    def __init__(
        self, seed: int, side: int = 64, frames: int = 9, per_clip: int = 4, ood_share: float = 0.16
    ) -> None:
        self.seed, self.side, self.frames = seed, side, frames
        self.per_clip, self.ood_share = per_clip, ood_share

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        info = get_worker_info()
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        rng = np.random.default_rng((self.seed, info.id if info else 0))
        pool: list[tuple[torch.Tensor, torch.Tensor]] = []
        while True:
            pool += self._from_one_clip(rng)
            if len(pool) >= 16 * self.per_clip:
                order = rng.permutation(len(pool))
                half = len(pool) // 2
                yield from (pool[i] for i in order[:half])
                pool = [pool[i] for i in order[half:]]

    def _from_one_clip(self, rng: Rng) -> list[tuple[torch.Tensor, torch.Tensor]]:
        if rng.random() < self.ood_share:
            pixels = (
                emoji_clip(rng, FRAMES, SIDE)
                if rng.random() < 0.5
                else single_object_clip(rng, FRAMES, SIDE)[0]
            )
            masks = np.zeros(pixels.shape[:3], np.uint8)
        else:
            clip = render(rng)
            pixels, masks = clip.pixels, clip.masks
        found = []
        for _ in range(self.per_clip):
            t = int(rng.integers(0, FRAMES - self.frames + 1))
            y, x = (int(v) for v in rng.integers(0, SIDE - self.side + 1, 2))
            inked = np.argwhere(masks[int(rng.integers(t, t + self.frames))] > 127)
            if len(inked) and rng.random() < 0.75:
                near = inked[rng.integers(len(inked))] - self.side // 2 + rng.integers(-12, 13, 2)
                y, x = (int(v) for v in near.clip(0, SIDE - self.side))
            window = np.s_[t : t + self.frames, y : y + self.side, x : x + self.side]
            weight = 1 + torch.from_numpy(masks[window] / 255).float()[None]
            found.append((to_tensor(pixels[window]), weight))
        return found
