from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from errors import Cancelled, KinoraError
from pipelines.engine.decode import decode
from pipelines.engine.denoise import SampledLatents, Step, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.engine.step_watch import Discarded, StepWatch, watch_scheduler
from pipelines.models.fit import Limits, fit
from pipelines.preview import Preview
from pipelines.request import FittedRequest, GenerationRequest, Task

TASKS = [Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO]


@dataclass
class StopRequests:
    """A person at the buttons; `after` maps a step to what is pressed once it was seen."""

    cancel: threading.Event = field(default_factory=threading.Event)
    finish: threading.Event = field(default_factory=threading.Event)

    def cancelled(self) -> bool:
        return self.cancel.is_set()

    def finish_now(self) -> bool:
        return self.finish.is_set()


def picture() -> Image.Image:
    y, x = np.mgrid[0:64, 0:64]
    return Image.fromarray(np.stack([x * 4, y * 4, 255 - x * 4], -1).astype(np.uint8))


def fitted(loaded: Loaded, **fields: object) -> FittedRequest:
    image = "0" * 64 if loaded.task is Task.IMAGE_TO_VIDEO else None
    asked = {"prompt": "a dog in the snow", "seed": 3, "image": image, **fields}
    return fit(GenerationRequest.model_validate(asked), loaded.card, Limits())


def sample(
    loaded: Loaded,
    stops: StopRequests | None = None,
    on_step: Callable[[Step], None] = lambda _step: None,
    on_preview: Callable[[Preview], None] | None = None,
    **fields: object,
) -> SampledLatents:
    inputs = Inputs(picture() if loaded.task is Task.IMAGE_TO_VIDEO else None)
    request = fitted(loaded, **fields)
    sampled = denoise(loaded, request, inputs, stops or StopRequests(), on_step, on_preview)
    assert isinstance(sampled, SampledLatents)
    return sampled


@pytest.fixture(params=TASKS, ids=["text", "image"])
def loaded(request: pytest.FixtureRequest, tiny_manager: PipelineManager) -> Loaded:
    return tiny_manager.get("pocket", request.param)


def hooks_are_gone(loaded: Loaded) -> bool:
    scheduler = loaded.pipe.scheduler
    return type(scheduler) is getattr(diffusers, type(scheduler).__name__) and (
        "prepare_latents" not in vars(loaded.pipe)
    )


def test_every_step_is_counted_once(loaded: Loaded) -> None:
    steps: list[Step] = []
    sampled = sample(loaded, on_step=steps.append, num_inference_steps=5)
    assert [(step.index, step.total) for step in steps] == [(n, 5) for n in range(1, 6)]
    assert all(step.seconds > 0 for step in steps)
    assert sampled.steps_done == 5
    assert not sampled.finished_early
    assert sampled.seconds["denoise"] >= sum(step.seconds for step in steps) * 0.9
    assert hooks_are_gone(loaded)


def test_cancel_ends_the_run_within_one_step(loaded: Loaded) -> None:
    stops, seen = StopRequests(), []

    def on_step(step: Step) -> None:
        seen.append(step.index)
        if step.index == 2:
            stops.cancel.set()

    with pytest.raises(Cancelled):
        sample(loaded, stops, on_step, num_inference_steps=6)
    assert seen == [1, 2]
    assert hooks_are_gone(loaded)
    assert sample(loaded).steps_done == 4


def test_cancel_in_the_middle_of_a_step_ends_the_run_with_that_step(loaded: Loaded) -> None:
    stops, seen = StopRequests(), []
    transformer = loaded.pipe.transformer

    def press(*_: object) -> None:
        if len(seen) == 1:
            stops.cancel.set()

    handle = transformer.register_forward_pre_hook(press)
    try:
        with pytest.raises(Cancelled):
            sample(loaded, stops, lambda step: seen.append(step.index), num_inference_steps=6)
    finally:
        handle.remove()
    assert seen == [1]


