"""Allegro: text only, four frames to a latent from the very first, and a VAE that knows only tiles.

The tiles are of one size and overlap by a fixed amount, so few sizes and lengths come out whole;
the card names those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class Allegro(LatentFamily):
    pipelines = {Task.TEXT_TO_VIDEO: "AllegroPipeline"}  # noqa: RUF012
    float32 = ("vae",)

    def calibration_shape(self, pipe: Any) -> tuple[int, int]:
        return 3 * self.temporal_compression(pipe), 8 * self.spatial_compression(pipe)

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        return {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt,
            "width": fitted.width,
            "height": fitted.height,
            "num_frames": fitted.num_frames,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
            # rewrites the words and needs a package for web pages: people's words stay theirs
            "clean_caption": False,
            **card.call,
        }

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        pipe.vae.enable_tiling()  # it refuses to work without
        return pipe.decode_latents(latents.to(pipe.vae.dtype))

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        vae.enable_tiling()
        tile = vae.kernel
        vae.kernel = tuple(pixels.shape[2:])  # one tile for all: it leaves black what is smaller
        try:  # one clip at a time: tiles of several are mixed up
            clips = pixels.to(vae.device, vae.dtype).split(1)
            latents = torch.cat([vae.encode(clip).latent_dist.mode() for clip in clips])
        finally:
            vae.kernel = tile
        return latents.float() * vae.config.scaling_factor
