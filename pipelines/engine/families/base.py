"""What a family of pipelines says about itself: only what differs from the others.

Knows how one call is built and what its latents mean. Does not know jobs, previews or files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from pipelines.engine.frames import Frames
    from pipelines.models.cards import ModelCard
    from pipelines.models.loras import LoraFile
    from pipelines.sound import Sound


SPATIAL_RATIOS = (
    "vae_scale_factor_spatial",
    "vae_spatial_compression_ratio",
    "vae_spatial_scale_factor",
    "vae_scale_factor",
)
TEMPORAL_RATIOS = (
    "vae_scale_factor_temporal",
    "vae_temporal_compression_ratio",
    "vae_temporal_scale_factor",
)
"""What diffusers' pipelines call their VAE's compression, which each names as it likes."""


@dataclass(frozen=True)
class Inputs:
    """What a person gave besides words, cut to the clip's shape."""

    image: Image.Image | None = None
    last_image: Image.Image | None = None
    video: tuple[Image.Image, ...] = ()
    lead: tuple[Image.Image, ...] = ()
    """The end of a clip that is gone on from, where the model starts from several frames."""
    loras: tuple[LoraFile, ...] = ()


class BaseFamily(ABC):
    """What all families have. Latents here are always *normalised* [B, C, F, H, W]: what the
    sampler works on, unpacked."""

    pipelines: dict[Task, str]
    """The diffusers class for each task; all of them share one set of components."""

    float32: tuple[str, ...] = ()
    """Components that are kept in float32 whatever the others run in: they lose too much."""

    def spatial_compression(self, pipe: Any) -> int:
        """Pixels along a side for one latent position. AttributeError where the pipeline has none
        of the usual names for it."""
        ratio = _first_int(pipe, SPATIAL_RATIOS)
        if ratio is None:
            raise AttributeError(f"{type(pipe).__name__} has none of {SPATIAL_RATIOS}")
        return ratio

    def temporal_compression(self, pipe: Any) -> int:
        """Frames for one latent frame, the first of which may stand for a single one; 1 for a VAE
        of still pictures, whose pipeline has no such number."""
        return _first_int(pipe, TEMPORAL_RATIOS) or 1

    def calibration_shape(self, pipe: Any) -> tuple[int, int]:
        """Frames and side of the clips that the previews' map is learned from: small ones."""
        return 1 + 2 * self.temporal_compression(pipe), 8 * self.spatial_compression(pipe)

    @abstractmethod
    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        """The keyword arguments of the pipeline's call, but for generator and output_type."""

    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> AbstractContextManager[Any]:
        """Set on the pipeline what the call has no argument for, and put it back afterwards."""
        return nullcontext()

    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> AbstractContextManager[Any]:
        """A place to keep in `run` what `unpack_x0` will need from inside the call."""
        return nullcontext()

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """From the estimate the scheduler's step saw, which may lack frames or be packed; by
        default that itself."""
        return x0

    def decode_audio(
        self, pipe: Any, output: Any | None, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> Sound | None:
        """The clip's sound, where the model makes one. `output` is what the call returned with
        output_type="latent"; None after "finish now", when there is only what `watched` kept."""
        return None

    @abstractmethod
    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised latents of pixels [B, 3, F, H, W] in -1..1, without randomness."""


class LatentFamily(BaseFamily):
    """Its pipelines return latents (output_type="latent"), which `decode` turns into frames."""

    def unpack_latents(
        self, pipe: Any, output: torch.Tensor, fitted: FittedRequest
    ) -> torch.Tensor:
        """From what the call returns with output_type="latent"; by default that itself."""
        return output

    def decode_noise(
        self, pipe: Any, latents: torch.Tensor, generator: torch.Generator, fitted: FittedRequest
    ) -> torch.Tensor | None:
        """The noise a decoder wants, drawn where the plain call draws it: after sampling."""
        return None

    @abstractmethod
    def decode(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        """Pixels [B, 3, F, H, W] in -1..1, exactly as the plain call computes them."""

    def upsample(self, pipe: Any, upsampler: Any, latents: torch.Tensor) -> torch.Tensor:
        """Twice the height and width, for `decode_upsampled`; where `Rules.upscale` says so."""
        raise NotImplementedError

    def decode_upsampled(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        """As `decode`, of what `upsample` gave."""
        raise NotImplementedError


class FrameFamily(BaseFamily):
    """Its pipelines decode by themselves (output_type="np"): there are no latents to keep."""

    @abstractmethod
    def to_frames(self, output: Any) -> Frames:
        """From the `frames` that the call returns with output_type="np"."""


Family = LatentFamily | FrameFamily


def _first_int(pipe: Any, names: tuple[str, ...]) -> int | None:
    return next((v for n in names if isinstance(v := getattr(pipe, n, None), int)), None)
