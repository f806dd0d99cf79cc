"""CogVideoX 1.0 and 1.5: the sampler's latents are [B, F, C, H, W], 1.5's with padding in front.

Text checkpoints also do video-to-video; image-to-video has weights of its own, so a card offers one
or the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class CogVideoX(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "CogVideoXPipeline",
        Task.IMAGE_TO_VIDEO: "CogVideoXImageToVideoPipeline",
        Task.VIDEO_TO_VIDEO: "CogVideoXVideoToVideoPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments = usual_arguments(fitted)
        if fitted.task is Task.VIDEO_TO_VIDEO:
            arguments.pop("num_frames")  # it is the video's
            arguments |= {"video": list(inputs.video), "strength": fitted.strength}
        if inputs.image is not None:
            arguments["image"] = inputs.image
        return arguments | card.call

    def unpack_latents(
        self, pipe: Any, output: torch.Tensor, fitted: FittedRequest
    ) -> torch.Tensor:
        frames = (fitted.num_frames - 1) // pipe.vae_scale_factor_temporal + 1
        # 1.5 rounds the number of latent frames up and pads in front
        return output[:, output.shape[1] - frames :].permute(0, 2, 1, 3, 4)

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        return self.unpack_latents(pipe, x0, fitted)

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        latents = 1 / pipe.vae.config.scaling_factor * latents.to(pipe.vae.dtype)
        return pipe.vae.decode(latents).sample

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        return latents.float() * vae.config.scaling_factor
