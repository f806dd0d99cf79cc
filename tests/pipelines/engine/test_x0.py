"""x0_estimate against its definition: the picture that was noised comes back at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import diffusers
import pytest
import torch

from pipelines.engine.x0 import step_state, step_to_zero, x0_estimate

SHAPE = (2, 4, 3, 8, 8)
STEPS = 5


@dataclass(frozen=True)
class Kind:
    name: str
    prediction: str = "flow"
    options: tuple[tuple[str, Any], ...] = ()

    def build(self) -> Any:
        options = dict(self.options)
        if self.prediction != "flow":
            options["prediction_type"] = self.prediction
        scheduler: Any = getattr(diffusers, self.name)(**options)
        scheduler.set_timesteps(STEPS)
        return scheduler

    def __str__(self) -> str:
        extra = [str(value) for _, value in self.options if value is not True]
        return "-".join([self.name.removesuffix("Scheduler"), self.prediction, *extra])


def with_options(name: str, predictions: tuple[str, ...], **options: Any) -> list[Kind]:
    return [Kind(name, prediction, tuple(options.items())) for prediction in predictions]


USUAL = ("epsilon", "v_prediction", "sample")
KINDS = [
    # flow matching: LTX, Wan, HunyuanVideo, Kandinsky, Sana ...
    *with_options("FlowMatchEulerDiscreteScheduler", ("flow",), shift=7.0),
    *with_options("FlowMatchHeunDiscreteScheduler", ("flow",), shift=3.0),
    *with_options("FlowMatchLCMScheduler", ("flow",)),
    *with_options(
        "UniPCMultistepScheduler", ("flow_prediction",), use_flow_sigmas=True, flow_shift=3.0
    ),
    *with_options(
        "DPMSolverMultistepScheduler", ("flow_prediction",), use_flow_sigmas=True, flow_shift=8.0
    ),
    # diffusion: CogVideoX, SVD, ModelScope, AnimateDiff, Allegro, Latte
    *with_options("DDIMScheduler", USUAL, clip_sample=False),
    *with_options(
        "CogVideoXDDIMScheduler",
        ("v_prediction",),
        rescale_betas_zero_snr=True,
        snr_shift_scale=1.0,
    ),
    *with_options("CogVideoXDPMScheduler", ("v_prediction",), rescale_betas_zero_snr=True),
    *with_options("EulerDiscreteScheduler", USUAL),
    *with_options(
        "EulerDiscreteScheduler",
        ("v_prediction",),
        timestep_type="continuous",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
    ),
    *with_options("EulerAncestralDiscreteScheduler", ("epsilon", "v_prediction")),
    *with_options("HeunDiscreteScheduler", USUAL, clip_sample=False),
    *with_options("UniPCMultistepScheduler", USUAL),
    *with_options("DPMSolverMultistepScheduler", USUAL, use_karras_sigmas=True),
    *with_options("DPMSolverSinglestepScheduler", ("epsilon",)),
    *with_options("PNDMScheduler", ("epsilon", "v_prediction"), skip_prk_steps=True),
    *with_options("LCMScheduler", ("epsilon",)),
    *with_options("DDPMScheduler", USUAL, clip_sample=False),
    *with_options("EDMEulerScheduler", ("epsilon", "v_prediction")),
    *with_options("EDMDPMSolverMultistepScheduler", ("epsilon",)),
]


def share(scheduler: Any, t: torch.Tensor, picture: float, noise: float) -> torch.Tensor:
    """How the scheduler itself noises, so that the estimate is not checked against our formulas."""
    clean, noisy = torch.full((1, 1), picture), torch.full((1, 1), noise)
    add_noise = getattr(scheduler, "add_noise", None) or scheduler.scale_noise
    if add_noise.__name__ == "scale_noise":
        return add_noise(clean, t[None], noisy).squeeze()
    return add_noise(clean, noisy, t[None]).squeeze()


def perfect(
    scheduler: Any,
    prediction: str,
    x0: torch.Tensor,
    noise: torch.Tensor,
    alpha: torch.Tensor,
    sigma: torch.Tensor,
) -> torch.Tensor:
    """What a model that knows the picture would say."""
    if hasattr(scheduler, "precondition_outputs"):  # EDM: x0 = skip * sample + out * F
        data = scheduler.config.sigma_data
        skip = data**2 / (sigma**2 + data**2)
        out = sigma * data / (sigma**2 + data**2).sqrt()
        out = -out if prediction == "v_prediction" else out
        return (x0 - skip * (x0 + sigma * noise)) / out
    size = (alpha**2 + sigma**2).sqrt()
    return {
        "epsilon": noise,
        "v_prediction": (alpha * noise - sigma * x0) / size,
        "sample": x0,
        "flow": noise - x0,
        "flow_prediction": noise - x0,
    }[prediction]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_picture_that_was_noised_comes_back_at_every_step(kind: Kind) -> None:
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(SHAPE, generator=generator)
    noise = torch.randn(SHAPE, generator=generator)
    scheduler, twin = kind.build(), kind.build()
    seen = 0
    for t in scheduler.timesteps:
        alpha, sigma = share(twin, t, 1.0, 0.0), share(twin, t, 0.0, 1.0)
        twin._step_index = None
        sample = alpha * x0 + sigma * noise
        output = perfect(scheduler, kind.prediction, x0, noise, alpha, sigma)
        scheduler.scale_model_input(sample, t) if hasattr(scheduler, "scale_model_input") else None

        at = step_state(scheduler, t)
        step(scheduler, output, t, sample)
        estimate = x0_estimate(at, output, sample)

        assert estimate is not None
        if alpha > 0.01:  # below that a float holds too little of the picture
            assert torch.allclose(estimate, x0, atol=2e-3), (t, (estimate - x0).abs().max())
            seen += 1
    assert seen >= STEPS - 1


def step(scheduler: Any, output: torch.Tensor, t: torch.Tensor, sample: torch.Tensor) -> Any:
    if type(scheduler).__name__ == "CogVideoXDPMScheduler":
        return scheduler.step(output, None, t, None, sample)
    return scheduler.step(output, t, sample)


SAYS_IT = [kind for kind in KINDS if kind.name.startswith(("DDIM", "Euler", "Heun", "EDMEuler"))]


@pytest.mark.parametrize("kind", SAYS_IT, ids=str)
def test_it_agrees_with_the_schedulers_that_say_x0_themselves(kind: Kind) -> None:
    """Whatever the model says, through a whole run, also where each step is taken twice."""
    scheduler, generator = kind.build(), torch.Generator().manual_seed(0)
    sample = torch.randn(SHAPE, generator=generator) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scheduler.scale_model_input(sample, t)
        output = torch.randn(SHAPE, generator=generator)
        at = step_state(scheduler, t)
        stepped = scheduler.step(output, t, sample)
        estimate = x0_estimate(at, output, sample)
        assert estimate is not None
        said = stepped.pred_original_sample
        assert torch.allclose(estimate, said, rtol=1e-4, atol=1e-4 * float(said.abs().max()))
        sample = stepped.prev_sample


def test_where_the_noise_level_differs_from_token_to_token_each_has_its_own() -> None:
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(STEPS)
    x0, noise = torch.randn(1, 6, 4), torch.randn(1, 6, 4)
    timesteps = torch.tensor([[0.0, 0.0, 300.0, 300.0, 900.0, 900.0]])
    sigma = (timesteps / 1000)[..., None]
    at = step_state(scheduler, scheduler.timesteps[0], timesteps)
    sample = (1 - sigma) * x0 + sigma * noise
    estimate = x0_estimate(at, x0 - noise, sample)  # here its velocity leads to the picture
    assert estimate is not None
    assert torch.allclose(estimate, x0, atol=1e-6)


def test_mochi_counts_the_other_way() -> None:
    """Its sigma grows from noise to picture, and its velocity points to the picture."""
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    scheduler.set_timesteps(sigmas=[1.0, 0.7, 0.2])
    x0, noise = torch.randn(SHAPE), torch.randn(SHAPE)
    sample = noise
    for t in scheduler.timesteps:
        at = step_state(scheduler, t)
        sample_now, sample = sample, scheduler.step(x0 - noise, t, sample).prev_sample
        estimate = x0_estimate(at, x0 - noise, sample_now)
        assert estimate is not None
        assert torch.allclose(estimate, x0, atol=1e-5)
    assert torch.allclose(sample, x0, atol=1e-5)


def test_a_scheduler_that_keeps_its_pictures_in_range_is_believed() -> None:
    scheduler: Any = diffusers.DDIMScheduler(clip_sample=True, clip_sample_range=1.0)
    scheduler.set_timesteps(STEPS)
    sample, output = torch.randn(SHAPE), torch.randn(SHAPE)
    t = scheduler.timesteps[0]
    at = step_state(scheduler, t)
    said = scheduler.step(output, t, sample).pred_original_sample
    estimate = x0_estimate(at, output, sample)
    assert estimate is not None
    assert torch.allclose(estimate, said)
    assert estimate.abs().max() <= 1


def test_half_precision_is_estimated_in_full_precision() -> None:
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(STEPS)
    at = step_state(scheduler, scheduler.timesteps[0])
    estimate = x0_estimate(at, torch.ones(SHAPE).bfloat16(), torch.ones(SHAPE).bfloat16())
    assert estimate is not None
    assert estimate.dtype == torch.float32


def test_an_unknown_scheduler_gives_no_estimate_rather_than_a_wrong_one() -> None:
    scheduler: Any = diffusers.IPNDMScheduler()
    scheduler.set_timesteps(STEPS)
    at = step_state(scheduler, scheduler.timesteps[0])
    assert x0_estimate(at, torch.zeros(SHAPE), torch.zeros(SHAPE)) is None


ONE_STEP = [
    kind
    for kind in KINDS
    if kind.name.startswith(("FlowMatchEuler", "FlowMatchLCM", "Euler", "EDMEuler"))
]


@pytest.mark.parametrize("kind", ONE_STEP, ids=str)
def test_a_step_to_zero_is_the_estimate_of_every_one_step_scheduler_we_know(kind: Kind) -> None:
    """Which is why it is believed of those that we do not know."""
    scheduler, generator = kind.build(), torch.Generator().manual_seed(0)
    for t in scheduler.timesteps:
        sample = torch.randn(SHAPE, generator=generator)
        output = torch.randn(SHAPE, generator=generator)
        scheduler.scale_model_input(sample, t) if hasattr(scheduler, "scale_model_input") else None
        at = step_state(scheduler, t)
        scheduler.step(output, t, sample)
        by_formula, by_step = x0_estimate(at, output, sample), step_to_zero(at, output, sample)
        assert by_formula is not None and by_step is not None
        scale = max(1.0, float(by_formula.abs().max()))
        assert torch.allclose(by_step, by_formula, atol=1e-5 * scale)


@pytest.mark.parametrize("name", ["FlowMapEulerDiscreteScheduler", "MiniMaxH3Scheduler"])
def test_an_unknown_one_step_scheduler_reveals_the_picture(name: str) -> None:
    """AnyFlow's and MiniMax's, which no table here names: the last step's result is the end."""
    scheduler: Any = getattr(diffusers, name)()
    scheduler.set_timesteps(STEPS)
    sample, x0 = torch.randn(SHAPE), None
    for t in scheduler.timesteps:
        output = torch.randn(SHAPE)
        at = step_state(scheduler, t)
        stepped = scheduler.step(output, t, sample, return_dict=False)[0]
        x0 = x0_estimate(at, output, sample)
        assert x0 is not None
        sample = stepped
    assert x0 is not None
    assert torch.allclose(x0, sample, atol=1e-5)


