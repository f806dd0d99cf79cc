"""The student's lessons: the teacher's own clips in the making, one step where it takes many."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from diffusers import LTXImageToVideoPipeline, LTXPipeline
from PIL import Image
from torch import Tensor

from training.evaluation.clip_generator import POCKET
from training.fast_forward import block_forward
from training.muon import Muon
from training.train_denoiser import ADAMW_NAMES, LATENT_FRAMES
from training.train_student import (
    STEPS,
    Teacher,
    TeacherPaths,
    distillation_loss,
    sample_path,
    sigma_grid,
    student_targets,
)

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher(POCKET, "cpu", block_forward)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return LTXPipeline.from_pretrained(POCKET, use_safetensors=True, local_files_only=True)


@pytest.mark.parametrize("steps", [STEPS, 12, 20])
def test_the_grid_is_where_a_pipeline_of_so_many_steps_stops(pipe: Any, steps: int) -> None:
    even = torch.linspace(1, 1 / steps, steps)
    pipe.scheduler.set_timesteps(sigmas=even.tolist())
    torch.testing.assert_close(sigma_grid(steps), pipe.scheduler.sigmas)


def test_a_straight_path_is_walked_exactly_and_taught_exactly() -> None:
    torch.manual_seed(0)
    start, speed = torch.randn(8, 18, 3), torch.randn(8, 18, 3)
    stops = sample_path(lambda x, sigma: speed, start, 20)
    assert stops.shape == (STEPS + 1, 8, 18, 3)
    torch.testing.assert_close(stops[0], start)
    torch.testing.assert_close(stops[-1], start - speed)
    paths = TeacherPaths(stops, torch.zeros(8, 1, 1), torch.ones(8, 1, dtype=torch.bool), False)
    here, wanted = student_targets(paths, torch.arange(8) % STEPS)
    torch.testing.assert_close(wanted, speed)
    torch.testing.assert_close(here[5], stops[1, 5])


def test_a_student_who_does_as_told_ends_where_the_teacher_did() -> None:
    """Along a path that bends, so that four plain steps of it would not."""
    torch.manual_seed(0)
    start = torch.randn(2, 18, 3)

    def bent(x: Tensor, sigma: Tensor) -> Tensor:
        return x * 3 * sigma

    taught, plain = sample_path(bent, start, 40), sample_path(bent, start, STEPS)
    paths = TeacherPaths(taught, torch.zeros(2, 1, 1), torch.ones(2, 1, dtype=torch.bool), False)
    x, sigmas = start, sigma_grid(STEPS)
    for stop in range(STEPS):
        _, velocity = student_targets(paths, torch.full((2,), stop))
        x = x + (sigmas[stop + 1] - sigmas[stop]) * velocity
    torch.testing.assert_close(x, taught[-1])
    assert (plain[-1] - taught[-1]).abs().mean() > 0.05


def test_the_teachers_steps_must_fit_the_students() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        sample_path(lambda x, sigma: x, torch.zeros(1, 18, 3), 10)


@pytest.mark.parametrize("given", [False, True])
def test_the_teachers_clips_are_those_that_the_pipeline_makes(
    teacher: Teacher, pipe: Any, given: bool
) -> None:
    words = ["a dog running to the right in the snow", "a balloon"]
    start = torch.randn(2, LATENT_FRAMES * 64, 64, generator=torch.Generator().manual_seed(3))
    picture: dict[str, Any] = {"image": Image.new("RGB", (128, 128), "teal")} if given else {}
    maker: Any = LTXImageToVideoPipeline.from_pipe(pipe) if given else pipe
    maker.set_progress_bar_config(disable=True)
    made = maker(
        **picture, prompt=words, width=128, height=128, num_frames=17, frame_rate=8,
        num_inference_steps=STEPS, guidance_scale=3.0, latents=start, output_type="latent",
    ).frames  # fmt: skip
    paths = teacher.paths(start, words, given, STEPS, 3.0)
    assert torch.equal(paths.x[0], start.half())
    assert torch.equal(paths.x[-1, :, :64], start[:, :64].half()) is given
    mine = paths.x[-1].float()
    assert (mine - made).square().mean() < 0.003 * made.square().mean(), "half precision's error"


def test_lessons_make_the_student_better_at_clips_it_has_seen(teacher: Teacher) -> None:
    torch.manual_seed(1)
    start = torch.randn(2, LATENT_FRAMES * 64, 64)
    paths = teacher.paths(start, ["a dog in the snow"] * 2, False, 8, 3.0)
    student = copy.deepcopy(teacher.transformer).requires_grad_(True)
    optimiser = Muon(student.named_parameters(), 5e-4, adamw_names=ADAMW_NAMES)
    losses = []
    for _ in range(4):
        loss = distillation_loss(teacher, student, paths)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
