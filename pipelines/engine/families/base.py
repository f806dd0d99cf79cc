"""The interface of a pipeline family: how its call is built and what its latents mean.

A family overrides only what differs from the defaults here.
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
"""Attributes of diffusers' pipelines with their VAE's compression; each pipeline has one of
them."""


@dataclass(frozen=True)
class Inputs:
    """Images, video frames and LoRAs of a request; images and frames are cropped to the clip's
    size."""

    image: Image.Image | None = None
    last_image: Image.Image | None = None
    video: tuple[Image.Image, ...] = ()
    lead: tuple[Image.Image, ...] = ()
    """The last frames of a clip to continue, for models that start from several."""
    loras: tuple[LoraFile, ...] = ()


def usual_arguments(fitted: FittedRequest) -> dict[str, Any]:
    """What nearly every pipeline's call is given, under the same names. A family adds its own
    arguments, replaces those with another value, and writes all of them out where names differ."""
    return {
        "prompt": fitted.prompt,
        "negative_prompt": fitted.negative_prompt,
        "width": fitted.width,
        "height": fitted.height,
        "num_frames": fitted.num_frames,
        "num_inference_steps": fitted.num_inference_steps,
        "guidance_scale": fitted.guidance_scale,
    }


class BaseFamily(ABC):
    """What all families have in common.

    Latents are always *normalised* [B, C, F, H, W]: as the sampler works on them, unpacked.
    """

    pipelines: dict[Task, str]
    """The diffusers class for each task; all of them share one set of components."""

    float32: tuple[str, ...] = ()
    """Components that lose too much in half precision and stay in float32."""

    shows_previews = True
    """False where a licence allows nobody to see frames before the model's own filter has."""

    def spatial_compression(self, pipe: Any) -> int:
        """Pixels along a side for one latent position. Raises AttributeError where the pipeline
        has none of `SPATIAL_RATIOS`."""
        ratio = _first_int(pipe, SPATIAL_RATIOS)
        if ratio is None:
            raise AttributeError(f"{type(pipe).__name__} has none of {SPATIAL_RATIOS}")
        return ratio

    def temporal_compression(self, pipe: Any) -> int:
        """Frames for one latent frame, of which the first may stand for a single frame; 1 for a VAE
        of still images, whose pipeline has none of `TEMPORAL_RATIOS`."""
        return _first_int(pipe, TEMPORAL_RATIOS) or 1

    def calibration_shape(self, pipe: Any) -> tuple[int, int]:
        """(frames, side) of the synthetic clips to which the preview map is fitted."""
        return 1 + 2 * self.temporal_compression(pipe), 8 * self.spatial_compression(pipe)

    def complete_pipeline(self, pipe: Any, components: dict[str, Any]) -> Any:
        """The pipeline that was just built from the loaded components, with what its constructor
        leaves out."""
        return pipe

    @abstractmethod
    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        """The keyword arguments of the pipeline's call, without generator and output_type."""

    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> AbstractContextManager[Any]:
        """Sets on the pipeline what its call has no argument for, and restores it."""
        return nullcontext()

    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> AbstractContextManager[Any]:
        """Records in `run` what `unpack_x0` and `decode_audio` need from inside the call."""
        return nullcontext()

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Latents from the x0 of the scheduler's step, which may be packed or lack conditioning
        frames that the sampler never sees. By default unchanged."""
        return x0

    def decode_audio(
        self, pipe: Any, output: Any | None, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> Sound | None:
        """The clip's sound, where the model makes one. `output` is the result of the call; None
        after "finish now", when only what `record_inputs` recorded is left."""
        return None

    @abstractmethod
    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised latents of pixels [B, 3, F, H, W] in -1..1, without sampling the posterior."""


class LatentFamily(BaseFamily):
    """Its pipelines return latents (output_type="latent"), which `decode` turns into frames."""

    def unpack_latents(
        self, pipe: Any, output: torch.Tensor, fitted: FittedRequest
    ) -> torch.Tensor:
        """Latents from the `frames` that the call returns with output_type="latent". By default
        unchanged."""
        return output

    def decode_noise(
        self, pipe: Any, latents: torch.Tensor, generator: torch.Generator, fitted: FittedRequest
    ) -> torch.Tensor | None:
        """The noise of timestep-conditioned decoders, drawn after sampling, as in the plain call.

        `generator` is the run's own, so the order of draws must be the pipeline's.
        """
        return None

    @abstractmethod
    def decode(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        """Pixels [B, 3, F, H, W] in -1..1, bit for bit as the plain call computes them."""

    def upsample(self, pipe: Any, upsampler: Any, latents: torch.Tensor) -> torch.Tensor:
        """Latents of twice the height and width for `decode_upsampled`. Only for families with
        `Rules.upscale`."""
        raise NotImplementedError

    def decode_upsampled(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        """As `decode`, for the latents of `upsample`."""
        raise NotImplementedError


class FrameFamily(BaseFamily):
    """Its pipelines decode by themselves (output_type="np"): there are no latents to keep."""

    @abstractmethod
    def to_frames(self, output: Any) -> Frames:
        """uint8 [F, H, W, 3] from the `frames` that the call returns with output_type="np".

        Raises KinoraError(DECODE) for NaN.
        """


Family = LatentFamily | FrameFamily
"""Match over it with `assert_never`."""


def _first_int(pipe: Any, names: tuple[str, ...]) -> int | None:
    return next((v for n in names if isinstance(v := getattr(pipe, n, None), int)), None)
