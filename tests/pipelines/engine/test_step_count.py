"""Steps and their total, whichever way a pipeline samples."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import diffusers
import pytest
import torch
from tqdm.auto import tqdm

from pipelines.engine.step_count import Step, StepCount
from pipelines.engine.step_watch import Discarded, FinishedEarly, StepWatch, watch_steps
from pipelines.models.frame_rule import count_rounds, whole_chunks

SAMPLE = torch.zeros(1, 4, 2, 2)


class Buttons:
    def __init__(self) -> None:
        self.finish_at, self.cancel_at, self.told = 99, 99, list[tuple[int, int]]()

    def on_step(self, step: Step) -> None:
        self.told.append((step.index, step.total))

    def cancelled(self) -> bool:
        return len(self.told) >= self.cancel_at

    def finish_now(self) -> bool:
        return len(self.told) >= self.finish_at


class Denoiser(diffusers.ModelMixin):
    """Counts how often it is evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluated = 0
        self.blocks: Any = torch.nn.ModuleList()

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor]:
        self.evaluated += 1
        return (torch.ones_like(hidden_states),)


class Pipe:
    """What pipelines of diffusers have that is watched."""

    def __init__(self) -> None:
        self.scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler()
        self.denoiser = Denoiser()
        self.collects_garbage_at: int | None = None
        self.components = {"scheduler": self.scheduler, "transformer": self.denoiser}

    def progress_bar(self, iterable: Any = None, total: int | None = None) -> Any:
        return tqdm(iterable, total=total, disable=True)

    def sample(self, latents: torch.Tensor = SAMPLE, bar: Any = None) -> torch.Tensor:
        for place, t in enumerate(self.scheduler.timesteps):
            if place == self.collects_garbage_at:
                gc.collect()
            velocity = self.denoiser(latents)[0]
            latents = self.scheduler.step(velocity, t, latents, return_dict=False)[0]
            if bar is not None:
                bar.update()
        return latents


@contextmanager
def watched(pipe: Pipe, buttons: Buttons, *, rounds: int = 1, **more: Any) -> Iterator[StepWatch]:
    watch = StepWatch(
        buttons, buttons.on_step, None, lambda x0: x0, count=StepCount(rounds=rounds), **more
    )
    with watch_steps(pipe, watch):
        yield watch
    assert type(pipe.scheduler) is diffusers.FlowMatchEulerDiscreteScheduler
    assert type(pipe.denoiser) is Denoiser


def steps(total: int) -> list[tuple[int, int]]:
    return [(index, total) for index in range(1, total + 1)]


# -- progress ------------------------------------------------------------------------------------


def chunks(pipe: Pipe, count: int = 3) -> torch.Tensor:
    """As Helios: the timesteps are set for each chunk, then a bar is opened."""
    made: list[torch.Tensor] = []
    for _ in range(count):
        pipe.scheduler.set_timesteps(4)
        with pipe.progress_bar(total=4) as bar:
            made.append(pipe.sample(bar=bar))
    return torch.stack(made)


def test_chunks_are_all_in_the_total_from_the_first_step() -> None:
    pipe, buttons = Pipe(), Buttons()
    with watched(pipe, buttons, rounds=3):
        chunks(pipe)
    assert buttons.told == steps(12)


def test_a_bar_that_spans_rounds_knows_them_all() -> None:
    """As Kandinsky 6 SR: one bar for all tiles, whose number nothing else says."""
    pipe, buttons = Pipe(), Buttons()
    with watched(pipe, buttons), pipe.progress_bar(total=6) as bar:
        for _ in range(3):
            pipe.scheduler.set_timesteps(2)
            pipe.sample(bar=bar)
    assert buttons.told == steps(6)


def test_a_bar_for_each_chunk_spans_the_sizes_of_a_pyramid() -> None:
    """As Helios' pyramid: per chunk one bar, and in it a round for each size."""
    pipe, buttons = Pipe(), Buttons()
    with watched(pipe, buttons, rounds=2):
        for _ in range(2):
            with pipe.progress_bar(total=6) as bar:
                for _ in range(3):
                    pipe.scheduler.set_timesteps(2)
                    pipe.sample(bar=bar)
    assert buttons.told == steps(12)


def test_a_pipeline_that_says_its_number_of_steps_is_believed() -> None:
    """As AnyFlow's far one: rounds without a bar, and `num_timesteps` of them all."""
    pipe, buttons = Pipe(), Buttons()
    with watched(pipe, buttons, declared_steps=lambda: 6):
        for _ in range(3):
            pipe.scheduler.set_timesteps(2)
            pipe.sample()
    assert buttons.told == steps(6)


