"""Samplers by the names people know, put into a pipeline for one run and taken out again.

Knows diffusers' schedulers and which of them may stand in for which. Does not know families: what
a family offers is in its rules.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from errors import ErrorCode, KinoraError


@dataclass(frozen=True)
class Sampler:
    scheduler: str
    """Its class in diffusers."""
    options: dict[str, Any] = field(default_factory=dict)
    diffusion: bool = True
    flow: bool = False
    """What kinds of models it can sample."""


TRAINED_WITH = (
    "beta_end",
    "beta_schedule",
    "beta_start",
    "num_train_timesteps",
    "prediction_type",
    "rescale_betas_zero_snr",
    "trained_betas",
)

UNCLIPPED = {"clip_sample": False}  # latents reach beyond -1..1, pixels do not

SAMPLERS: dict[str, Sampler] = {
    "ddim": Sampler("DDIMScheduler", UNCLIPPED),
    "euler": Sampler("EulerDiscreteScheduler"),
    "heun": Sampler("HeunDiscreteScheduler", UNCLIPPED),
    "unipc": Sampler("UniPCMultistepScheduler", flow=True),
    "dpm++": Sampler("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}, flow=True),
    "flow-euler": Sampler("FlowMatchEulerDiscreteScheduler", diffusion=False, flow=True),
    "flow-heun": Sampler("FlowMatchHeunDiscreteScheduler", diffusion=False, flow=True),
}


@contextmanager
def sampled_with(pipe: Any, name: str | None) -> Iterator[None]:
    """The model's own scheduler waits untouched while another one works."""
    if name is None:
        yield
        return
    own = pipe.scheduler
    pipe.scheduler = named(own, name)
    try:
        yield
    finally:
        pipe.scheduler = own


def named(own: Any, name: str) -> Any:
    """The sampler of that name, set up like the model's own scheduler."""
    sampler = SAMPLERS.get(name)
    if sampler is None or not _goes_with(sampler, own):
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            f"This model cannot be sampled with “{name}”. Leave the sampler at its default.",
            details={"field": "sampler"},
        )
    options = dict(sampler.options)
    if is_flow(own):
        shift = own.config.get("flow_shift", own.config.get("shift", 1.0))
        options |= (
            {"shift": shift}
            if not sampler.diffusion
            else {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
            | {"flow_shift": shift}
        )
    return _like(own, _class_of(sampler.scheduler), options)


def as_the_card_says(own: Any, wanted: Mapping[str, Any]) -> Any:
    """The scheduler a card asks for: `class`, and settings that differ from the repository's."""
    options = dict(wanted)
    name = options.pop("class", type(own).__name__)
    scheduler_class = _class_of(str(name))
    if scheduler_class is None:
        raise KinoraError(
            ErrorCode.MODEL_LOAD, f"The card asks for a scheduler that is unknown here: {name}."
        )
    return _like(own, scheduler_class, options)


def _like(own: Any, scheduler_class: Any, options: Mapping[str, Any]) -> Any:
    """As `from_config` does it, which would let go of values that are the default of their own
    class: what the model was trained with is no matter of defaults."""
    accepted = set(inspect.signature(scheduler_class.__init__).parameters)
    config = {k: v for k, v in own.config.items() if k in accepted or k.startswith("_")}
    trained = {k: config[k] for k in TRAINED_WITH if k in config}
    return scheduler_class.from_config(config, **(trained | dict(options)))


def is_flow(scheduler: Any) -> bool:
    return (
        type(scheduler).__name__.startswith("FlowMatch")
        or scheduler.config.get("prediction_type") == "flow_prediction"
    )


def _goes_with(sampler: Sampler, own: Any) -> bool:
    if is_flow(own):  # their `compatibles` are empty, or name diffusion's
        return sampler.flow
    names = {type(own).__name__, *(each.__name__ for each in own.compatibles)}
    return sampler.diffusion and sampler.scheduler in names


def _class_of(name: str) -> Any:
    import diffusers

    found = getattr(diffusers, name, None)
    return (
        found if isinstance(found, type) and issubclass(found, diffusers.SchedulerMixin) else None
    )
