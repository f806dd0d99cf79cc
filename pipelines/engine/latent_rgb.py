"""Fits the linear map from latents to RGB that previews are drawn with.

Least squares from one latent position to a small patch of pixels, over synthetic clips that the VAE
itself encodes. Fitted once per VAE and cached, so no tables of factors are needed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.engine.latent_rgb_clips import synthetic_clips

if TYPE_CHECKING:
    from pipelines.engine.families.base import Family


log = logging.getLogger(__name__)

VERSION = 1
"""Of the cached maps: raise it when the fit changes."""
BATCH = 4
"""Clips that are encoded together."""
RIDGE = 1e-4
"""Regularisation, as a share of the mean variance: correlated channels would give huge factors."""


@dataclass(frozen=True)
class PreviewMap:
    """`lead` maps the first latent frame, which in most VAEs stands for one frame; `rest` the
    others.

    Each is float32 [C + 1, patch * patch * 3]; the last row is the bias.
    """

    lead: np.ndarray
    rest: np.ndarray
    patch: int

    def pictures(self, latents: np.ndarray) -> np.ndarray:
        """uint8 [F, h, w, 3] from normalised latents [C, F, H, W]."""
        channels, frames, height, width = latents.shape
        p = self.patch
        cells = latents.transpose(1, 2, 3, 0).reshape(frames, height * width, channels)
        patches = np.empty((frames, height * width, p * p * 3), np.float32)
        patches[0] = cells[0] @ self.lead[:-1] + self.lead[-1]
        patches[1:] = cells[1:] @ self.rest[:-1] + self.rest[-1]
        pixels = patches.reshape(frames, height, width, p, p, 3).transpose(0, 1, 3, 2, 4, 5)
        pixels = pixels.reshape(frames, height * p, width * p, 3)
        return ((pixels + 1) * 127.5).round().clip(0, 255).astype(np.uint8)


def preview_map_for(family: Family, pipe: Any, cache_dir: Path) -> PreviewMap:
    """The map of the pipeline's VAE, from the cache if it was fitted before."""
    path = cache_dir / f"preview-{_fingerprint(pipe.vae)}.npz"
    preview_map = _read_cached(path)
    if preview_map is None:
        preview_map = fit_map(*calibration(family, pipe))
        _write_cached(preview_map, path)
    return preview_map


def calibration(family: Family, pipe: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Synthetic clips [3, F, H, W] in -1..1 and their normalised latents [C, f, h, w]."""
    import torch

    frames, side = family.calibration_shape(pipe)
    pixels = synthetic_clips(frames, side)
    latents: list[np.ndarray] = []
    with torch.no_grad():
        for at in range(0, len(pixels), BATCH):
            batch = torch.from_numpy(np.stack(pixels[at : at + BATCH]))
            latents.extend(family.encode(pipe, batch).float().cpu().numpy())
    return pixels, latents


def fit_map(pixels: list[np.ndarray], latents: list[np.ndarray]) -> PreviewMap:
    """Ridge regression, separately for the first latent frame and the others.

    `pixels`: [3, F, H, W] in -1..1, `latents`: [C, f, h, w], normalised.
    """
    cell = pixels[0].shape[2] // latents[0].shape[2]
    patch = max(1, min(8, cell // 2))
    lead_x, lead_y, rest_x, rest_y = [], [], [], []
    for clip, latent in zip(pixels, latents, strict=True):
        x = latent.transpose(1, 2, 3, 0)
        y = patches(group_means(clip, latent.shape[1]), latent.shape[2], latent.shape[3], patch)
        lead_x.append(x[0].reshape(-1, x.shape[-1]))
        lead_y.append(y[0].reshape(-1, y.shape[-1]))
        rest_x.append(x[1:].reshape(-1, x.shape[-1]))
        rest_y.append(y[1:].reshape(-1, y.shape[-1]))
    return PreviewMap(
        lead=_least_squares(np.concatenate(lead_x), np.concatenate(lead_y)),
        rest=_least_squares(np.concatenate(rest_x), np.concatenate(rest_y)),
        patch=patch,
    )


def group_means(clip: np.ndarray, latent_frames: int) -> np.ndarray:
    """The mean of the frames that each latent frame stands for: [3, F, H, W] -> [3, f, H, W].

    The first frame alone, then equal groups; or, where the frames do not divide like that
    (Allegro: 88 in 22), equal groups throughout.
    """
    channels, frames, *size = clip.shape
    if latent_frames == 1:
        return clip[:, :1]
    if (frames - 1) % (latent_frames - 1) == 0:
        groups = clip[:, 1:].reshape(channels, latent_frames - 1, -1, *size)
        return np.concatenate([clip[:, :1], groups.mean(axis=2)], axis=1)
    return clip.reshape(channels, latent_frames, -1, *size).mean(axis=2)


def patches(frames: np.ndarray, height: int, width: int, patch: int) -> np.ndarray:
    """[3, F, H, W] pixels as [F, height, width, patch * patch * 3], by averaging boxes."""
    _, count, full_height, _ = frames.shape
    boxes = frames.reshape(
        3, count, height * patch, full_height // (height * patch), width * patch, -1
    ).mean(axis=(3, 5))
    boxes = boxes.reshape(3, count, height, patch, width, patch)
    return boxes.transpose(1, 2, 4, 3, 5, 0).reshape(count, height, width, patch * patch * 3)


def _least_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1).astype(np.float64)
    gram = x.T @ x
    gram += np.eye(len(gram)) * RIDGE * np.trace(gram) / len(gram)
    return np.linalg.solve(gram, x.T @ y.astype(np.float64)).astype(np.float32)


def _fingerprint(vae: Any) -> str:
    """A hash of the configuration and the first values of every tensor: reading all would be
    slow."""
    import torch

    digest = hashlib.sha256(f"{VERSION} {vae.dtype}".encode())
    digest.update(json.dumps(dict(vae.config), sort_keys=True, default=str).encode())
    for name, tensor in sorted(vae.state_dict().items()):
        beginning = tensor.detach().flatten()[:64].to("cpu", torch.float32)
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(beginning.numpy().tobytes())
    return digest.hexdigest()[:24]


def _read_cached(path: Path) -> PreviewMap | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return PreviewMap(lead=kept["lead"], rest=kept["rest"], patch=int(kept["patch"]))
    except FileNotFoundError:
        return None
    except Exception:  # a truncated or foreign file: only a cache, so fit again
        log.warning("Cached preview map not readable; fitting it again.")
        return None


def _write_cached(preview_map: PreviewMap, path: Path) -> None:
    """Replaces the file atomically, as several workers share the cache. A failure costs another fit
    at the next start."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(file, lead=preview_map.lead, rest=preview_map.rest, patch=preview_map.patch)
        part.replace(path)
    except OSError:
        log.warning("Caching the preview map failed.")
        part.unlink(missing_ok=True)
