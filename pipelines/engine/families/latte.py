"""Latte: text-to-video with a VAE for still images, one latent for each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily
from pipelines.engine.families.image_vae import encode_frames
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
            # cleaning would rewrite the prompt, and needs bs4
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
        return encode_frames(pipe.vae, pixels)
