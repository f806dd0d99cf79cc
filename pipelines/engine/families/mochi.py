"""Mochi 1: text-to-video, six frames to a latent, latents normalised per channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class Mochi(LatentFamily):
    pipelines = {Task.TEXT_TO_VIDEO: "MochiPipeline"}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        return usual_arguments(fitted) | card.call

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        vae = pipe.vae
        latents = latents.to(vae.dtype)
        mean, deviation = _statistics(vae, latents)
        latents = latents * deviation / vae.config.scaling_factor + mean
        return vae.decode(latents).sample

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()
        mean, deviation = _statistics(vae, latents)
        return (latents - mean) * vae.config.scaling_factor / deviation


def _statistics(vae: Any, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation per latent channel."""
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    deviation = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    return mean.to(like), deviation.to(like)
