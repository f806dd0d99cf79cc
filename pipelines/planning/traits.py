"""What each family's parts allow and cost: attention backends, step caches, compile, decoding.

The tables follow what diffusers 0.42 does, not what it accepts: a cache that is accepted and does
nothing, or a backend that refuses the family's masks in the middle of a run, is not in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StepCache = Literal["first_block", "pab"]


@dataclass(frozen=True)
class Traits:
    guided_at_once: bool = True
    """With guidance both halves go through the model together, which doubles what it holds."""
    activations: float = 16.0
    """What a step holds, in numbers per token and unit of width (`Sizes.hidden`)."""
    decoded: float = 1000.0
    """What decoding holds, in numbers per pixel of the frames that are decoded together."""
    decoded_frames: int | None = None
    """How many frames the decoder takes together; None: all."""
    decodes_float32: bool = False
    attention: frozenset[str] = frozenset()
    """Besides SDPA: those that take this family's masks, or see none."""
    step_cache: StepCache | None = None
    compiles: bool = False
    is_unet: bool = False
    """Most of its parameters see a small picture, and attention stays within a frame."""


NO_MASKS = frozenset({"xformers", "flash", "sage"})

# `activations` and `decoded` were counted on models of real size and tensors that only pretend to
# be there (bench/peak_memory.py); those of hunyuan15, mochi, allegro, latte, kandinsky5 and sana's
# activations are from their nearest kin.
TRAITS: dict[str, Traits] = {
    "ltx": Traits(activations=15.5, decoded=50, step_cache="first_block", compiles=True),
    "ltx2": Traits(activations=15.5, decoded=43, step_cache="pab", compiles=True),
    "wan": Traits(
        guided_at_once=False,
        activations=13.5,
        decoded=1250,
        decoded_frames=4,
        decodes_float32=True,
        attention=NO_MASKS,
        step_cache="first_block",
        compiles=True,
    ),
    "skyreels": Traits(
        guided_at_once=False,
        activations=13.5,
        decoded=1250,
        decoded_frames=4,
        decodes_float32=True,
        compiles=True,
    ),
    "cogvideox": Traits(activations=12, decoded=2900, decoded_frames=8, step_cache="first_block"),
    "mochi": Traits(activations=10, decoded=990, step_cache="first_block"),
    "hunyuan": Traits(
        guided_at_once=False,
        activations=10.5,
        decoded=600,
        step_cache="first_block",
        compiles=True,
    ),
    "hunyuan15": Traits(
        guided_at_once=False, activations=12, decoded=900, step_cache="pab", compiles=True
    ),
    "allegro": Traits(activations=12, decoded=800, decodes_float32=True),
    "latte": Traits(activations=12, decoded=770, decoded_frames=14),
    "kandinsky5": Traits(guided_at_once=False, activations=13, decoded=600, compiles=True),
    "sana": Traits(activations=20, decoded=1250, decoded_frames=4, decodes_float32=True),
    "svd": Traits(activations=5, decoded=1030, decoded_frames=8, is_unet=True),
    "modelscope": Traits(activations=6, decoded=770, is_unet=True),
    "animatediff": Traits(activations=6, decoded=770, decoded_frames=16, is_unet=True),
}


def traits_of(family: str) -> Traits:
    """For a family that is not known: nothing but what always works."""
    return TRAITS.get(family, Traits())
