"""The measuring tools measure what they should: known loudness, peaks, offsets and colours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.media.operations.measure import (
    RATE_HZ,
    Sound,
    offsets,
    plain_colour,
    read_sound,
    tone,
    write_flashes,
    write_plain,
)
from tests.media.reading import read


def test_a_stereo_sine_of_997_hz_at_full_level_has_the_loudness_of_the_standard() -> None:
    sound = Sound(tone(997, 3, 1.0, channels=2))
    assert sound.loudness == pytest.approx(0.0, abs=0.1)  # -3.01 a channel, by BS.1770


def test_a_true_peak_is_found_between_two_samples() -> None:
    times = np.arange(RATE_HZ)
    wave = np.sin(2 * np.pi * 12_000 * times / RATE_HZ + np.pi / 4) * np.hanning(RATE_HZ)
    assert np.abs(wave).max() < 0.72
    assert Sound(wave[None].astype("f4")).true_peak_db == pytest.approx(0.0, abs=0.1)


def test_flashes_and_clicks_that_are_together_have_no_offset(tmp_path: Path) -> None:
    times = [Fraction(n, 25) for n in range(50)]
    at = [Fraction(1, 5), Fraction(4, 5), Fraction(8, 5)]
    path = write_flashes(tmp_path / "clip.mp4", at, Fraction(2), times=times)
    assert max(abs(each) for each in offsets(path)) < 0.003


def test_a_delayed_sound_has_an_offset(tmp_path: Path) -> None:
    times = [Fraction(n, 25) for n in range(50)]
    path = write_flashes(tmp_path / "clip.mp4", [Fraction(1)], Fraction(2), times=times)
    sound = read_sound(path)
    late = Sound(np.pad(sound.samples, ((0, 0), (1200, 0))))
    assert late.onsets()[0] - sound.onsets()[0] == pytest.approx(0.025, abs=1e-4)


def test_plain_colours_and_tones_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = write_plain(tmp_path / "clip.mp4", (200, 40, 90), tone_hz=440, amplitude=0.25)
    clip = read(path)
    assert clip.frames.shape == (24, 48, 64, 3)
    assert plain_colour(clip.frames[7]) == pytest.approx([200, 40, 90], abs=2)
    assert read_sound(path).level_of(440, 0.1, 0.9) == pytest.approx(0.25, rel=0.02)
    assert read_sound(path).level_of(660, 0.1, 0.9) < 0.01
