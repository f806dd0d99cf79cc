"""A tiny model of a class, from its name alone."""

from __future__ import annotations

from typing import Any

from tests.zoo import parts
from tests.zoo.any.denoisers import DENOISERS
from tests.zoo.any.encoders import ENCODERS
from tests.zoo.any.others import OTHERS

TINY = DENOISERS | OTHERS
STANDS_FOR = {
    "KarrasDiffusionSchedulers": "DDIMScheduler",
    "SchedulerMixin": "FlowMatchEulerDiscreteScheduler",
    "BaseGuidance": "AdaptiveProjectedGuidance",
}
"""Annotations that name no class one could make, and what real repositories have there."""


BEGIN_AT_ZERO = ("MotionAdapter", "Kandinsky5Transformer3DModel")
"""Layers that begin at zero leave no motion at all, or let the text change nothing."""


def make(name: str, **changes: Any) -> Any:
    """A tiny one of that class of diffusers or transformers."""
    name = STANDS_FOR.get(name, name)
    if name in ENCODERS:
        return ENCODERS[name](**changes)
    of = find(name)
    made = of(**TINY.get(name, {}) | changes)
    if name in BEGIN_AT_ZERO:
        _move(made)
    elif name.startswith("AutoencoderKLLTX"):
        parts.spread_latent_statistics(made)
    return made.eval() if hasattr(made, "eval") else made


def find(name: str) -> Any:
    """Also of those that only one pipeline module has."""
    import diffusers
    from diffusers import guiders
    from diffusers.pipelines import ltx, ltx2

    for holder in (diffusers, ltx2, ltx, guiders):
        if (found := getattr(holder, name, None)) is not None:
            return found
    raise KeyError(f"nothing makes a {name} here: add it to tests/zoo/any/models.py")


def is_known(name: str) -> bool:
    name = STANDS_FOR.get(name, name)
    return name in ENCODERS or name in TINY or "Scheduler" in name or "Guidance" in name


def _move(model: Any) -> None:
    import torch

    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
