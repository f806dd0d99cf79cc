"""What each family supports and costs: attention backends, step caches, compiling, memory.

The tables follow what diffusers 0.42 does, not what it accepts: they leave out caches that have no
effect and backends that refuse the family's attention masks in the middle of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StepCache = Literal["first_block", "pab"]


@dataclass(frozen=True)
class Traits:
    guided_at_once: bool = True
    """With guidance both halves run as one batch, which doubles the activations."""
    activations: float = 16.0
    """Values held by a step per token and unit of width (`Sizes.hidden`)."""
    decoded: float = 1000.0
    """Values held by decoding per pixel of the frames that are decoded together."""
    decoded_frames: int | None = None
    """Frames that the decoder takes together; None: all."""
    decodes_float32: bool = False
    attention: frozenset[str] = frozenset()
    """Backends besides SDPA that accept this family's masks, or get none."""
    step_cache: StepCache | None = None
    compiles: bool = False
    window_frames: int | None = None
    """Frames that are sampled together, with those that a window sees of the ones before; None:
    all."""
    token: tuple[int, int] | None = None
    """Pixels along a side and frames of one token, where they are less than the steps of the
    family's sizes and frame counts."""
    is_unet: bool = False
    """Most parameters work at a low resolution, and attention stays within a frame."""


NO_MASKS = frozenset({"xformers", "flash", "sage"})

# `activations` and `decoded` were counted on models of real size with fake tensors
# (bench/peak_memory.py); those of hunyuan15, mochi, allegro, latte and kandinsky5, sana's
# activations, and those of the families from kandinsky6 to animatediff_sdxl, are taken from the
# most similar family.
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
    # their attention and step caches were not tried
    "skyreels_df": Traits(
        guided_at_once=False,
        activations=13.5,
        decoded=1250,
        decoded_frames=4,
        decodes_float32=True,
        window_frames=121,
    ),
    # 33 or 37 frames and 19 latent frames of context, most of which are merged
    "helios": Traits(
        guided_at_once=False,
        activations=13.5,
        decoded=1250,
        decoded_frames=4,
        decodes_float32=True,
        window_frames=45,
        token=(16, 4),
    ),
    "framepack": Traits(
        guided_at_once=False,
        activations=10.5,
        decoded=600,
        decoded_frames=73,
        window_frames=49,
        token=(16, 4),
    ),
    "chronoedit": Traits(
        guided_at_once=False,
        activations=13.5,
        decoded=1250,
        decoded_frames=4,
        decodes_float32=True,
    ),
    "lucy": Traits(
        guided_at_once=False,
        activations=13.5,
        decoded=1250,
        decoded_frames=4,
        decodes_float32=True,
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
    "kandinsky6": Traits(guided_at_once=False, activations=13, decoded=600),
    "easyanimate": Traits(activations=12, decoded=900),
    "motif": Traits(guided_at_once=False, activations=12, decoded=1250, decoded_frames=4),
    "cosmos": Traits(guided_at_once=False, activations=13.5, decoded=1250, decoded_frames=4),
    "ltx2_in_context": Traits(activations=15.5, decoded=43),
    "ltx_long": Traits(activations=15.5, decoded=50),
    "pia": Traits(activations=6, decoded=770, is_unet=True),
    "animatediff_sdxl": Traits(activations=6, decoded=770, is_unet=True),
    "sana": Traits(activations=20, decoded=1250, decoded_frames=4, decodes_float32=True),
    "svd": Traits(activations=5, decoded=1030, decoded_frames=8, is_unet=True),
    "modelscope": Traits(activations=6, decoded=770, is_unet=True),
    "animatediff": Traits(activations=6, decoded=770, decoded_frames=16, is_unet=True),
}


def family_traits(family: str) -> Traits:
    """The defaults, which work everywhere, for an unknown family."""
    return TRAITS.get(family, Traits())
