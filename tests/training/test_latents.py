"""Which films a batch of the denoiser's training shows, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.models import LATENT_CHANNELS
from training.train_denoiser import LatentDataset
from training.world.captions import split_words, vocabulary
from training.world.motions import MOTIONS

SPIN = next(i for i, motion in enumerate(MOTIONS) if motion.name == "spin")
OF_SPINNING = frozenset(
    {"spinning", "rotating", "twirling", "spins", "turns", "turning", "rotates", "twirls"}
)
MANY = 4000


@pytest.fixture
def films(tmp_path: Path) -> Callable[..., LatentDataset]:
    """Ten, one of each motion, whose latents are its number."""

    def make(**options: object) -> LatentDataset:
        count = len(MOTIONS)
        numbers = np.arange(count, dtype=np.float16).reshape(-1, 1, 1, 1, 1)
        np.save(
            tmp_path / "stills.npy", np.broadcast_to(numbers, (count, LATENT_CHANNELS, 1, 1, 1))
        )
        np.save(
            tmp_path / "videos.npy", np.broadcast_to(numbers, (count, LATENT_CHANNELS, 9, 1, 1))
        )
        labels = np.array([(3, 4, i) for i in range(count)])
        np.savez(tmp_path / "about.npz", masks=np.zeros((count, 9, 1, 1)), labels=labels)
        ones = np.ones(LATENT_CHANNELS, np.float32)
        np.savez(tmp_path / "statistics.npz", mean=0 * ones, std=ones)
        return LatentDataset(tmp_path, **options)  # type: ignore[arg-type]

    return make


def batch(data: LatentDataset, seed: int = 0) -> list[tuple[int, str]]:
    """(motion shown, what is said)"""
    x, _, captions = data.batch(1, MANY, np.random.default_rng(seed))
    return list(zip((int(v) for v in x[:, 0, 0, 0, 0]), captions, strict=True))


def proportion(of: list[int], motion: int) -> float:
    return Counter(of)[motion] / len(of)


def says_spin(caption: str) -> bool:
    return bool(OF_SPINNING & set(split_words(caption)))


def test_more_of_a_motion_is_shown_only_where_it_is_named(
    films: Callable[..., LatentDataset],
) -> None:
    shown = batch(films(more_of={"spin": 6.0}, partial=0.5))
    named = [motion for motion, said in shown if says_spin(said)]
    silent = [motion for motion, said in shown if not said]
    assert set(named) == {SPIN}
    assert 0.05 < proportion(silent, SPIN) < 0.15
    whole = 0.9 * 0.5 * 6 / 15
    open_ones = 0.9 * 0.5 / 10 + 0.1 / 10
    assert abs(proportion([motion for motion, _ in shown], SPIN) - whole - open_ones) < 0.03
    unnamed = [motion for motion, said in shown if said and not says_spin(said)]
    assert proportion(unnamed, SPIN) < 0.12, "of the open ones, and some misspelt"


@pytest.mark.parametrize("partial", [0.0, 0.3, 1.0])
def test_as_many_captions_leave_something_open_as_told(
    films: Callable[..., LatentDataset], partial: float
) -> None:
    """Of those whose film spins, which nearly every wording says by one of its own words."""
    shown = [said for motion, said in batch(films(partial=partial), 1) if said and motion == SPIN]
    told = sum(says_spin(said) for said in shown) / len(shown)
    silent_of_motion = 5 / 6 * partial  # a sixth of the open ones tell the motion
    assert abs(told - (1 - silent_of_motion)) < 0.1


def test_a_tenth_of_all_captions_say_nothing(films: Callable[..., LatentDataset]) -> None:
    shown = batch(films())
    assert abs(sum(not said for _, said in shown) / len(shown) - 0.1) < 0.02
    assert vocabulary() >= OF_SPINNING
