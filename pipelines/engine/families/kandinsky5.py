"""Kandinsky 5: latents are [B, F, H, W, C], with the conditioning in further channels.

Image-to-video, with weights of its own, keeps the image as the first latent frame, which the
sampler never sees, and normalises the brightness of the first frames at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
from pipelines.engine.patching import recorded_result
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class Kandinsky5(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "Kandinsky5T2VPipeline",
        Task.IMAGE_TO_VIDEO: "Kandinsky5I2VPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments = usual_arguments(fitted) | {
            # None: the pipeline's own default, which is not empty
            "negative_prompt": fitted.negative_prompt or None,
        }
        if inputs.image is not None:
            arguments["image"] = inputs.image
        return arguments | card.call

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """Image-to-video only: records the first latent frame."""
        if type(pipe).__name__ != self.pipelines[Task.IMAGE_TO_VIDEO]:
            yield
            return

        def record(latents: torch.Tensor) -> None:
            run["first"] = latents[:, :1, ..., : pipe.transformer.config.in_visual_dim].clone()

        with recorded_result(pipe, "prepare_latents", record):
            yield

    def unpack_latents(
        self, pipe: Any, output: torch.Tensor, fitted: FittedRequest
    ) -> torch.Tensor:
        return output.permute(0, 4, 1, 2, 3)

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        if "first" in run:
            x0 = pipe.normalize_first_frame(torch.cat([run["first"].to(x0), x0], dim=1))
        return self.unpack_latents(pipe, x0, fitted)

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        vae = pipe.vae
        return vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        return latents.float() * vae.config.scaling_factor
