"""Any other video pipeline of diffusers, called by the signature of its class.

The pipeline decodes by itself, so the frames are right whatever its latents look like. Previews are
drawn where the latents have a known layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.engine.families.base import FrameFamily, Inputs
from pipelines.engine.frames import Frames, to_uint8
from pipelines.models.call_signatures import FRAMES, call_signature
from pipelines.models.cards import ModelCard
from pipelines.models.failures import Reason, failure
from pipelines.models.negative_prompts import empty_negative_prompt
from pipelines.request import FittedRequest

if TYPE_CHECKING:
    import torch


class Generic(FrameFamily):
    pipelines = {}  # noqa: RUF012  # every card of this family names its class in `classes`

    def spatial_compression(self, pipe: Any) -> int:
        try:
            return super().spatial_compression(pipe)
        except AttributeError:
            return 8  # what most VAEs have; where it is wrong, only previews are missing

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        call = call_signature(card.classes[fitted.task])
        if call is None:  # the card was made with another version of diffusers
            raise failure(Reason.UNKNOWN_CLASS, card.name, card.classes[fitted.task])
        available: dict[str, Any] = {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt or empty_negative_prompt(call.class_name),
            "width": fitted.width,
            "height": fitted.height,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
            "frame_rate": fitted.fps,
            "fps": fitted.fps,
            "image": inputs.image,
            "last_image": inputs.last_image,
            "video": list(inputs.video) or None,
            "strength": fitted.strength,
        }
        available |= dict.fromkeys(FRAMES, fitted.num_frames)
        accepted = {k: v for k, v in available.items() if v is not None and call.takes(k)}
        return accepted | card.call

    def to_frames(self, output: Any) -> Frames:
        return to_uint8(np.asarray(output[0]))

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        return self._to_bcfhw(pipe, x0, fitted)

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        from pipelines.engine.families.image_vae import encode_frames

        vae = pipe.vae
        if type(vae).__name__ == "AutoencoderKL":
            return encode_frames(vae, pixels)
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()
        mean, deviation = _latent_statistics(vae, latents)
        return (latents - mean) / deviation

    def _to_bcfhw(self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest) -> torch.Tensor:
        """As [B, C, F, H, W], from the layouts that diffusers' pipelines use. Raises ValueError for
        others, which switches previews off."""
        channels = _latent_channels(pipe.vae)
        frames = (fitted.num_frames - 1) // self.temporal_compression(pipe) + 1
        place = (
            fitted.height // self.spatial_compression(pipe),
            fitted.width // self.spatial_compression(pipe),
        )
        shape = tuple(x0.shape[1:])
        if shape == (channels, frames, *place):
            return x0
        if shape == (frames, channels, *place):
            return x0.permute(0, 2, 1, 3, 4)
        if shape == (frames, *place, channels):
            return x0.permute(0, 4, 1, 2, 3)
        if shape == (channels, *place) and x0.shape[0] == frames:
            return x0.unsqueeze(0).permute(0, 2, 1, 3, 4)
        raise ValueError(f"latents of an unknown layout: {tuple(x0.shape)}")


def _latent_channels(vae: Any) -> int:
    return int(vae.config.get("latent_channels") or vae.config.get("z_dim") or 0)


def _latent_statistics(vae: Any, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the VAE's latents per channel, [1, C, 1, 1, 1].

    Raises ValueError where the configuration has no scale, rather than guess one.
    """
    import torch

    def per_channel(values: Any) -> torch.Tensor:
        return torch.as_tensor(values).to(latents).view(1, -1, 1, 1, 1)

    config = vae.config
    scale = config.get("scaling_factor") or 1.0
    mean = config.get("latents_mean")
    deviation = config.get("latents_std")
    if mean is not None and deviation is not None:
        return per_channel(mean), per_channel(deviation) / scale
    if not config.get("scaling_factor"):
        raise ValueError(f"the scale of {type(vae).__name__}'s latents is unknown")
    return per_channel([config.get("shift_factor") or 0.0]), per_channel([1 / scale])
