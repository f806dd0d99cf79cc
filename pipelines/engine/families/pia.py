"""PIA: animates a picture with Stable Diffusion 1.5 and a motion adapter that takes the picture as
further channels (the card's `parts`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
from pipelines.engine.families.image_vae import encode_frames
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    import torch

    from pipelines.models.cards import ModelCard


class PIA(LatentFamily):
    pipelines = {Task.IMAGE_TO_VIDEO: "PIAPipeline"}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        return {
            **usual_arguments(fitted),
            "image": inputs.image,
            **card.call,
        }

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        return pipe.decode_latents(latents.to(pipe.vae.dtype))

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        return encode_frames(pipe.vae, pixels)
