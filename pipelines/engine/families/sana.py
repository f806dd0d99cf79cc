"""Sana-Video: one set of weights for text and image, each with a scheduler of its own.

The VAE may be Wan's, LTX-2's or a DC-AE, which store their latent statistics in different places.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily
from pipelines.engine.patching import recorded_result
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

MOTION_SCORE = "motion_score"
"""In a card's `call`: the amount of motion, which this model reads at the end of the prompt."""


class Sana(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "SanaVideoPipeline",
        Task.IMAGE_TO_VIDEO: "SanaImageToVideoPipeline",
    }
    float32 = ("vae",)

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        prompt = fitted.prompt
        if MOTION_SCORE in card.call:
            prompt += f" motion score: {card.call[MOTION_SCORE]}."
        arguments: dict[str, Any] = {
            "prompt": prompt,
            "negative_prompt": fitted.negative_prompt,
            "width": fitted.width,
            "height": fitted.height,
            "frames": fitted.num_frames,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
            # binning would sample at another size and rescale; the rules allow only legal sizes
            "use_resolution_binning": False,
        }
        if inputs.image is not None:
            arguments["image"] = inputs.image
        return arguments | {k: v for k, v in card.call.items() if k != MOTION_SCORE}

    @contextmanager
    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> Iterator[None]:
        """Image-to-video freezes its first latent frame, which only flow-matching Euler
        supports."""
        if fitted.task is not Task.IMAGE_TO_VIDEO:
            yield
            return
        from diffusers import FlowMatchEulerDiscreteScheduler

        own = pipe.scheduler
        if not isinstance(own, FlowMatchEulerDiscreteScheduler):
            shift = own.config.get("flow_shift") or 8.0
            pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        try:
            yield
        finally:
            pipe.scheduler = own

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """Image-to-video only: records the first latent frame, which the sampler never sees."""
        if type(pipe).__name__ != self.pipelines[Task.IMAGE_TO_VIDEO]:
            yield
            return

        def record(latents: torch.Tensor) -> None:
            run["first"] = latents[:, :, :1].clone()

        with recorded_result(pipe, "prepare_latents", record):
            yield

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        return torch.cat([run["first"].to(x0), x0], dim=2) if "first" in run else x0

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        latents = latents.to(pipe.vae.dtype)
        mean, one_over_deviation = _statistics(pipe.vae, latents)
        latents = latents / one_over_deviation + mean
        return pipe.vae.decode(latents, return_dict=False)[0]

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        encoded = vae.encode(pixels.to(vae.device, vae.dtype))
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latent
        latents = latents.float()
        mean, one_over_deviation = _statistics(vae, latents)
        return (latents - mean) * one_over_deviation


def _statistics(vae: Any, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and reciprocal standard deviation per latent channel, rounded as in the pipeline."""
    buffers = dict(vae.named_buffers())
    if "latents_mean" in buffers:  # LTX-2
        mean, deviation = buffers["latents_mean"], buffers["latents_std"]
    elif vae.config.get("latents_mean") is not None:  # Wan
        mean = torch.tensor(vae.config.latents_mean)
        deviation = torch.tensor(vae.config.latents_std)
    else:
        mean, deviation = torch.zeros(like.shape[1]), torch.ones(like.shape[1])
    shape = (1, like.shape[1], 1, 1, 1)
    return mean.view(shape).to(like), 1.0 / deviation.view(shape).to(like)
