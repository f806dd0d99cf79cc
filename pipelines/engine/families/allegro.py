"""Allegro: text-to-video with a VAE that works only in tiles of one size.

The tiles overlap by a fixed amount, so only some sizes and lengths are covered completely; the
rules allow no others. Every latent frame, even the first, stands for four frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
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
            **usual_arguments(fitted),
            # cleaning would rewrite the prompt, and needs bs4
            "clean_caption": False,
            **card.call,
        }

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        pipe.vae.enable_tiling()  # decode raises NotImplementedError without it
        return pipe.decode_latents(latents.to(pipe.vae.dtype))

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        vae.enable_tiling()
        tile = vae.kernel
        # one tile of the clip's size, because what is smaller than a tile comes out black; one clip
        # at a time, because the VAE mixes up the tiles of a batch
        vae.kernel = tuple(pixels.shape[2:])
        try:
            clips = pixels.to(vae.device, vae.dtype).split(1)
            latents = torch.cat([vae.encode(clip).latent_dist.mode() for clip in clips])
        finally:
            vae.kernel = tile
        return latents.float() * vae.config.scaling_factor
