"""AnimateDiff on Stable Diffusion XL, with a motion adapter of its own (the card's `parts`).

Unlike AnimateDiff 1.5 it has no FreeNoise, so a clip cannot be longer than the adapter allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
from pipelines.engine.families.image_vae import encode_frames
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class AnimateDiffSDXL(LatentFamily):
    pipelines = {Task.TEXT_TO_VIDEO: "AnimateDiffSDXLPipeline"}  # noqa: RUF012

    def complete_pipeline(self, pipe: Any, components: dict[str, Any]) -> Any:
        """With SDXL's embedding of pooled prompt and size, which diffusers leaves at random
        values when it adds motion to a UNet for pictures. Can go when `from_unet2d` copies it
        (diffusers 0.42 does not)."""
        pictures = components["unet"]
        if pictures is not pipe.unet and hasattr(pictures, "add_embedding"):
            pipe.unet.add_embedding.load_state_dict(pictures.add_embedding.state_dict())
        return pipe

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        return {
            **usual_arguments(fitted),
            # None: zeros instead of the embedding of an empty prompt, as the checkpoint asks for
            "negative_prompt": fitted.negative_prompt or None,
            **card.call,
        }

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        vae = pipe.vae
        if vae.dtype != torch.float16 or not vae.config.force_upcast:
            return pipe.decode_latents(latents.to(vae.dtype))
        # SDXL's VAE overflows in float16. The pipeline casts only a part of it to float32, which no
        # longer fits together (diffusers 0.42)
        vae.to(dtype=torch.float32)
        try:
            return pipe.decode_latents(latents.float())
        finally:
            vae.to(dtype=torch.float16)

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        return encode_frames(pipe.vae, pixels)
