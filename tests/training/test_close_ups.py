"""A close-up holds the subject, and each token of it is where and when it was in the film."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.close_ups import MAX_NOISE, SIDE, select_tokens, subject_windows
from training.train_denoiser import loss_weights, sample_noise_levels
from training.world.motions import MOTIONS
from training.world.render import render
from training.world.subjects import SUBJECTS

GRID = 8


def masks(motion: str, films: int = 3) -> Tensor:
    """As the cached films have them, [B, F, GRID, GRID]."""
    told = next(m for m in MOTIONS if m.name == motion)
    made = [
        render(np.random.default_rng(k), subject=SUBJECTS[5 * k], motion=told).masks
        for k in range(films)
    ]
    pixels = torch.from_numpy(np.stack(made)).float() / 255
    tokens = torch.nn.functional.avg_pool2d(pixels, 128 // GRID)
    return torch.cat([tokens[:, :1], (tokens[:, 1::2] + tokens[:, 2::2]) / 2], 1)


@pytest.mark.parametrize("motion", ["left", "up", "bounce", "circle", "still", "spin", "away"])
def test_a_close_up_follows_the_subject(motion: str) -> None:
    films = masks(motion)
    near = subject_windows(films, np.random.default_rng(0))
    whole, held = films.flatten(2).sum(2), select_tokens(films.flatten(1), near)
    held = held.view(*films.shape[:2], -1).sum(2)
    assert (held > 0.6 * whole).float().mean() > 0.95, "up to a token aside of the best window"
    assert held.sum() > 0.75 * whole.sum()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    films=st.integers(1, 3),
    frames=st.sampled_from([1, 3, 9]),
    filled=st.sampled_from([0.0, 0.05, 1.0]),
)
def test_every_frame_has_one_whole_window(
    seed: int, films: int, frames: int, filled: float
) -> None:
    rng = np.random.default_rng(seed)
    given_masks = torch.from_numpy(rng.random((films, frames, GRID, GRID)) < filled).float()
    near = subject_windows(given_masks, rng)
    assert near.shape == (films, frames * SIDE * SIDE)
    frame, row, column = (
        near // GRID**2,
        near // GRID % GRID,
        near % GRID,
    )
    one = torch.arange(frames).repeat_interleave(SIDE * SIDE)
    assert torch.equal(frame, one.expand(films, -1)), (
        "frame by frame, so that each has its own time"
    )
    for place in (row, column):
        place = place.view(films, frames, SIDE * SIDE)
        assert (place.amax(2) - place.amin(2) == SIDE - 1).all()
    assert all(len(set(draw_clip.tolist())) == near.shape[1] for draw_clip in near)


def test_windows_differ_from_time_to_time() -> None:
    films = masks("left").repeat(8, 1, 1, 1)
    near = subject_windows(films, np.random.default_rng(0))
    assert len({tuple(draw_clip.tolist()) for draw_clip in near}) > 6


def test_tokens_are_taken_with_all_their_channels() -> None:
    x = torch.arange(2 * 64 * 3.0).view(2, 64, 3)
    near = torch.tensor([[5, 60], [0, 63]])
    assert torch.equal(select_tokens(x, near)[1, 1], x[1, 63])
    assert torch.equal(select_tokens(x[..., 0], near), x[..., 0].gather(1, near))


def test_a_close_up_is_never_so_noisy_that_the_window_alone_tells_where_the_subject_is() -> None:
    torch.manual_seed(0)
    assert sample_noise_levels(5000, 9, close_up=True, shift=1.2).max() <= MAX_NOISE
    assert sample_noise_levels(5000, 9, close_up=False, shift=1.2).max() > 0.97


def test_the_subject_counts_more_wherever_it_can_be_told() -> None:
    mask, sigma = torch.tensor([[0.0, 1.0]] * 3), torch.tensor([0.3, 0.7, 1.0])
    begun, ended = (loss_weights(mask, sigma, 6, done) for done in (0.0, 1.0))
    assert torch.equal(begun, torch.tensor([[1.0, 7.0]] * 3))
    assert torch.equal(ended[:, 0], torch.ones(3))
    assert ended[0, 1] > 6.9 and ended[1, 1] > 6 and ended[2, 1] == 1, "at full noise no bias"
