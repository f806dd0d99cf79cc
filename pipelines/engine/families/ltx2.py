"""LTX-2: video and sound from one transformer; the video's latents are packed, [B, tokens, C].

The sound is stepped by a copy of the scheduler, which the step hook does not see, so its predicted
clean latents (x0) are recorded inside the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
from pipelines.engine.families.ltx import DECODE_ARGUMENTS, add_decode_noise
from pipelines.engine.patching import replaced_method
from pipelines.request import FittedRequest, Task
from pipelines.sound import Sound

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

STG_BLOCK = "stg_block"
"""In a card's `call`: the block that spatio-temporal guidance skips."""
DISTILLED_SIGMAS = "distilled_sigmas"
"""In a card's `call`: use the eight noise levels that distilled checkpoints were trained with."""
NOT_RECOMPRESSED = 0
"""By default the pipeline compresses images with H.264, as in training, which needs PyAV."""


class LTX2(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "LTX2Pipeline",
        Task.IMAGE_TO_VIDEO: "LTX2ConditionPipeline",
        Task.VIDEO_TO_VIDEO: "LTX2ConditionPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments = usual_arguments(fitted) | {
            "frame_rate": float(fitted.fps),
        }
        skipped = (*DECODE_ARGUMENTS, STG_BLOCK, DISTILLED_SIGMAS)
        arguments |= {k: v for k, v in card.call.items() if k not in skipped}
        if STG_BLOCK in card.call:
            arguments["spatio_temporal_guidance_blocks"] = [card.call[STG_BLOCK]]
        if card.call.get(DISTILLED_SIGMAS):
            from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES

            arguments["sigmas"] = list(DISTILLED_SIGMA_VALUES)
        if fitted.task is not Task.TEXT_TO_VIDEO:
            arguments["conditions"] = _conditions(fitted, inputs)
        return arguments

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """Keeps the returned latents normalised, and records the sound's x0. Can go when the
        pipeline offers both (diffusers 0.42 does not)."""
        to_velocity = pipe.convert_x0_to_velocity

        def to_velocity_and_keep(
            sample: torch.Tensor, denoised: torch.Tensor, step: int, scheduler: Any = None
        ) -> torch.Tensor:
            if scheduler is not None and scheduler is not pipe.scheduler:
                run["sound"] = denoised
            return to_velocity(sample, denoised, step, scheduler)

        with (
            replaced_method(pipe, "_denormalize_latents", lambda latents, *_: latents),
            replaced_method(pipe, "convert_x0_to_velocity", to_velocity_and_keep),
        ):
            yield

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        frames = (fitted.num_frames - 1) // pipe.vae_temporal_compression_ratio + 1
        height = fitted.height // pipe.vae_spatial_compression_ratio
        width = fitted.width // pipe.vae_spatial_compression_ratio
        patches = pipe.transformer_spatial_patch_size, pipe.transformer_temporal_patch_size
        own = x0[:, : frames * height * width]  # followed by the tokens of a last image
        return pipe._unpack_latents(own, frames, height, width, *patches)

    def decode_noise(
        self, pipe: Any, latents: torch.Tensor, generator: torch.Generator, fitted: FittedRequest
    ) -> torch.Tensor | None:
        from diffusers.utils.torch_utils import randn_tensor

        if not pipe.vae.config.timestep_conditioning:
            return None
        # drawn as the pipeline does: for a CPU generator on the CPU, then moved
        dtype = pipe.text_encoder.dtype
        return randn_tensor(latents.shape, generator=generator, device=latents.device, dtype=dtype)

    def decode(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        vae = pipe.vae
        latents = latents.to(pipe.text_encoder.dtype)
        latents, timestep = add_decode_noise(vae, card, latents, noise)
        latents = pipe._denormalize_latents(
            latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )
        return vae.decode(latents.to(vae.dtype), timestep, return_dict=False)[0]

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        return pipe._normalize_latents(
            latents.float(), vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )

    def decode_audio(
        self, pipe: Any, output: Any | None, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> Sound | None:
        latents = _sound_latents(pipe, run["sound"]) if output is None else output.audio
        vae = pipe.audio_vae
        spectrogram = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
        samples = pipe.vocoder(spectrogram)[0].float().cpu().numpy()
        return Sound(samples, int(pipe.vocoder.config.output_sampling_rate))


def _sound_latents(pipe: Any, packed: torch.Tensor) -> torch.Tensor:
    """Denormalised sound latents [B, C, length, bins] from packed ones, as the call returns
    them."""
    vae = pipe.audio_vae
    bins = vae.config.mel_bins // pipe.audio_vae_mel_compression_ratio
    latents = pipe._denormalize_audio_latents(packed, vae.latents_mean, vae.latents_std)
    return pipe._unpack_audio_latents(latents, packed.shape[1], num_mel_bins=bins)


def _conditions(fitted: FittedRequest, inputs: Inputs) -> list[Any]:
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    if inputs.video:
        strength = 1.0 - (1.0 if fitted.strength is None else fitted.strength)
        return [LTX2VideoCondition(frames=list(inputs.video), index=0, strength=strength)]
    if inputs.lead:
        lead = list(inputs.lead)
        return [LTX2VideoCondition(frames=lead, index=0, strength=1.0, crf=NOT_RECOMPRESSED)]
    images = [(inputs.image, 0), (inputs.last_image, -1)]
    return [
        LTX2VideoCondition(frames=image, index=at, crf=NOT_RECOMPRESSED)
        for image, at in images
        if image is not None
    ]
