"""Computes the predicted clean latents (x0) of one step, for every scheduler and prediction type.

All schedulers add noise as `alpha * x0 + sigma * noise`; they differ in where alpha and sigma are
stored and in what the model predicts.
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
"""alpha is 1 (variance exploding): only the noise grows."""

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
"""alpha and sigma come from `alphas_cumprod[timestep]`."""

CLIPPING = {
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "HeunDiscreteScheduler",
    "LCMScheduler",
}
"""Schedulers that apply `clip_sample`; CogVideoX's have the setting and ignore it."""


@dataclass(frozen=True)
class StepState:
    """The position of a scheduler before a step, which advances it."""

    scheduler: Any
    timestep: Any
    index: int | None
    """The index into its sigmas; None for schedulers without step_index."""
    second_order: bool
    """The second evaluation of a second-order scheduler such as Heun."""
    per_token_timesteps: torch.Tensor | None = None


def step_state(
    scheduler: Any, timestep: Any, per_token_timesteps: torch.Tensor | None = None
) -> StepState:
    """The state before `scheduler.step`, which it leaves unchanged."""
    return StepState(
        scheduler=scheduler,
        timestep=timestep,
        index=step_index(scheduler, timestep),
        second_order=not getattr(scheduler, "state_in_first_order", True),
        per_token_timesteps=per_token_timesteps,
    )


def step_index(scheduler: Any, timestep: Any) -> int | None:
    """The index that the next step will use, found as the scheduler itself does."""
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
    state: StepState, model_output: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor | None:
    """x0 in float32, of the shape of `sample`; None for an unknown scheduler, as no preview is
    better than a wrong one.

    `model_output` and `sample` are the arguments of `scheduler.step`.
    """
    scheduler, name = state.scheduler, type(state.scheduler).__name__
    output, sample = model_output.float(), sample.float()
    if name in FLOW:
        x0 = sample - _flow_distance(state, sample) * output
    elif hasattr(scheduler, "precondition_outputs"):  # EDM (arXiv 2206.00364)
        x0 = scheduler.precondition_outputs(sample, output, _sigma(state).to(sample))
    elif name in EXPLODING:
        sigma = _sigma(state).to(sample)
        x0 = _from_prediction(state, output, sample, torch.ones_like(sigma), sigma)
    elif hasattr(scheduler, "_sigma_to_alpha_sigma_t"):  # UniPC, the DPM-Solvers, DEIS, SA
        alpha, sigma = scheduler._sigma_to_alpha_sigma_t(_sigma(state))
        x0 = _from_prediction(state, output, sample, alpha.to(sample), sigma.to(sample))
    elif name in BY_TIMESTEP:
        # DDIM's alphas_cumprod is alpha squared
        alpha_squared = scheduler.alphas_cumprod[int(state.timestep)].to(sample)
        x0 = _from_prediction(
            state, output, sample, alpha_squared.sqrt(), (1 - alpha_squared).sqrt()
        )
    else:
        return None
    if x0 is not None and name in CLIPPING and scheduler.config.clip_sample:
        reach = scheduler.config.get("clip_sample_range", 1.0)
        x0 = x0.clamp(-reach, reach)
    return x0


def _from_prediction(
    state: StepState,
    output: torch.Tensor,
    sample: torch.Tensor,
    alpha: torch.Tensor,
    sigma: torch.Tensor,
) -> torch.Tensor | None:
    match state.scheduler.config.get("prediction_type", "epsilon"):
        case "epsilon":
            return (sample - sigma * output) / alpha
        case "v_prediction":  # arXiv 2202.00512; defined for alpha**2 + sigma**2 == 1, so scaled
            size = (alpha**2 + sigma**2).sqrt()
            return (alpha * sample / size - sigma * output) / size
        case "flow_prediction":
            return sample - _sigma(state).to(sample) * output
        case "sample" | "original_sample":
            return output
    return None


def _flow_distance(state: StepState, sample: torch.Tensor) -> torch.Tensor:
    """The factor of the predicted velocity that leads from `sample` to x0."""
    if state.per_token_timesteps is not None:
        config = state.scheduler.config
        distance = (state.per_token_timesteps / config.num_train_timesteps).to(sample)[..., None]
        # with per-token timesteps FlowMatchEuler adds the output instead of subtracting it
        return distance if config.get("stochastic_sampling") else -distance
    sigma = _sigma(state).to(sample)
    # Mochi inverts the schedule: its sigma is the share of x0, and its velocity points there
    return sigma - 1 if state.scheduler.config.get("invert_sigmas") else sigma


def _sigma(state: StepState) -> torch.Tensor:
    index = state.index or 0
    if state.second_order and hasattr(state.scheduler, "sigmas_interpol"):
        # KDPM2 evaluates between two sigmas; the ancestral one indexes them by the step before
        ancestral = "Ancestral" in type(state.scheduler).__name__
        return state.scheduler.sigmas_interpol[index - 1 if ancestral else index]
    return state.scheduler.sigmas[index]
