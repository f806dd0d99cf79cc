"""Wan 2.1 and 2.2: one or two experts, decoded in the VAE's own precision.

Image-to-video takes the image as extra channels (2.1, A14B), as a frozen first latent frame
(TI2V-5B) or, in VACE, as a video with a mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
from pipelines.engine.families.global_seed import seeded_globally
from pipelines.engine.patching import recorded_result
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

VACE = "WanVACEPipeline"
NEEDS_LAST_IMAGE = "needs_last_image"
"""In a card's `call`: a first-and-last-frame checkpoint. With a single image it ends on that
image."""
GREY = (128, 128, 128)
"""VACE was trained with grey where a frame is to be generated."""


class Wan(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "WanPipeline",
        Task.IMAGE_TO_VIDEO: "WanImageToVideoPipeline",
        Task.VIDEO_TO_VIDEO: "WanVideoToVideoPipeline",
    }
    float32 = ("vae",)

    # from the VAE: some of the pipelines derive their own number, which is wrong for Wan 2.2's VAE
    def spatial_compression(self, pipe: Any) -> int:
        return pipe.vae.config.scale_factor_spatial

    def temporal_compression(self, pipe: Any) -> int:
        return pipe.vae.config.scale_factor_temporal

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments = usual_arguments(fitted)
        arguments |= {k: v for k, v in card.call.items() if k != NEEDS_LAST_IMAGE}
        if card.classes.get(fitted.task) == VACE:
            return arguments | _vace_condition(fitted, inputs)
        if inputs.video:
            # WanVideoToVideoPipeline has no second expert, and takes the length of the video
            arguments.pop("guidance_scale_2", None)
            arguments.pop("num_frames")
            arguments |= {"video": list(inputs.video), "strength": fitted.strength}
            return arguments
        if inputs.image is not None:
            arguments["image"] = inputs.image
        last = inputs.last_image
        if last is None and card.call.get(NEEDS_LAST_IMAGE):
            last = inputs.image
        if last is not None:
            arguments["last_image"] = last
        return arguments

    @contextmanager
    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> Iterator[None]:
        """Seeds the global generator for a scheduler that draws new noise at every step, because
        the pipelines do not pass theirs on. Can go when they do (diffusers 0.42 does not)."""
        if not pipe.scheduler.config.get("stochastic_sampling"):
            yield
            return
        with seeded_globally(pipe, fitted.seed):
            yield

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """TI2V-5B with an image: records its latent frame, which the scheduler never sees."""
        frozen = "ImageToVideo" in type(pipe).__name__ and pipe.config.get("expand_timesteps")
        if not frozen:
            yield
            return

        def record(prepared: tuple[torch.Tensor, ...]) -> None:
            _, run["first"], _mask = prepared

        with recorded_result(pipe, "prepare_latents", record):
            yield

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        first = run.get("first")
        return x0 if first is None else torch.cat([first.to(x0), x0[:, :, 1:]], dim=2)

    def decode(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        vae = pipe.vae
        latents = latents.to(vae.dtype)
        mean, per_deviation = _statistics(vae, latents)
        # division by the reciprocal, as in the pipeline: a product would round differently
        return vae.decode(latents / per_deviation + mean, return_dict=False)[0]

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()
        mean, per_deviation = _statistics(vae, latents)
        return (latents - mean) * per_deviation


def _statistics(vae: Any, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and reciprocal standard deviation per latent channel."""
    mean, deviation = (
        torch.tensor(values).view(1, -1, 1, 1, 1).to(like.device, like.dtype)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return mean, 1.0 / deviation


def _vace_condition(fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    """A video and a mask: black where a frame is kept, white where it is generated."""
    if inputs.video:
        return {"video": list(inputs.video)}
    if inputs.image is None:
        return {}
    size, count = (fitted.width, fitted.height), fitted.num_frames
    keep, make = Image.new("L", size, 0), Image.new("L", size, 255)
    video, mask = [Image.new("RGB", size, GREY)] * count, [make] * count
    video[0], mask[0] = inputs.image, keep
    if inputs.last_image is not None:
        video[-1], mask[-1] = inputs.last_image, keep
    return {"video": video, "mask": mask}
