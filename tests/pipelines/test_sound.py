"""What a model makes to be heard, on its way to the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pipelines.engine import latents_file
from pipelines.engine.denoise import SampledLatents
from pipelines.sound import Sound


def sampled(sound: Sound | None) -> SampledLatents:
    return SampledLatents(
        latents=torch.zeros(1, 4, 3, 2, 2),
        noise=None,
        sound=sound,
        finished_early=False,
        steps_done=3,
        seconds={"denoise": 1.0},
    )


def test_sound_is_kept_with_the_latents_until_the_clip_is_written(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)
    latents_file.save(sampled(Sound(samples, 24_000)), tmp_path / "kept")
    again = latents_file.load(tmp_path / "kept", torch.device("cpu"))
    assert again is not None and again.sound is not None
    assert again.sound.rate_hz == 24_000
    assert np.array_equal(again.sound.samples, samples)


def test_what_was_silent_stays_so(tmp_path: Path) -> None:
    latents_file.save(sampled(None), tmp_path / "kept")
    again = latents_file.load(tmp_path / "kept", torch.device("cpu"))
    assert again is not None
    assert again.sound is None
