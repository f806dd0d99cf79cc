"""Computes the predicted clean latents (x0) of one step, for every scheduler and prediction type.

All schedulers add noise as `alpha * x0 + sigma * noise`; they differ in where alpha and sigma are
stored and in what the model predicts.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from pipelines.engine.patching import original_class

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
    """The index that the next step will use, found as the scheduler itself does; None for
    schedulers without step_index."""
    if not hasattr(scheduler, "step_index"):
        return None
    if scheduler.step_index is not None:
        return int(scheduler.step_index)
    if getattr(scheduler, "begin_index", None) is not None:
        return int(scheduler.begin_index)
    if isinstance(timestep, torch.Tensor):
        timestep = timestep.to(scheduler.timesteps.device)
    find = getattr(scheduler, "index_for_timestep", None)  # HeliosDMDScheduler has none
    found = find(timestep) if find else None
    return _nearest_index(scheduler, timestep) if found is None else int(found)


def _nearest_index(scheduler: Any, timestep: Any) -> int:
    value = torch.as_tensor(timestep).flatten()[0].float()
    return int((scheduler.timesteps.float() - value).abs().argmin())


def x0_estimate(
    state: StepState, model_output: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor | None:
    """x0 in float32, of the shape of `sample`; None where an unknown scheduler does not reveal it,
    as no preview is better than a wrong one.

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
    elif scheduler.config.get("prediction_type") == "flow_prediction" and _has_sigmas(state):
        x0 = sample - _sigma(state).to(sample) * output
    else:
        return step_to_zero(state, output, sample)
    if x0 is not None and name in CLIPPING and scheduler.config.clip_sample:
        reach = scheduler.config.get("clip_sample_range", 1.0)
        x0 = x0.clamp(-reach, reach)
    return x0


HISTORY = ("model_outputs", "derivatives", "ets", "prev_derivative", "cur_sample")
"""Attributes of multistep schedulers, whose step to zero would depend on earlier steps."""


def step_to_zero(
    state: StepState, output: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor | None:
    """What an unknown scheduler makes of this step when its next noise level is zero: the same as
    in its last step, whose result a pipeline decodes.

    Only for one-step schedulers over a list of sigmas that ends at zero; None for others.
    """
    scheduler, index = state.scheduler, state.index
    if index is None or not _has_sigmas(state) or any(hasattr(scheduler, n) for n in HISTORY):
        return None
    if getattr(scheduler, "order", 1) != 1:
        return None
    if index + 1 >= len(scheduler.sigmas) or float(scheduler.sigmas[-1]) != 0.0:
        return None
    twin = copy.deepcopy(scheduler)
    twin.__class__ = original_class(scheduler)  # the watched class would count this step
    twin.sigmas[index + 1] = 0.0
    twin._step_index = index
    try:
        x0 = twin.step(output, state.timestep, sample, return_dict=False)[0]
    except Exception:  # whatever an unknown scheduler raises: it takes other arguments
        return None
    return x0.float() if x0.shape == sample.shape and bool(x0.isfinite().all()) else None


def _has_sigmas(state: StepState) -> bool:
    sigmas = getattr(state.scheduler, "sigmas", None)
    return isinstance(sigmas, torch.Tensor) and sigmas.ndim == 1


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