def test_a_loop_over_a_part_of_the_schedule_ends_with_its_total() -> None:
    """As LTX's long one: `for t in self.progress_bar(timesteps[:-1])`."""
    pipe, buttons = Pipe(), Buttons()
    with watched(pipe, buttons):
        pipe.scheduler.set_timesteps(4)
        for t in pipe.progress_bar(pipe.scheduler.timesteps[:-1]):
            pipe.scheduler.step(SAMPLE, t, SAMPLE)
    assert buttons.told == steps(3)


def test_timesteps_that_are_set_twice_are_one_round() -> None:
    pipe, buttons = Pipe(), Buttons()
    with watched(pipe, buttons, rounds=2):
        for _ in range(2):
            pipe.scheduler.set_timesteps(3)
            pipe.scheduler.set_timesteps(2)
            pipe.sample()
    assert buttons.told == steps(4)


def test_rounds_that_nothing_announces_are_counted_on() -> None:
    pipe, buttons = Pipe(), Buttons()
    with watched(pipe, buttons):
        chunks(pipe, 2)
    assert buttons.told == [*steps(4), *((n, 8) for n in range(5, 9))]


# -- copies of the scheduler ---------------------------------------------------------------------


def forced(pipe: Pipe, frames: int = 3, chunks: int = 1) -> torch.Tensor:
    """As SkyReels-V2's diffusion forcing: a copy of the scheduler for each latent frame."""
    latents = torch.zeros(1, 4, frames, 2, 2)
    pipe.scheduler.set_timesteps(4)
    for _ in range(chunks):
        copies = [copy.deepcopy(pipe.scheduler) for _ in range(frames)]
        for each in copies:
            each.set_timesteps(4)
        with pipe.progress_bar(total=4) as bar:
            for t in pipe.scheduler.timesteps:
                velocity = pipe.denoiser(latents)[0]
                for place, scheduler in enumerate(copies):
                    latents[:, :, place] = scheduler.step(
                        velocity[:, :, place], t, latents[:, :, place], return_dict=False
                    )[0]
                bar.update()
    return latents


def test_a_copy_that_takes_the_place_of_the_scheduler_is_counted_and_not_kept() -> None:
    """As Text2Video-Zero, whose next run would be refused otherwise."""
    pipe, buttons = Pipe(), Buttons()
    original = pipe.scheduler
    for _ in range(2):
        buttons.told.clear()
        with watched(pipe, buttons):
            pipe.scheduler.set_timesteps(4)
            latents = SAMPLE
            for place, t in enumerate(pipe.scheduler.timesteps):
                if place == 2:
                    pipe.scheduler = copy.deepcopy(pipe.scheduler)
                latents = pipe.scheduler.step(latents, t, latents, return_dict=False)[0]
        assert buttons.told == steps(4)
        assert pipe.scheduler is original


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_loop_that_steps_copies_only_is_counted_by_its_bar(chunks: int) -> None:
    pipe, buttons = Pipe(), Buttons()
    with watched(pipe, buttons, rounds=chunks):
        forced(pipe, chunks=chunks)
    assert buttons.told == steps(4 * chunks)


def test_their_x0_is_joined_frame_by_frame() -> None:
    pipe, buttons = Pipe(), Buttons()
    buttons.finish_at = 1
    with watched(pipe, buttons), pytest.raises(FinishedEarly) as early:
        forced(pipe)
    assert early.value.x0.shape == (1, 4, 3, 2, 2)
    assert torch.allclose(early.value.x0, torch.full((1, 4, 3, 2, 2), -1.0))


def test_a_loop_that_steps_copies_can_be_discarded() -> None:
    pipe, buttons = Pipe(), Buttons()
    buttons.cancel_at = 2
    with watched(pipe, buttons), pytest.raises(Discarded):
        forced(pipe)
    assert buttons.told == [(1, 4), (2, 4)]


def test_every_block_checks_for_a_discard_but_none_that_is_compiled() -> None:
    """A hook would be compiled with it, for each run anew."""
    pipe = Pipe()
    blocks = [torch.nn.Sequential(torch.nn.Linear(1, 1)) for _ in range(3)]
    pipe.denoiser.blocks = torch.nn.ModuleList(blocks)
    pipe.denoiser.blocks[1].compile(backend="eager")
    with watched(pipe, Buttons()):
        checks = [len(block._forward_pre_hooks) for block in pipe.denoiser.blocks]
        inner = [len(block[0]._forward_pre_hooks) for block in pipe.denoiser.blocks]
        assert len(pipe.denoiser._forward_pre_hooks) == 1
    assert checks == [1, 0, 1]
    assert inner == [0, 0, 0]
    assert not any(each._forward_pre_hooks for each in pipe.denoiser.modules())


# -- finish now ----------------------------------------------------------------------------------


