"""Stable Video Diffusion: image-to-video with an amount of motion and without a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.engine.families.base import Inputs, LatentFamily
from pipelines.engine.families.image_vae import encode_frames
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    import torch

    from pipelines.models.cards import ModelCard


class SVD(LatentFamily):
    """The sampler's latents are [B, F, C, H, W]."""

    pipelines = {Task.IMAGE_TO_VIDEO: "StableVideoDiffusionPipeline"}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "image": inputs.image,
            "width": fitted.width,
            "height": fitted.height,
            "num_frames": fitted.num_frames,
            "fps": fitted.fps,
            "num_inference_steps": fitted.num_inference_steps,
            # guidance grows linearly from the first frame to the last
            "min_guidance_scale": min(1.0, fitted.guidance_scale),
            "max_guidance_scale": fitted.guidance_scale,
        }
        if fitted.motion_bucket_id is not None:
            arguments["motion_bucket_id"] = fitted.motion_bucket_id
        return arguments | card.call

    def unpack_latents(
        self, pipe: Any, output: torch.Tensor, fitted: FittedRequest
    ) -> torch.Tensor:
        return output.permute(0, 2, 1, 3, 4)

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        return x0.permute(0, 2, 1, 3, 4)

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        frames_first = latents.permute(0, 2, 1, 3, 4).to(pipe.vae.dtype)
        count = frames_first.shape[1]
        return pipe.decode_latents(
            frames_first, count, int(card.call.get("decode_chunk_size", count))
        )

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        return encode_frames(pipe.vae, pixels)
