"""HunyuanVideo: text-to-video, and two kinds of image-to-video checkpoints.

"token_replace" keeps the image as the first latent frame, which the sampler never sees.
"latent_concat" samples one latent frame more than the clip has: the decoder needs it, and its
frames are cut off. Its card has `call: {image_condition_type: latent_concat}`.
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

CONDITION_TYPE = "image_condition_type"
EXTRA_FRAMES = 4
"""Frames at the beginning that the pipeline cuts off after decoding "latent_concat"."""


class HunyuanVideo(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "HunyuanVideoPipeline",
        Task.IMAGE_TO_VIDEO: "HunyuanVideoImageToVideoPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "prompt": fitted.prompt,
            "width": fitted.width,
            "height": fitted.height,
            "num_frames": fitted.num_frames,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
        }
        if card.rules.negative_prompt:  # needs true_cfg_scale, for which few checkpoints are made
            arguments["negative_prompt"] = fitted.negative_prompt
        if inputs.image is not None:
            arguments["image"] = inputs.image
        if card.call.get(CONDITION_TYPE) == "latent_concat":
            # the decoder's first frames are cut off, so one more latent frame is sampled
            arguments["num_frames"] += EXTRA_FRAMES
            arguments["callback_on_step_end"] = _repeat_first_latent
        return arguments | {k: v for k, v in card.call.items() if k != CONDITION_TYPE}

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """Records the image's latent frame, which "token_replace" hides from the sampler."""
        if pipe.transformer.config.image_condition_type != "token_replace":
            yield
            return

        def record(prepared: tuple[torch.Tensor, torch.Tensor]) -> None:
            _, run["image"] = prepared

        with recorded_result(pipe, "prepare_latents", record):
            yield

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        return torch.cat([run["image"].to(x0), x0], dim=2) if "image" in run else x0

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        vae = pipe.vae
        video = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample
        return (
            video[:, :, EXTRA_FRAMES:]
            if card.call.get(CONDITION_TYPE) == "latent_concat"
            else video
        )

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        return latents.float() * vae.config.scaling_factor


def _repeat_first_latent(
    pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """A callback_on_step_end. The pipeline decodes with the first latent frame but cuts it off the
    latents it returns; a second copy is cut off instead."""
    latents = tensors["latents"]
    if index + 1 < pipe.num_timesteps:
        return {}
    return {"latents": torch.cat([latents[:, :, :1], latents], dim=2)}
