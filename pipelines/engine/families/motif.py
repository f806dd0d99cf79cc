"""Motif-Video, whose guidance is a component of its own (a guider), as in HunyuanVideo 1.5."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class Motif(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "MotifVideoPipeline",
        Task.IMAGE_TO_VIDEO: "MotifVideoImage2VideoPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt,
            "width": fitted.width,
            "height": fitted.height,
            "num_frames": fitted.num_frames,
            "num_inference_steps": fitted.num_inference_steps,
        }
        if inputs.image is not None:
            arguments["image"] = inputs.image
        return arguments | card.call

    @contextmanager
    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> Iterator[None]:
        """The guidance, for which the call has no argument. A guider may have a memory of earlier
        steps, so every run gets a new one."""
        guider = pipe.guider
        pipe.guider = guider.new(guidance_scale=fitted.guidance_scale)
        try:
            yield
        finally:
            pipe.guider = guider

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        vae = pipe.vae
        config = vae.config
        latents = latents.to(vae.dtype)
        latents = pipe._denormalize_latents(latents, config.latents_mean, config.latents_std)
        return vae.decode(latents, return_dict=False)[0]

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()
        mean, deviation = (
            torch.tensor(values).view(1, -1, 1, 1, 1).to(latents)
            for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        return (latents - mean) / deviation
