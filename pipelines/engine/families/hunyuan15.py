"""HunyuanVideo 1.5: guidance is set on the pipeline, and there is no callback.

Image-to-video, with weights of its own, derives the size from the image; here it is overridden.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily
from pipelines.engine.patching import replaced_method
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class HunyuanVideo15(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "HunyuanVideo15Pipeline",
        Task.IMAGE_TO_VIDEO: "HunyuanVideo15ImageToVideoPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt,
            "num_frames": fitted.num_frames,
            "num_inference_steps": fitted.num_inference_steps,
        }
        if inputs.image is None:
            arguments |= {"width": fitted.width, "height": fitted.height}
        else:
            arguments["image"] = inputs.image
        return arguments | card.call

    @contextmanager
    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> Iterator[None]:
        """The guidance, and for image-to-video the size, for which the call has no arguments. Can
        go when it has (diffusers 0.42 does not)."""
        guider, size = pipe.guider, (fitted.height, fitted.width)
        pipe.guider = guider.new(guidance_scale=fitted.guidance_scale)
        try:
            with replaced_method(
                pipe.video_processor, "calculate_default_height_width", lambda *_, **__: size
            ):
                yield
        finally:
            pipe.guider = guider

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        vae = pipe.vae
        return vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        # one clip at a time: the encoder's attention mask does not fit a larger batch
        clips = pixels.to(vae.device, vae.dtype).split(1)
        latents = torch.cat([vae.encode(clip).latent_dist.mode() for clip in clips])
        return latents.float() * vae.config.scaling_factor
