"""Replaces a pipeline's scheduler for one run by a sampler with a well-known name.

Which samplers a family offers is in its rules (`pipelines/models/rules.py`).
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
    """The class in diffusers."""
    options: dict[str, Any] = field(default_factory=dict)
    diffusion: bool = True
    flow: bool = False
    """Whether it can sample diffusion and flow-matching models."""


TRAINING_CONFIG = (
    "beta_end",
    "beta_schedule",
    "beta_start",
    "num_train_timesteps",
    "prediction_type",
    "rescale_betas_zero_snr",
    "trained_betas",
)

UNCLIPPED = {"clip_sample": False}
"""The default clips to -1..1, which is right for pixels and wrong for latents."""

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
def use_sampler(pipe: Any, name: str | None) -> Iterator[None]:
    """Uses the named sampler while the block runs; None: the model's own scheduler. Raises as
    `make_scheduler`."""
    if name is None:
        yield
        return
    own = pipe.scheduler
    pipe.scheduler = make_scheduler(own, name)
    try:
        yield
    finally:
        pipe.scheduler = own


def make_scheduler(own: Any, name: str) -> Any:
    """The named sampler, configured like the model's own scheduler `own`, which stays unchanged.

    Raises KinoraError(INVALID_INPUT) for an unknown name and for one that does not fit the model.
    """
    sampler = SAMPLERS.get(name)
    if sampler is None or not _is_compatible(sampler, own):
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            f"This model cannot be sampled with “{name}”. Leave the sampler at its default.",
            details={"field": "sampler"},
        )
    options = dict(sampler.options)
    if is_flow(own):
        shift = own.config.get("flow_shift", own.config.get("shift", 1.0))
        # the shift moves the noise levels towards the beginning; large models depend on theirs
        options |= (
            {"shift": shift}
            if not sampler.diffusion
            else {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
            | {"flow_shift": shift}
        )
    return _from_config(own, _scheduler_class(sampler.scheduler), options)


def apply_card_scheduler(own: Any, settings: Mapping[str, Any]) -> Any:
    """The scheduler of a card: the repository's, with another `class` or other settings.

    Raises KinoraError(MODEL_LOAD) for an unknown class.
    """
    options = dict(settings)
    name = options.pop("class", type(own).__name__)
    scheduler_class = _scheduler_class(str(name))
    if scheduler_class is None:
        raise KinoraError(
            ErrorCode.MODEL_LOAD, f"The model card names an unknown scheduler: {name}."
        )
    return _from_config(own, scheduler_class, options)


def _from_config(own: Any, scheduler_class: Any, options: Mapping[str, Any]) -> Any:
    """`from_config` of another class, with the training configuration kept.

    diffusers marks values that equal their class's default as unset and uses the new class's
    default instead, which may differ: beta_start of 0.0001 instead of 0.00085, for example. So
    those that the model was trained with are passed explicitly.
    """
    accepted = set(inspect.signature(scheduler_class.__init__).parameters)
    config = {k: v for k, v in own.config.items() if k in accepted or k.startswith("_")}
    trained = {k: config[k] for k in TRAINING_CONFIG if k in config}
    return scheduler_class.from_config(config, **(trained | dict(options)))


def is_flow(scheduler: Any) -> bool:
    """Whether the scheduler samples a flow-matching model."""
    return (
        type(scheduler).__name__.startswith("FlowMatch")
        or scheduler.config.get("prediction_type") == "flow_prediction"
    )


def _is_compatible(sampler: Sampler, own: Any) -> bool:
    if is_flow(own):  # `compatibles` of flow schedulers is empty, or lists diffusion schedulers
        return sampler.flow
    names = {type(own).__name__, *(each.__name__ for each in own.compatibles)}
    return sampler.diffusion and sampler.scheduler in names


def _scheduler_class(name: str) -> Any:
    import diffusers

    found = getattr(diffusers, name, None)
    return (
        found if isinstance(found, type) and issubclass(found, diffusers.SchedulerMixin) else None
    )
