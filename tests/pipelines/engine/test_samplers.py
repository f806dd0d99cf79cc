"""Named samplers: what was asked for is what ran, and afterwards nothing is different."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from errors import ErrorCode, KinoraError
from pipelines.engine.decode import decode
from pipelines.engine.denoise import SampledLatents, Step, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.engine.samplers import SAMPLERS, apply_card_scheduler, make_scheduler, use_sampler
from pipelines.models.cards import load_cards
from pipelines.models.fit import Limits, fit
from pipelines.models.rules import RULES
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import Settings
from tests.zoo import Specimen, specimens, write_card

CLASSES = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "unipc": "UniPCMultistepScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "flow-euler": "FlowMatchEulerDiscreteScheduler",
    "flow-heun": "FlowMatchHeunDiscreteScheduler",
}
DEFAULTS = {("sana", "i2v"): "FlowMatchEulerDiscreteScheduler"}
"""Where the family itself does not sample with the repository's scheduler."""
STEPS = 4


class Nobody:
    def cancelled(self) -> bool:
        return False

    def finish_now(self) -> bool:
        return False


@cache
def zoo() -> dict[str, Specimen]:
    """The first specimen of each family that offers samplers."""
    found: dict[str, Specimen] = {}
    for specimen in specimens():
        if RULES[specimen.card["family"]].samplers:
            found.setdefault(specimen.card["family"], specimen)
    return found


def offers() -> Iterator[Any]:
    for family, specimen in zoo().items():
        for task in specimen.card["tasks"]:
            for name in RULES[family].samplers:
                yield pytest.param((family, task, name), id=f"{family}-{task}-{name}")


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PipelineManager]:
    managers: dict[str, PipelineManager] = {}
    for family, specimen in zoo().items():
        folder = tmp_path_factory.mktemp(family)
        torch.manual_seed(0)
        specimen.build(folder / "repo")
        write_card(specimen, folder / "cards", folder / "repo")
        settings = Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue]
            data_dir=folder / "data",
            models_dir=folder / "cards",
            torch_dtype="float32",
            previews=False,
        )
        managers[family] = PipelineManager(load_cards(folder / "cards"), settings)
    return managers


@pytest.fixture(scope="module")
def untouched() -> dict[tuple[str, str], torch.Tensor]:
    """What each makes before any other sampler was near it."""
    return {}


def picture(n: int, size: tuple[int, int]) -> Image.Image:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    return Image.fromarray(np.stack([(x * 9 + n) % 256, y * 4 % 256, x % 256], -1).astype(np.uint8))


def fitted(loaded: Loaded, sampler: str | None) -> FittedRequest:
    asked: dict[str, Any] = {"prompt": "a dog", "seed": 3, "sampler": sampler}
    asked["num_inference_steps"] = STEPS
    if loaded.task is Task.IMAGE_TO_VIDEO:
        asked["image"] = "0" * 64
    if loaded.task is Task.VIDEO_TO_VIDEO:
        asked |= {"video": "0" * 64, "strength": 0.5}
    return fit(GenerationRequest.model_validate(asked), loaded.card, Limits())


def run(
    loaded: Loaded, sampler: str | None = None, told: list[Step] | None = None
) -> tuple[SampledLatents, FittedRequest]:
    request = fitted(loaded, sampler)
    size = (request.width, request.height)
    clip = tuple(picture(n, size) for n in range(request.num_frames))
    inputs = Inputs(
        image=clip[0] if loaded.task is Task.IMAGE_TO_VIDEO else None,
        video=clip if loaded.task is Task.VIDEO_TO_VIDEO else (),
    )
    on_step = told.append if told is not None else lambda _step: None
    sampled = denoise(loaded, request, inputs, Nobody(), on_step)
    assert isinstance(sampled, SampledLatents)
    return sampled, request