def test_cancel_waits_for_no_further_block_of_the_model(loaded: Loaded) -> None:
    """One step of a large model takes minutes on a slow machine."""
    stops, evaluated = StopRequests(), []
    first, *others = loaded.pipe.transformer.transformer_blocks
    assert others
    handles = [first.register_forward_hook(lambda *_: stops.cancel.set())]
    handles += [each.register_forward_hook(lambda *_: evaluated.append(1)) for each in others]
    try:
        with pytest.raises(Cancelled):
            sample(loaded, stops)
    finally:
        for handle in handles:
            handle.remove()
    assert stops.cancel.is_set()
    assert evaluated == []
    blocks = loaded.pipe.transformer.modules()
    assert not any(each._forward_pre_hooks for each in blocks), "the checks are gone"


def test_a_run_cancelled_before_it_begins_does_no_work(loaded: Loaded) -> None:
    stops, calls = StopRequests(), []
    stops.cancel.set()
    handle = loaded.pipe.text_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        with pytest.raises(Cancelled):
            sample(loaded, stops)
    finally:
        handle.remove()
    assert calls == []


def test_finish_now_keeps_a_playable_clip(loaded: Loaded) -> None:
    stops = StopRequests()

    def on_step(step: Step) -> None:
        if step.index == 3:
            stops.finish.set()

    sampled = sample(loaded, stops, on_step, num_inference_steps=8)
    assert sampled.finished_early
    assert sampled.steps_done == 3
    frames = decode(loaded, sampled, fitted(loaded))
    assert frames.shape == (9, 64, 64, 3)
    assert frames.dtype == np.uint8
    assert hooks_are_gone(loaded)


def test_what_finish_now_keeps_is_the_models_estimate_of_the_end(loaded: Loaded) -> None:
    """With one step to go the estimate is nearer to the end than it was with many to go."""
    whole = sample(loaded, num_inference_steps=8).latents

    def distance(steps: int) -> float:
        stops = StopRequests()
        early = sample(
            loaded,
            stops,
            lambda step: stops.finish.set() if step.index == steps else None,
            num_inference_steps=8,
        )
        return float((early.latents - whole).square().mean())

    assert distance(7) < distance(1)


def test_finish_now_on_the_last_step_is_simply_the_end(loaded: Loaded) -> None:
    stops = StopRequests()
    sampled = sample(
        loaded, stops, lambda step: stops.finish.set() if step.index == step.total else None
    )
    assert not sampled.finished_early
    assert torch.equal(sampled.latents, sample(loaded).latents)


def test_the_clean_first_frame_survives_finish_now(tiny_manager: PipelineManager) -> None:
    loaded = tiny_manager.get("pocket", Task.IMAGE_TO_VIDEO)
    stops = StopRequests()
    stops.finish.set()
    early = sample(loaded, stops)
    whole = sample(loaded)
    assert early.steps_done == 1
    assert torch.equal(early.latents[:, :, :1], whole.latents[:, :, :1])
    assert not torch.equal(early.latents, whole.latents)