MULTISTEP = ["DPMSolverMultistepScheduler", "DEISMultistepScheduler", "HeunDiscreteScheduler"]


@pytest.mark.parametrize("name", [*MULTISTEP, "FlowMatchHeunDiscreteScheduler", "IPNDMScheduler"])
def test_a_step_to_zero_that_would_depend_on_earlier_steps_is_not_taken(name: str) -> None:
    scheduler: Any = getattr(diffusers, name)()
    scheduler.set_timesteps(STEPS)
    at = step_state(scheduler, scheduler.timesteps[0])
    assert step_to_zero(at, torch.zeros(SHAPE), torch.zeros(SHAPE)) is None


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # of diffusers itself
def test_a_scheduler_without_a_search_is_read_by_its_timesteps() -> None:
    """Helios' distilled one neither counts its steps nor finds a timestep."""
    scheduler: Any = diffusers.HeliosDMDScheduler(stages=1)
    scheduler.set_timesteps(STEPS)
    assert not hasattr(scheduler, "index_for_timestep")
    x0, noise = torch.randn(SHAPE), torch.randn(SHAPE)
    for place, t in enumerate(scheduler.timesteps):
        at = step_state(scheduler, t)
        assert at.index == place
        sigma = scheduler.sigmas[place].float()
        estimate = x0_estimate(at, noise - x0, (1 - sigma) * x0 + sigma * noise)
        assert estimate is not None
        assert torch.allclose(estimate, x0, atol=1e-5)


def test_looking_changes_nothing() -> None:
    scheduler: Any = diffusers.HeunDiscreteScheduler()
    scheduler.set_timesteps(STEPS)
    before = dict(vars(scheduler))
    step_state(scheduler, scheduler.timesteps[0])
    assert vars(scheduler) == before
