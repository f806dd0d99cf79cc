"""Encoding with a VAE for still images, where every frame is a latent of its own."""

from __future__ import annotations

from typing import Any

import torch


def encode_frames(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Normalised latents [B, C, F, h, w] of pixels [B, 3, F, H, W] in -1..1."""
    batch = pixels.shape[0]
    stills = pixels.to(vae.device, vae.dtype).permute(0, 2, 1, 3, 4).flatten(0, 1)
    latents = vae.encode(stills).latent_dist.mode() * vae.config.scaling_factor
    return unflatten_frames(latents, batch)


def unflatten_frames(stills: torch.Tensor, batch: int = 1) -> torch.Tensor:
    """[B * F, C, h, w] as [B, C, F, h, w]."""
    return stills.unflatten(0, (batch, -1)).permute(0, 2, 1, 3, 4)