def test_the_same_seed_gives_the_same_clip_and_another_seed_another(loaded: Loaded) -> None:
    first, second, other = (sample(loaded, seed=seed).latents for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_previews_come_first_and_last_and_change_nothing(loaded: Loaded) -> None:
    previews: list[Preview] = []

    def on_step(step: Step) -> None:
        if step.index == 2:  # steps this quick would overtake the drawing of the first preview
            drawn = time.monotonic() + 10
            while not previews and time.monotonic() < drawn:
                time.sleep(0.001)

    with_previews = sample(
        loaded, on_step=on_step, on_preview=previews.append, num_inference_steps=6
    )
    assert previews[0].index == 1
    assert previews[-1].index == 6
    assert torch.equal(with_previews.latents, sample(loaded, num_inference_steps=6).latents)


def test_no_preview_arrives_after_the_run(loaded: Loaded) -> None:
    late: list[float] = []

    def slowly(_preview: Preview) -> None:
        time.sleep(0.05)
        late.append(time.perf_counter())

    sample(loaded, on_preview=slowly)
    ended = time.perf_counter()
    time.sleep(0.2)
    assert late
    assert max(late) <= ended


def test_a_listener_that_fails_stops_the_previews_and_not_the_run(
    loaded: Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_preview: Preview) -> None:
        raise OSError("the page went away")

    sampled = sample(loaded, on_preview=broken, num_inference_steps=6)
    assert sampled.steps_done == 6
    logged = [r for r in caplog.records if "previews are off" in r.getMessage()]
    assert len(logged) == 1


def test_an_error_inside_the_model_leaves_no_hook_behind(loaded: Loaded) -> None:
    def fail(*_: object) -> None:
        raise ValueError("broken kernel")

    handle = loaded.pipe.transformer.register_forward_pre_hook(fail)
    try:
        with pytest.raises(KinoraError, match="broken kernel"):
            sample(loaded)
    finally:
        handle.remove()
    assert hooks_are_gone(loaded)
    assert sample(loaded).steps_done == 4


def test_two_runs_on_one_model_take_turns(tiny_manager: PipelineManager) -> None:
    text = tiny_manager.get("pocket", Task.TEXT_TO_VIDEO)
    image = tiny_manager.get("pocket", Task.IMAGE_TO_VIDEO)
    alone = {loaded.task: sample(loaded).latents for loaded in (text, image)}
    together: dict[Task, torch.Tensor] = {}

    def run(loaded: Loaded) -> None:
        together[loaded.task] = sample(loaded).latents

    threads = [threading.Thread(target=run, args=(loaded,)) for loaded in (text, image)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(alone[task], together[task]) for task in TASKS)


# -- what schedulers do that the tiny LTX does not -----------------------------------------------


def watched_run(scheduler: Any, timesteps: Any, by_name: bool = False) -> list[tuple[int, int]]:
    """Every step told while a pipeline's loop runs over these timesteps."""
    told: list[tuple[int, int]] = []
    watch = StepWatch(
        control=StopRequests(),
        on_step=lambda step: told.append((step.index, step.total)),
        stream=None,
        unpack=lambda x0: x0,
    )
    sample = torch.zeros(1, 4, 2, 2)
    with watch_scheduler(scheduler, watch):
        for t in timesteps:
            scheduler.scale_model_input(sample, t) if hasattr(scheduler, "sigmas") else None
            given = {"model_output": sample, "timestep": t, "sample": sample}
            if by_name:
                scheduler.step(return_dict=False, **given)
            else:
                scheduler.step(*given.values())
    return told


def test_heun_takes_two_calls_for_a_step_and_tells_one() -> None:
    scheduler: Any = diffusers.HeunDiscreteScheduler()
    scheduler.set_timesteps(5)
    assert len(scheduler.timesteps) == 9
    assert watched_run(scheduler, scheduler.timesteps) == [(n, 5) for n in range(1, 6)]


@pytest.mark.parametrize("name", ["DDIM", "EulerDiscrete", "HeunDiscrete", "UniPCMultistep"])
def test_strength_cuts_the_beginning_and_the_total_knows(name: str) -> None:
    scheduler: Any = getattr(diffusers, f"{name}Scheduler")()
    scheduler.set_timesteps(10)
    rest = scheduler.timesteps[4 * scheduler.order :]
    assert watched_run(scheduler, rest) == [(n, 6) for n in range(1, 7)]


def test_a_step_may_be_called_by_name() -> None:
    scheduler: Any = diffusers.DDIMScheduler()
    scheduler.set_timesteps(3)
    told = watched_run(scheduler, scheduler.timesteps, by_name=True)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_copy_of_the_scheduler_steps_for_itself() -> None:
    """As LTX-2 copies its own for the sound."""
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler()
    told: list[int] = []
    watch = StepWatch(StopRequests(), lambda step: told.append(step.index), None, lambda x0: x0)
    sample = torch.zeros(1, 4, 2, 2)
    with watch_scheduler(scheduler, watch):
        scheduler.set_timesteps(3)
        copied = copy.deepcopy(scheduler)
        for t in scheduler.timesteps:
            scheduler.step(sample, t, sample)
            copied.step(sample, t, sample)
    assert told == [1, 2, 3]
    assert scheduler.step_index == copied.step_index == 3
    assert type(scheduler) is diffusers.FlowMatchEulerDiscreteScheduler


def test_rounds_are_counted_on() -> None:
    """Pipelines that make a clip in parts set the timesteps anew for each."""
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler()
    told: list[tuple[int, int]] = []
    watch = StepWatch(
        StopRequests(), lambda step: told.append((step.index, step.total)), None, lambda x0: x0
    )
    sample = torch.zeros(1, 4, 2, 2)
    with watch_scheduler(scheduler, watch):
        for _round in range(2):
            scheduler.set_timesteps(2)
            for t in scheduler.timesteps:
                scheduler.step(sample, t, sample)
    assert told == [(1, 2), (2, 2), (3, 4), (4, 4)]


def test_one_scheduler_is_not_watched_twice() -> None:
    scheduler: Any = diffusers.DDIMScheduler()
    watch = StepWatch(StopRequests(), lambda _step: None, None, lambda x0: x0)
    with (
        watch_scheduler(scheduler, watch),
        pytest.raises(RuntimeError),
        watch_scheduler(scheduler, watch),
    ):
        pass
    assert type(scheduler) is diffusers.DDIMScheduler


@pytest.mark.parametrize("as_tuple", [True, False])
def test_a_pipeline_that_draws_by_itself_goes_on_with_the_estimate(as_tuple: bool) -> None:
    """The rest of its loop is skipped, and what it decodes is the clean picture and no noise."""
    scheduler: Any = diffusers.DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(4)
    stops, told = StopRequests(), []
    stops.finish.set()
    watch = StepWatch(
        stops, lambda step: told.append(step.index), None, lambda x0: x0, decodes_itself=True
    )
    x0, noise = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    sample = scheduler.add_noise(x0, noise, scheduler.timesteps[0][None])
    skipped: list[bool] = []
    with watch_scheduler(scheduler, watch):
        for t in scheduler.timesteps:
            skipped.append(watch.skipping)
            stepped = scheduler.step(noise, t, sample, return_dict=not as_tuple)
            sample = stepped[0] if as_tuple else stepped.prev_sample
            assert torch.allclose(sample, x0, atol=1e-4)
    assert skipped == [False, True, True, True]
    assert not watch.skipping, "what follows the loop is evaluated again"
    assert watch.finished_early
    assert told == [1]


def test_discard_is_heard_between_heuns_two_calls() -> None:
    scheduler: Any = diffusers.HeunDiscreteScheduler()
    scheduler.set_timesteps(5)
    stops, told = StopRequests(), []
    watch = StepWatch(stops, lambda step: told.append(step.index), None, lambda x0: x0)
    sample, calls = torch.zeros(1, 4, 2, 2), 0
    with watch_scheduler(scheduler, watch), pytest.raises(Discarded):
        for t in scheduler.timesteps:
            calls += 1
            if calls == 3:
                stops.cancel.set()
            scheduler.step(sample, t, sample)
    assert calls == 3
    assert told == [1]


def test_a_scheduler_nobody_can_read_runs_to_its_end() -> None:
    """Finish now cannot be granted; the clip is whole instead of wrong."""
    scheduler: Any = diffusers.IPNDMScheduler()
    scheduler.set_timesteps(3)
    stops, told = StopRequests(), []
    stops.finish.set()
    watch = StepWatch(stops, lambda step: told.append(step.index), None, lambda x0: x0)
    sample = torch.zeros(1, 4, 2, 2)
    with watch_scheduler(scheduler, watch):
        for t in scheduler.timesteps:
            scheduler.step(sample, t, sample)
    assert told == [1, 2, 3]
