"""What a class's signature does not say: other classes for the same components, and conditions.

Keyed by class, never by the name of a repository or by its size on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipelines.models.call_roles import last_picture_argument
from pipelines.models.class_facts import Facts
from pipelines.request import Task

T2V, I2V, V2V = Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.VIDEO_TO_VIDEO


@dataclass(frozen=True)
class Sibling:
    """A class that does a task with the very components of another class's repository."""

    task: Task
    class_name: str
    holds: Callable[[Facts], bool] = lambda _facts: True


def _is_expanded(facts: Facts) -> bool:
    """Wan 2.2 TI2V-5B, which has a timestep for each token, so that a picture can be one frame."""
    return bool(facts.setting("expand_timesteps"))


def _has_one_expert(facts: Facts) -> bool:
    """WanVideoToVideoPipeline leaves a second expert out, and has one timestep for all tokens."""
    return not facts.has("transformer_2") and not _is_expanded(facts)


def _takes_any_length(facts: Facts) -> bool:
    """CogVideoX 1.5 refuses clips that make no whole patches in time."""
    return facts.denoiser.get("patch_size_t") is None


def _encodes_pictures(facts: Facts) -> bool:
    return facts.vae.get("_class_name") in ("AutoencoderKLWan", "AutoencoderKLLTX2Video")


LTX2 = (
    Sibling(T2V, "LTX2Pipeline"),
    Sibling(I2V, "LTX2ConditionPipeline"),
    Sibling(V2V, "LTX2ConditionPipeline"),
)
SANA = (
    Sibling(T2V, "SanaVideoPipeline"),
    Sibling(I2V, "SanaImageToVideoPipeline", _encodes_pictures),
)

SIBLINGS: dict[str, tuple[Sibling, ...]] = {
    "WanPipeline": (
        Sibling(I2V, "WanImageToVideoPipeline", _is_expanded),
        Sibling(V2V, "WanVideoToVideoPipeline", _has_one_expert),
    ),
    "WanImageToVideoPipeline": (Sibling(T2V, "WanPipeline", _is_expanded),),
    "WanVideoToVideoPipeline": (Sibling(T2V, "WanPipeline"),),
    # a picture is the first frame of a clip whose other frames are masked
    "WanVACEPipeline": (Sibling(I2V, "WanVACEPipeline"), Sibling(V2V, "WanVACEPipeline")),
    "LTXPipeline": (Sibling(I2V, "LTXImageToVideoPipeline"),),
    "LTXImageToVideoPipeline": (Sibling(T2V, "LTXPipeline"),),
    "LTX2Pipeline": LTX2,
    "LTX2ConditionPipeline": LTX2,
    "LTX2ImageToVideoPipeline": LTX2,
    "SanaVideoPipeline": SANA,
    "SanaImageToVideoPipeline": SANA,
    "CogVideoXPipeline": (Sibling(V2V, "CogVideoXVideoToVideoPipeline", _takes_any_length),),
    "CogVideoXVideoToVideoPipeline": (Sibling(T2V, "CogVideoXPipeline"),),
}

TAKES: dict[str, dict[Literal["last_image", "lead"], bool]] = {
    # as conditions, which are placed at any frame
    "LTXConditionPipeline": {"last_image": True, "lead": True},
    "WanVACEPipeline": {"last_image": True},
}
"""Inputs that the family gives to a class by way of an argument of another name."""


def takes_last_image(facts: Facts) -> bool:
    """Whether the call has an argument for a last picture, and that has an effect.

    Wan's image encoder makes two pictures into one sequence, for which only a denoiser with as many
    positions is made; a picture that is one frame of the latents leaves no place for another."""
    if last_picture_argument(facts.call) is None:
        return False
    sees = facts.denoiser.get("image_dim") is not None
    has_places = facts.denoiser.get("pos_embed_seq_len") is not None
    return not _is_expanded(facts) and (has_places or not sees)


def call_of(facts: Facts, family: str) -> dict[str, float | int | bool | str]:
    """What a family's `call_arguments` needs to know of a checkpoint, from its configurations."""
    if family in ("wan", "skyreels") and facts.denoiser.get("pos_embed_seq_len") is not None:
        return {"needs_last_image": True}
    condition = facts.denoiser.get("image_condition_type")
    if family == "hunyuan" and isinstance(condition, str):
        return {"image_condition_type": condition}
    return {}


def has_only_one_size(facts: Facts) -> bool:
    """Allegro's VAE decodes tiles that overlap by fixed amounts, which few sizes fit."""
    return facts.has_fixed_size or facts.vae.get("_class_name") == "AutoencoderKLAllegro"