def test_a_loop_that_steps_copies_ends_with_their_estimates() -> None:
    pipe, buttons = Pipe(), Buttons()
    buttons.finish_at = 1
    with watched(pipe, buttons, decodes_itself=True) as watch:
        latents = forced(pipe)
    assert torch.allclose(latents, torch.full_like(latents, -1.0))
    assert watch.finished_early
    assert pipe.denoiser.evaluated == 2, "each copy is finished in its next step"
    assert buttons.told == [(1, 4), (2, 4)]


@pytest.mark.parametrize("collects_garbage_at", [None, 0, 1, 2, 3])
def test_every_chunk_is_finished_after_one_step_and_none_is_left_as_noise(
    collects_garbage_at: int | None,
) -> None:
    """Also while the bars of earlier chunks are collected, which tqdm closes again then."""
    pipe, buttons = Pipe(), Buttons()
    pipe.collects_garbage_at = collects_garbage_at
    buttons.finish_at = 2
    with watched(pipe, buttons, rounds=3, decodes_itself=True) as watch:
        made = chunks(pipe)
    assert torch.allclose(made, torch.full_like(made, -1.0))
    assert watch.finished_early
    assert pipe.denoiser.evaluated == 2 + 1 + 1
    assert [index for index, _ in buttons.told] == [1, 2, 3, 4]
    assert not watch.skipping


def test_what_follows_a_finished_round_is_evaluated() -> None:
    """As AnyFlow's far one, which writes its cache with the same model after each chunk."""
    pipe, buttons = Pipe(), Buttons()
    buttons.finish_at = 1
    with watched(pipe, buttons, decodes_itself=True):
        pipe.scheduler.set_timesteps(4)
        pipe.sample()
        before = pipe.denoiser.evaluated
        assert torch.equal(pipe.denoiser(SAMPLE)[0], torch.ones_like(SAMPLE))
    assert pipe.denoiser.evaluated == before + 1


def test_a_sound_beside_the_frames_is_finished_with_them() -> None:
    """As LTX-2's: a copy of the scheduler, stepped after the pipeline's own."""
    pipe, buttons = Pipe(), Buttons()
    buttons.finish_at = 1
    with watched(pipe, buttons, decodes_itself=True):
        pipe.scheduler.set_timesteps(4)
        other = copy.deepcopy(pipe.scheduler)
        latents = sound = SAMPLE
        for t in pipe.scheduler.timesteps:
            velocity = pipe.denoiser(latents)[0]
            latents = pipe.scheduler.step(velocity, t, latents, return_dict=False)[0]
            sound = other.step(2 * velocity, t, sound, return_dict=False)[0]
    assert torch.allclose(latents, torch.full_like(latents, -1.0))
    assert torch.allclose(sound, torch.full_like(sound, -2.0))
    assert [index for index, _ in buttons.told] == [1]


def test_calls_of_another_shape_are_never_made_up() -> None:
    pipe, buttons = Pipe(), Buttons()
    buttons.finish_at = 1
    with watched(pipe, buttons, decodes_itself=True) as watch:
        pipe.scheduler.set_timesteps(4)
        velocity = pipe.denoiser(SAMPLE)[0]
        pipe.scheduler.step(velocity, pipe.scheduler.timesteps[0], SAMPLE)
        assert watch.skipping
        assert torch.equal(pipe.denoiser(SAMPLE)[0], torch.zeros_like(SAMPLE))
        larger = torch.zeros(1, 4, 4, 4)
        assert torch.equal(pipe.denoiser(larger)[0], torch.ones_like(larger))
    assert pipe.denoiser.evaluated == 2


# -- the arguments of chunked pipelines ----------------------------------------------------------

ROUNDS = [
    ({"num_frames": 81}, 1),
    ({"num_frames": 33, "num_latent_frames_per_chunk": 9}, 1),
    ({"num_frames": 34, "num_latent_frames_per_chunk": 9}, 2),
    ({"num_frames": 132, "num_latent_frames_per_chunk": 9}, 4),
    ({"num_frames": 129, "latent_window_size": 9}, 4),
    ({"num_frames": 97, "base_num_frames": 97, "overlap_history": 17}, 1),
    ({"num_frames": 257, "base_num_frames": 97, "overlap_history": 17}, 3),
    ({"num_frames": 257, "base_num_frames": 97, "overlap_history": None}, 1),
    ({"prompt": "a dog"}, 1),
]


@pytest.mark.parametrize(("arguments", "rounds"), ROUNDS)
def test_rounds_are_known_from_the_arguments(arguments: dict[str, Any], rounds: int) -> None:
    assert count_rounds(arguments, 4) == rounds


def test_whole_chunks_are_a_rule_of_their_own() -> None:
    rule = whole_chunks({"num_latent_frames_per_chunk": 9}, 4)
    assert rule is not None
    assert rule.nearest(9, 1, 999) == 33
    assert whole_chunks({"num_frames": 81}, 4) is None
