"""Latte: text only, a picture VAE, one latent for each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

DECODE_CHUNK_SIZE = 14
"""Frames decoded at once: the pipeline's own default."""


class Latte(LatentFamily):
    pipelines = {Task.TEXT_TO_VIDEO: "LattePipeline"}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        return {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt,
            "width": fitted.width,
            "height": fitted.height,
            "video_length": fitted.num_frames,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
            # rewrites the words and needs a package for web pages: people's words stay theirs
            "clean_caption": False,
            **card.call,
        }

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        at_once = int(card.call.get("decode_chunk_size", DECODE_CHUNK_SIZE))
        latents = latents.to(pipe.vae.dtype)
        return pipe.decode_latents(latents, latents.shape[2], decode_chunk_size=at_once)

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        clips, _, frames = pixels.shape[:3]
        pictures = pixels.permute(0, 2, 1, 3, 4).flatten(0, 1)
        latents = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist.mode()
        latents = latents.float() * vae.config.scaling_factor
        return latents.unflatten(0, (clips, frames)).permute(0, 2, 1, 3, 4)
