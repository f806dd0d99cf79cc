"""The clean latents (x0) that a model means at one step, whatever its scheduler and prediction.

Every scheduler noises as `alpha * x0 + sigma * noise`; they differ in where alpha and sigma are
kept and in what the model predicts. Knows diffusers' schedulers. Does not know pipelines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

EXPLODING = {
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "LMSDiscreteScheduler",
}
"""alpha is always 1: the noise grows and the picture stays."""

FLOW = {
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "LTXEulerAncestralRFScheduler",
}

BY_TIMESTEP = {
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "LCMScheduler",
    "PNDMScheduler",
    "TCDScheduler",
}
"""alpha and sigma are looked up by the timestep: `alphas_cumprod[timestep]`."""

CLIPPING = {
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "HeunDiscreteScheduler",
    "LCMScheduler",
}
"""Those that heed `clip_sample`; CogVideoX's have the setting and ignore it."""


@dataclass(frozen=True)
class StepState:
    """Where a scheduler stands before it takes a step: the step itself moves it on."""

    scheduler: Any
    timestep: Any
    index: int | None
    """Into its sigmas; None for those that have no step_index."""
    second_order: bool
    """The corrector's evaluation of Heun and its like."""
    per_token_timesteps: torch.Tensor | None = None


def moment(
    scheduler: Any, timestep: Any, per_token_timesteps: torch.Tensor | None = None
) -> StepState:
    """To be asked before `scheduler.step`; changes nothing."""
    return StepState(
        scheduler=scheduler,
        timestep=timestep,
        index=step_index(scheduler, timestep),
        second_order=not getattr(scheduler, "state_in_first_order", True),
        per_token_timesteps=per_token_timesteps,
    )


def step_index(scheduler: Any, timestep: Any) -> int | None:
    """The index its next step will use, found as the scheduler itself finds it."""
    if not hasattr(scheduler, "step_index"):
        return None
    if scheduler.step_index is not None:
        return int(scheduler.step_index)
    if scheduler.begin_index is not None:
        return int(scheduler.begin_index)
    if isinstance(timestep, torch.Tensor):
        timestep = timestep.to(scheduler.timesteps.device)
    return int(scheduler.index_for_timestep(timestep))


def x0_estimate(
    at: StepState, model_output: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor | None:
    """None for a scheduler this module does not know: better no preview than a wrong one."""
    scheduler, name = at.scheduler, type(at.scheduler).__name__
    output, sample = model_output.float(), sample.float()
    if name in FLOW:
        x0 = sample - _flow_distance(at, sample) * output
    elif hasattr(scheduler, "precondition_outputs"):  # the EDM family
        x0 = scheduler.precondition_outputs(sample, output, _sigma(at).to(sample))
    elif name in EXPLODING:
        sigma = _sigma(at).to(sample)
        x0 = _from_prediction(at, output, sample, torch.ones_like(sigma), sigma)
    elif hasattr(scheduler, "_sigma_to_alpha_sigma_t"):  # UniPC, the DPM-Solvers, DEIS, SA
        alpha, sigma = scheduler._sigma_to_alpha_sigma_t(_sigma(at))
        x0 = _from_prediction(at, output, sample, alpha.to(sample), sigma.to(sample))
    elif name in BY_TIMESTEP:
        alpha_squared = scheduler.alphas_cumprod[int(at.timestep)].to(sample)
        x0 = _from_prediction(at, output, sample, alpha_squared.sqrt(), (1 - alpha_squared).sqrt())
    else:
        return None
    if x0 is not None and name in CLIPPING and scheduler.config.clip_sample:
        reach = scheduler.config.get("clip_sample_range", 1.0)
        x0 = x0.clamp(-reach, reach)
    return x0


def _from_prediction(
    at: StepState,
    output: torch.Tensor,
    sample: torch.Tensor,
    alpha: torch.Tensor,
    sigma: torch.Tensor,
) -> torch.Tensor | None:
    match at.scheduler.config.get("prediction_type", "epsilon"):
        case "epsilon":
            return (sample - sigma * output) / alpha
        case "v_prediction":  # defined on the unit circle, onto which the sample is scaled
            size = (alpha**2 + sigma**2).sqrt()
            return (alpha * sample / size - sigma * output) / size
        case "flow_prediction":
            return sample - _sigma(at).to(sample) * output
        case "sample" | "original_sample":
            return output
    return None


def _flow_distance(at: StepState, sample: torch.Tensor) -> torch.Tensor:
    """How far it still is to the clean end, along the velocity the model predicts."""
    if at.per_token_timesteps is not None:
        config = at.scheduler.config
        distance = (at.per_token_timesteps / config.num_train_timesteps).to(sample)[..., None]
        # given a time for every token, FlowMatchEuler goes with the output and not against it
        return distance if config.get("stochastic_sampling") else -distance
    sigma = _sigma(at).to(sample)
    # Mochi counts the other way: its sigma is the share of the picture and its velocity leads there
    return sigma - 1 if at.scheduler.config.get("invert_sigmas") else sigma


def _sigma(at: StepState) -> torch.Tensor:
    index = at.index or 0
    if at.second_order and hasattr(at.scheduler, "sigmas_interpol"):
        # between two sigmas; the ancestral one counts them from the step before
        ancestral = "Ancestral" in type(at.scheduler).__name__
        return at.scheduler.sigmas_interpol[index - 1 if ancestral else index]
    return at.scheduler.sigmas[index]
