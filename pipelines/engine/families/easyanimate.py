"""EasyAnimate 5.1: text-to-video, and image-to-video by checkpoints that fill in frames (InP)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class EasyAnimate(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "EasyAnimatePipeline",
        Task.IMAGE_TO_VIDEO: "EasyAnimateInpaintPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "prompt": fitted.prompt,
            # without guidance as well: the pipelines cannot take None
            "negative_prompt": fitted.negative_prompt,
            "width": fitted.width,
            "height": fitted.height,
            "num_frames": fitted.num_frames,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
        }
        if inputs.image is not None:
            from diffusers.pipelines.easyanimate.pipeline_easyanimate_inpaint import (
                get_image_to_video_latent,
            )

            size = fitted.height, fitted.width
            arguments["video"], arguments["mask_video"] = get_image_to_video_latent(
                [inputs.image], inputs.last_image, fitted.num_frames, size
            )
        return arguments | card.call

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        vae = pipe.vae
        # in this order, as in the pipeline: a division would round differently
        latents = 1 / vae.config.scaling_factor * latents.to(vae.dtype)
        return vae.decode(latents, return_dict=False)[0]

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        return latents.float() * vae.config.scaling_factor
