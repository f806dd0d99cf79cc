"""Any other video pipeline of diffusers, by what its class says of itself.

The pipeline makes its own frames, so they are right whatever its latents look like; previews are
drawn where the latents can be read. `generic_card` is light: no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.engine.families.base import Family, Inputs
from pipelines.models.cards import ModelCard
from pipelines.models.failures import Reason, failure
from pipelines.models.signatures import FRAMES, call_of
from pipelines.request import FittedRequest

if TYPE_CHECKING:
    import torch


class Generic(Family):
    pipelines = {}  # noqa: RUF012  # every card of this family names its class

    output_type = "np"

    def __init__(self) -> None:
        self._pixels: Any = None
        self._latents: Any = None

    def cell(self, pipe: Any) -> int:
        names = ("vae_scale_factor_spatial", "vae_spatial_compression_ratio", "vae_scale_factor")
        return next((v for n in names if isinstance(v := getattr(pipe, n, None), int)), 8)

    def per_latent(self, pipe: Any) -> int:
        names = ("vae_scale_factor_temporal", "vae_temporal_compression_ratio")
        return next((v for n in names if isinstance(v := getattr(pipe, n, None), int)), 1)

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        call = call_of(card.classes[fitted.task])
        if call is None:  # the card was made with another diffusers
            raise failure(Reason.UNKNOWN_CLASS, card.name, card.classes[fitted.task])
        given: dict[str, Any] = {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt or None,
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
        given |= dict.fromkeys(FRAMES, fitted.num_frames)
        wanted = {k: v for k, v in given.items() if v is not None and call.takes(k)}
        return wanted | card.call

    def latents_of(self, pipe: Any, output: Any, fitted: FittedRequest) -> torch.Tensor:
        """The frames themselves, and for who looks at the latents those that were last seen."""
        import torch

        frames = torch.as_tensor(output)[:1]
        self._pixels = (frames * 255).round().to(torch.uint8).permute(0, 4, 1, 2, 3)
        latents, self._latents = self._latents, None
        return self._pixels if latents is None else latents

    def x0_latents(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        self._latents = self._read(pipe, x0, fitted)
        return self._latents

    def decode_noise(
        self, pipe: Any, latents: torch.Tensor, generator: torch.Generator, fitted: FittedRequest
    ) -> torch.Tensor | None:
        """What decoding needs is the frames that are there already."""
        pixels, self._pixels = self._pixels, None
        return pixels

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        pixels = latents if noise is None else noise
        return pixels.float() / 127.5 - 1

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        from pipelines.engine.families.image_vae import encode_stills

        vae = pipe.vae
        if type(vae).__name__ == "AutoencoderKL":
            return encode_stills(vae, pixels)
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()
        mean, deviation = _statistics(vae, latents)
        return (latents - mean) / deviation

    def _read(self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest) -> torch.Tensor:
        """As [B, C, F, H, W], if it is those five in some order."""
        channels = _latent_channels(pipe.vae)
        frames = (fitted.num_frames - 1) // self.per_latent(pipe) + 1
        place = (fitted.height // self.cell(pipe), fitted.width // self.cell(pipe))
        shape = tuple(x0.shape[1:])
        if shape == (channels, frames, *place):
            return x0
        if shape == (frames, channels, *place):
            return x0.permute(0, 2, 1, 3, 4)
        if shape == (frames, *place, channels):
            return x0.permute(0, 4, 1, 2, 3)
        if shape == (channels, *place) and x0.shape[0] == frames:
            return x0.unsqueeze(0).permute(0, 2, 1, 3, 4)
        raise ValueError(f"latents of a shape that nobody can read here: {tuple(x0.shape)}")


def _latent_channels(vae: Any) -> int:
    return int(vae.config.get("latent_channels") or vae.config.get("z_dim") or 0)


def _statistics(vae: Any, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and deviation that make its latents normal; refuses to guess."""
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
        raise ValueError(f"the scale of {type(vae).__name__}'s latents is not known here")
    return per_channel([config.get("shift_factor") or 0.0]), per_channel([1 / scale])


# -- the card ------------------------------------------------------------------------------------