@pytest.mark.parametrize("offer", list(offers()))
def test_what_was_asked_for_is_what_ran_and_afterwards_nothing_is_different(
    offer: tuple[str, str, str],
    homes: dict[str, PipelineManager],
    untouched: dict[tuple[str, str], torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    family, task, name = offer
    loaded = homes[family].get(zoo()[family].name, Task(task))
    own, config = loaded.pipe.scheduler, dict(loaded.pipe.config)
    if (family, task) not in untouched:
        untouched[family, task] = run(loaded)[0].latents
    before = untouched[family, task]

    ran: list[str] = []
    scheduler_class = getattr(diffusers, CLASSES[name])
    step = scheduler_class.step

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        ran.append(type(self).__name__)
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        noted.__wrapped__ = step  # type: ignore[attr-defined]  # pipelines read its signature
        patch.setattr(scheduler_class, "step", noted)
        told: list[Step] = []
        sampled, request = run(loaded, name, told)

    steps = STEPS // 2 if task == "v2v" else STEPS
    assert set(ran) == {CLASSES[name]}
    assert [(each.index, each.total) for each in told] == [(n + 1, steps) for n in range(steps)]
    assert len(ran) == (2 * steps - 1 if "heun" in name else steps)
    frames = decode(loaded, sampled, request)
    assert frames.std() > 0
    if CLASSES[name] != DEFAULTS.get((family, task), type(own).__name__):
        assert not torch.equal(sampled.latents, before)

    assert loaded.pipe.scheduler is own
    assert dict(loaded.pipe.config) == config
    assert torch.equal(run(loaded)[0].latents, before)


def test_frames_equal_a_plain_call_with_that_scheduler(homes: dict[str, PipelineManager]) -> None:
    loaded = homes["modelscope"].get("modelscope", Task.TEXT_TO_VIDEO)
    sampled, request = run(loaded, "euler")
    frames = decode(loaded, sampled, request)

    folder = str(loaded.card.local_path)
    plain: Any = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    plain.scheduler = diffusers.EulerDiscreteScheduler.from_config(plain.scheduler.config)
    plain.set_progress_bar_config(disable=True)
    made = plain(
        prompt="a dog",
        negative_prompt="",
        width=32,
        height=32,
        num_frames=4,
        num_inference_steps=STEPS,
        guidance_scale=9.0,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).frames[0]
    assert np.array_equal(frames, (made * 255).round().astype(np.uint8))


def test_a_run_that_fails_gives_the_scheduler_back(homes: dict[str, PipelineManager]) -> None:
    loaded = homes["modelscope"].get("modelscope", Task.TEXT_TO_VIDEO)
    own = loaded.pipe.scheduler
    with pytest.raises(ValueError, match="broken"), use_sampler(loaded.pipe, "heun"):
        assert loaded.pipe.scheduler is not own
        raise ValueError("broken")
    assert loaded.pipe.scheduler is own


def test_every_offer_is_a_sampler_there_is() -> None:
    for family, rules in RULES.items():
        assert set(rules.samplers) <= set(SAMPLERS), family
    assert {name: sampler.scheduler for name, sampler in SAMPLERS.items()} == CLASSES


def test_a_shifted_schedule_stays_shifted() -> None:
    wan = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
    )
    wan.set_timesteps(4)
    for name in ("unipc", "dpm++"):
        other = make_scheduler(wan, name)
        other.set_timesteps(4)
        assert torch.allclose(other.sigmas, wan.sigmas, atol=2e-2), name
    for name in ("flow-euler", "flow-heun"):
        assert make_scheduler(wan, name).config.shift == 5.0
    back = make_scheduler(diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0), "unipc")
    assert back.config.flow_shift == 7.0
    assert back.config.prediction_type == "flow_prediction"


def test_what_the_model_predicts_stays_what_it_predicts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also where the repository left it at the default of its own scheduler."""
    own = diffusers.DDIMScheduler(prediction_type="v_prediction")
    for name in ("euler", "heun", "unipc", "dpm++"):
        other = make_scheduler(own, name)
        assert other.config.prediction_type == "v_prediction"
        assert torch.equal(other.alphas_cumprod, own.alphas_cumprod), name
    assert not caplog.records


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (diffusers.FlowMatchEulerDiscreteScheduler, "ddim"),
        (diffusers.FlowMatchEulerDiscreteScheduler, "heun"),
        (diffusers.DDIMScheduler, "flow-euler"),
        (diffusers.CogVideoXDDIMScheduler, "flow-heun"),
        (diffusers.EDMEulerScheduler, "euler"),
        (diffusers.DDIMScheduler, "no such sampler"),
        (diffusers.DDIMScheduler, ""),
    ],
)
def test_a_sampler_that_does_not_go_with_the_model_is_refused(own: Any, name: str) -> None:
    with pytest.raises(KinoraError) as refused:
        make_scheduler(own(), name)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert refused.value.details["field"] == "sampler"
    assert name in refused.value.message


def test_a_card_may_ask_for_another_scheduler() -> None:
    own = diffusers.PNDMScheduler(beta_schedule="scaled_linear", steps_offset=1)
    made: Any = apply_card_scheduler(own, {"class": "DDIMScheduler", "beta_schedule": "linear"})
    assert type(made) is diffusers.DDIMScheduler
    assert (made.config["beta_schedule"], made.config["steps_offset"]) == ("linear", 1)
    same = apply_card_scheduler(own, {"beta_schedule": "linear"})
    assert type(same) is diffusers.PNDMScheduler


@pytest.mark.parametrize("name", ["NoSuchScheduler", "WanPipeline", "torch"])
def test_a_card_that_asks_for_no_scheduler_is_told(name: str) -> None:
    with pytest.raises(KinoraError, match="unknown scheduler") as refused:
        apply_card_scheduler(diffusers.DDIMScheduler(), {"class": name})
    assert refused.value.code is ErrorCode.MODEL_LOAD


def test_a_model_offers_only_what_its_family_does(tmp_path: Path) -> None:
    card = load_cards(Path(__file__).parents[3] / "presets" / "models")["svd"]
    with pytest.raises(KinoraError, match="only its own sampler"):
        fit(GenerationRequest(image="0" * 64, sampler="euler"), card, Limits())
