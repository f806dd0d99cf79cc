"""Estimates the memory of each phase from the sizes of the model and the clip.

Sampling holds a number of values per token, decoding a number per pixel (`traits.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.models.cards import ModelCard
from pipelines.models.float32 import float32_components
from pipelines.planning.device import GIB
from pipelines.planning.sizes import Sizes
from pipelines.planning.traits import family_traits
from pipelines.request import FittedRequest

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class ClipShape:
    """The properties of a clip that memory and time depend on."""

    width: int
    height: int
    num_frames: int
    steps: int = 1
    is_guided: bool = True
    is_upscaled: bool = False
    """Decoded at twice the width and height that are sampled."""

    @property
    def area(self) -> int:
        """Pixels of a decoded frame."""
        return self.width * self.height * (4 if self.is_upscaled else 1)

    @property
    def pixels(self) -> float:
        return float(self.area * self.num_frames)

    @classmethod
    def of(cls, fitted: FittedRequest) -> ClipShape:
        return cls(
            width=fitted.width,
            height=fitted.height,
            num_frames=fitted.sampled_frames,
            steps=fitted.num_inference_steps,
            is_guided=fitted.guidance_scale > 1,
            is_upscaled=fitted.upscale,
        )

    @classmethod
    def default(cls, card: ModelCard) -> ClipShape:
        d = card.defaults
        return cls(
            width=d.width,
            height=d.height,
            num_frames=d.num_frames,
            steps=d.num_inference_steps,
            is_guided=d.guidance_scale > 1,
        )


@dataclass(frozen=True)
class Demand:
    """GiB at one dtype, without offload, tiles or quantised weights."""

    weights: float
    denoisers: float
    largest_denoiser: float
    encoders: float
    decoders: float
    sampling: float
    decoding: float
    """Of the frames that the decoder takes together."""
    frames: float
    """The pixels of the whole clip, which no tiling makes smaller."""

    def decoded(self, tiles: int) -> float:
        """GiB for decoding in `tiles` by `tiles` tiles; 0: the whole frame at once."""
        return self.decoding / max(tiles, 1) ** 2 + self.frames


def count_tokens(card: ModelCard, shape: ClipShape) -> float:
    """Tokens of one step: one for each position of the latents after patching."""
    rules, traits = card.rules, family_traits(card.family)
    # an approximation: side and time of the rules include the transformer's patches
    side, time = traits.token or (max(rules.size.of, 8), max(rules.frames.of, 1))
    together = min(shape.num_frames, traits.window_frames or shape.num_frames)
    frames = 1 + max(together - rules.frames.plus, 0) / time
    return math.ceil(shape.width / side) * math.ceil(shape.height / side) * frames


def memory_demand(card: ModelCard, sizes: Sizes, shape: ClipShape, dtype: str) -> Demand:
    """What sampling and decoding a clip of that shape hold at `dtype`."""
    traits, width = family_traits(card.family), BYTES[dtype]
    gib = width / GIB
    by_class = float32_components(card.classes.values(), {"vae": ""})
    decoder_bytes = 4 if traits.decodes_float32 or "vae" in by_class else width
    # with classifier-free guidance most pipelines run both halves as one batch
    halves = 2 if shape.is_guided and traits.guided_at_once else 1

    frames = min(shape.num_frames, traits.decoded_frames or shape.num_frames)
    together = float(shape.area * frames)
    return Demand(
        weights=sizes.total * gib,
        denoisers=sum(sizes.denoisers.values()) * gib,
        largest_denoiser=sizes.denoiser * gib,
        encoders=sum(sizes.encoders.values()) * gib,
        decoders=sum(sizes.decoders.values()) * gib * (decoder_bytes / width),
        sampling=halves * traits.activations * count_tokens(card, shape) * sizes.hidden * gib,
        decoding=traits.decoded * decoder_bytes * together / GIB,
        frames=3 * decoder_bytes * shape.pixels / GIB,
    )
