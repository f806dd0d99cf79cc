"""Any other video pipeline of diffusers, called by the signature of its class.

The pipeline decodes by itself, so the frames are right whatever its latents look like. Previews are
drawn where the latents have a known layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.engine.families.base import FrameFamily, Inputs
from pipelines.engine.families.layouts import to_bcfhw, unpack_tokens
from pipelines.engine.families.output_sound import sound_of
from pipelines.engine.frames import Frames, to_uint8
from pipelines.models.call_roles import clip_argument, last_picture_argument, picture_argument
from pipelines.models.call_signatures import CallSignature, call_signature
from pipelines.models.cards import ModelCard
from pipelines.models.failures import Reason, failure
from pipelines.request import FittedRequest

if TYPE_CHECKING:
    import torch

    from pipelines.sound import Sound


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
        available: dict[str | None, Any] = {
            "prompt": fitted.prompt,
            "negative_prompt": _negative_prompt(call, fitted.negative_prompt),
            "width": fitted.width,
            "height": fitted.height,
            "num_inference_steps": fitted.num_inference_steps,
            "frame_rate": fitted.fps,
            "fps": fitted.fps,
            "strength": fitted.strength if inputs.video else None,
            call.frames_name: fitted.num_frames,
            call.guidance_name: fitted.guidance_scale,
            picture_argument(call): inputs.image,
            last_picture_argument(call): inputs.last_image,
        }
        if inputs.video:
            available[clip_argument(call)] = list(inputs.video)
        accepted = {k: v for k, v in available.items() if k and v is not None and call.takes(k)}
        return accepted | card.call

    @contextmanager
    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> Iterator[None]:
        """The guidance of pipelines that have a guider instead of an argument for it."""
        guider = getattr(pipe, "guider", None)
        if guider is None:
            yield
            return
        pipe.guider = guider.new(guidance_scale=fitted.guidance_scale)
        try:
            yield
        finally:
            pipe.guider = guider

    def to_frames(self, output: Any) -> Frames:
        # one clip, or a batch of one: an array, or a list of arrays
        is_batch = isinstance(output, list) or np.ndim(output) == 5
        return to_uint8(np.asarray(output[0] if is_batch else output))

    def decode_audio(
        self, pipe: Any, output: Any | None, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> Sound | None:
        return sound_of(pipe, output)

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        place = (
            fitted.height // self.spatial_compression(pipe),
            fitted.width // self.spatial_compression(pipe),
        )
        if x0.ndim == 3:
            frames = (fitted.num_frames - 1) // self.temporal_compression(pipe) + 1
            return unpack_tokens(pipe, x0, (frames, *place))
        return to_bcfhw(x0, _latent_channels(pipe.vae), place)

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        from pipelines.engine.families.image_vae import encode_frames

        vae = pipe.vae
        if type(vae).__name__ == "AutoencoderKL":
            return encode_frames(vae, pixels)
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()
        mean, deviation = _latent_statistics(vae, latents)
        return (latents - mean) / deviation


def _negative_prompt(call: CallSignature, negative: str) -> str | None:
    """None for an empty one, where the class knows what to do with that; some fail without one, or
    sample without guidance."""
    return negative or (None if call.replaces_missing_negative else "")


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
    buffers = dict(vae.named_buffers(recurse=False))  # LTX's VAEs have these instead
    mean = config.get("latents_mean", buffers.get("latents_mean"))
    deviation = config.get("latents_std", buffers.get("latents_std"))
    if mean is not None and deviation is not None:
        return per_channel(mean), per_channel(deviation) / scale
    if not config.get("scaling_factor"):
        raise ValueError(f"the scale of {type(vae).__name__}'s latents is unknown")
    return per_channel([config.get("shift_factor") or 0.0]), per_channel([1 / scale])
