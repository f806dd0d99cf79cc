"""EasyAnimate 5.1: text-to-video, and checkpoints that fill in frames (InP) for pictures and clips.

A clip is not conditioned on: it is the start of sampling, with noise by its strength.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
from pipelines.engine.families.global_seed import seeded_globally
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.models.cards import ModelCard


class EasyAnimate(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "EasyAnimatePipeline",
        Task.IMAGE_TO_VIDEO: "EasyAnimateInpaintPipeline",
        Task.VIDEO_TO_VIDEO: "EasyAnimateInpaintPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        # with a negative prompt also without guidance: the pipelines cannot take None
        arguments = usual_arguments(fitted)
        if inputs.video:
            video = torch.stack([_to_tensor(frame) for frame in inputs.video], dim=1)[None]
            all_masked = torch.full_like(video[:, :1], 255)
            arguments |= {"video": video, "mask_video": all_masked, "strength": fitted.strength}
        elif inputs.image is not None:
            from diffusers.pipelines.easyanimate.pipeline_easyanimate_inpaint import (
                get_image_to_video_latent,
            )

            size = fitted.height, fitted.width
            arguments["video"], arguments["mask_video"] = get_image_to_video_latent(
                [inputs.image], inputs.last_image, fitted.num_frames, size
            )
        return arguments | card.call

    @contextmanager
    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> Iterator[None]:
        """Video-to-video only: the pipeline samples the clip's latents without its generator. Can
        go when it passes that on (diffusers 0.42 does not)."""
        if fitted.task is not Task.VIDEO_TO_VIDEO:
            yield
            return
        with seeded_globally(pipe, fitted.seed):
            yield

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


def _to_tensor(frame: Image.Image) -> torch.Tensor:
    """[3, H, W] in 0..1, as the pipeline's own helper for pictures makes it."""
    return torch.from_numpy(np.array(frame)).permute(2, 0, 1).float() / 255.0
