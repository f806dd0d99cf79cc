"""LTX-Video: all tasks share one set of weights; the sampler's latents are packed, [B, tokens, C].

Image-to-video samples everything but the first latent frame, which is the image. From 0.9.5 on the
condition pipeline does all tasks; it puts the tokens of a last image in front.
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

CONDITION = "LTXConditionPipeline"
DECODE_ARGUMENTS = ("decode_timestep", "decode_noise_scale")


class LTX(LatentFamily):
    pipelines = {Task.TEXT_TO_VIDEO: "LTXPipeline", Task.IMAGE_TO_VIDEO: "LTXImageToVideoPipeline"}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments = usual_arguments(fitted) | {
            "frame_rate": fitted.fps,
        }
        arguments |= {k: v for k, v in card.call.items() if k not in DECODE_ARGUMENTS}
        if card.classes.get(fitted.task) == CONDITION:
            arguments["conditions"] = _conditions(fitted, inputs) or None
        elif inputs.image is not None:
            arguments["image"] = inputs.image
        return arguments

    def unpack_latents(
        self, pipe: Any, output: torch.Tensor, fitted: FittedRequest
    ) -> torch.Tensor:
        if output.ndim == 5:  # the condition pipeline unpacks
            return output
        frames, height, width = _latent_shape(pipe, fitted)
        return pipe._unpack_latents(
            output[:, -frames * height * width :],
            frames,
            height,
            width,
            pipe.transformer_spatial_patch_size,
            pipe.transformer_temporal_patch_size,
        )

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """Image-to-video only: records the packed initial latents, whose first frame is the
        image."""
        if Task.IMAGE_TO_VIDEO not in _pipeline_tasks(pipe):
            yield
            return

        def record(prepared: tuple[torch.Tensor, torch.Tensor]) -> None:
            run["start"], _mask = prepared

        with recorded_result(pipe, "prepare_latents", record):
            yield

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        if x0.ndim == 3:  # packed: text-to-video and the condition pipeline
            return self.unpack_latents(pipe, x0, fitted)
        first = self.unpack_latents(pipe, run["start"], fitted)[:, :, :1]
        return torch.cat([first.to(x0), x0], dim=2)

    def decode_noise(
        self, pipe: Any, latents: torch.Tensor, generator: torch.Generator, fitted: FittedRequest
    ) -> torch.Tensor | None:
        if not pipe.vae.config.timestep_conditioning:
            return None
        times = 2 if fitted.upscale else 1  # the noise has the size of what is decoded
        *others, height, width = latents.shape
        return torch.randn(
            (*others, height * times, width * times),
            generator=generator,
            device=latents.device,
            dtype=pipe.text_encoder.dtype,
        )

    def decode(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        latents = _denormalize(pipe, latents).to(pipe.text_encoder.dtype)
        return self.decode_upsampled(pipe, card, latents, noise)

    def upsample(self, pipe: Any, upsampler: Any, latents: torch.Tensor) -> torch.Tensor:
        """As LTXLatentUpsamplePipeline does: upsampler and decoder take denormalised latents."""
        return upsampler(_denormalize(pipe, latents.float()).to(upsampler.dtype))

    def decode_upsampled(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        vae = pipe.vae
        latents, timestep = add_decode_noise(vae, card, latents, noise)
        return vae.decode(latents.to(vae.dtype), timestep, return_dict=False)[0]

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        return pipe._normalize_latents(
            latents.float(), vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )


def add_decode_noise(
    vae: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What a timestep-conditioned decoder takes, by the arithmetic of LTX's pipelines: the latents
    with a share of noise, and the timestep [1]. Other decoders take the latents as they are."""
    if not vae.config.timestep_conditioning:
        return latents, None
    decode_timestep = float(card.call.get("decode_timestep", 0.0))
    scale = float(card.call.get("decode_noise_scale", decode_timestep))
    timestep = torch.tensor([decode_timestep], device=latents.device, dtype=latents.dtype)
    if noise is not None:
        # a tensor of the latents' precision, not a float: the pipeline rounds the share like this
        share = torch.tensor([scale], device=latents.device, dtype=latents.dtype)
        share = share[:, None, None, None, None]
        latents = (1 - share) * latents + share * noise.to(latents)
    return latents, timestep


def _denormalize(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    vae = pipe.vae
    return pipe._denormalize_latents(
        latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
    )


def _pipeline_tasks(pipe: Any) -> set[Task]:
    name = type(pipe).__name__
    return {task for task, class_name in LTX.pipelines.items() if class_name == name}


def _conditions(fitted: FittedRequest, inputs: Inputs) -> list[Any]:
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    if inputs.video:
        # a condition of strength s keeps the clip until the noise level is down to 1 - s
        strength = 1.0 - (1.0 if fitted.strength is None else fitted.strength)
        return [LTXVideoCondition(video=list(inputs.video), frame_index=0, strength=strength)]
    if inputs.lead:
        return [LTXVideoCondition(video=list(inputs.lead), frame_index=0, strength=1.0)]
    images = [(inputs.image, 0), (inputs.last_image, fitted.num_frames - 1)]
    return [LTXVideoCondition(image=i, frame_index=at) for i, at in images if i is not None]


def _latent_shape(pipe: Any, fitted: FittedRequest) -> tuple[int, int, int]:
    return (
        (fitted.num_frames - 1) // pipe.vae_temporal_compression_ratio + 1,
        fitted.height // pipe.vae_spatial_compression_ratio,
        fitted.width // pipe.vae_spatial_compression_ratio,
    )
