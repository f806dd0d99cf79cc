"""Soundtracks, volumes and loudness, measured in the finished file by independent libraries."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import KinoraError
from media.operations.chain import Chain, plan_chain
from media.operations.edit_sources import open_source
from media.operations.join_clips import JoinClips
from media.operations.mix_sound import MixSound, read_flac
from media.operations.outputs import OutputFormat
from media.operations.run_chain import EditedClip, OutputFile, run_chain
from tests.media.making import FFMPEG
from tests.media.operations.measure import (
    RATE_HZ,
    has_sound,
    offsets,
    read_sound,
    tone,
    write_clip,
    write_flashes,
    write_plain,
)
from tests.media.operations.measure import plain as plain_frame
from tests.media.reading import read

ID = "a" * 64
BLUE = (60, 80, 200)


def write_flac(path: Path, sound: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    """As uploads are stored: float32 [channels, samples]."""
    samples = (sound.T * 32767).round().clip(-32768, 32767).astype("<i2").tobytes()
    subprocess.run(
        [FFMPEG, "-y", "-loglevel", "error", "-f", "s16le", "-ar", str(rate_hz), "-ac",
         str(sound.shape[0]), "-i", "pipe:0", "-c:a", "flac", str(path)],
        input=samples, check=True,
    )  # fmt: skip
    return path


def chain_of(clip: Path, operation: MixSound, track: Path | None = None) -> Chain:
    return plan_chain([open_source(clip)], [operation], files={ID: track} if track else {})


def make(
    clip: Path, operation: MixSound, track: Path | None = None, format: OutputFormat = "mp4"
) -> EditedClip:
    return run_chain(
        chain_of(clip, operation, track), clip.with_name(f"out.{format}"), OutputFile(format)
    )


@pytest.fixture
def silent_clip(tmp_path: Path) -> Path:
    return write_plain(tmp_path / "clip.mp4", BLUE, num_frames=72)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_plain(tmp_path / "clip.mp4", BLUE, num_frames=72, tone_hz=440, amplitude=0.2)


def test_a_long_soundtrack_is_cut_to_the_clip(silent_clip: Path, tmp_path: Path) -> None:
    track = write_flac(tmp_path / "t.flac", tone(1000, 10, 0.3))
    made = make(silent_clip, MixSound(file=ID, loudness=False, fade_out_s=0), track)
    sound = read_sound(made.path)
    assert abs(sound.seconds - 3) < 0.022 and made.info.channels == 2
    assert sound.level_of(1000, 0.1, 2.9) == pytest.approx(0.3, rel=0.03)
    assert len(read(made.path).frames) == 72


def test_a_short_one_is_looped_without_gaps(silent_clip: Path, tmp_path: Path) -> None:
    # 0.7 s hold a whole number of periods, so that the loop is one continuous tone
    track = write_flac(tmp_path / "t.flac", tone(1000, 0.7, 0.3))
    made = make(silent_clip, MixSound(file=ID, loudness=False, fade_out_s=0), track)
    sound = read_sound(made.path)
    levels = [sound.level_of(1000, at, at + 0.05) for at in np.arange(0.05, 2.9, 0.05)]
    assert min(levels) > 0.28 and max(levels) < 0.32


def test_one_that_is_not_looped_ends_with_a_sentence(silent_clip: Path, tmp_path: Path) -> None:
    track = write_flac(tmp_path / "t.flac", tone(1000, 2, 0.3))
    operation = MixSound(file=ID, loop=False, loudness=False, start_s=0.5, at_s=1, fade_out_s=0)
    made = make(silent_clip, operation, track)
    assert made.notes == ("The soundtrack ends after 2.5 s, before the clip does.",)
    sound = read_sound(made.path)
    assert sound.rms(0, 0.95) < 1e-3 < 0.1 < sound.rms(1.05, 2.45)
    assert sound.rms(2.55, 2.95) < 1e-3
    assert sound.onsets(0.1)[0] == pytest.approx(1, abs=0.01)


def test_offsets_and_fades_are_where_they_should_be(silent_clip: Path, tmp_path: Path) -> None:
    noise = tone(1000, 4, 0.4)
    noise[:, :RATE_HZ] = tone(300, 1, 0.4)
    track = write_flac(tmp_path / "t.flac", noise)
    operation = MixSound(file=ID, start_s=1, fade_in_s=1, fade_out_s=1, loudness=False)
    sound = read_sound(make(silent_clip, operation, track).path)
    levels = [sound.level_of(1000, at - 0.05, at + 0.05) for at in (0.1, 0.5, 1.5, 2.5, 2.9)]
    assert levels == pytest.approx([0.04, 0.2, 0.4, 0.2, 0.04], abs=0.012)
    assert sound.level_of(300, 0.1, 0.9) < 0.01


def test_the_own_sound_is_mixed_or_replaced(clip: Path, tmp_path: Path) -> None:
    track = write_flac(tmp_path / "t.flac", tone(1000, 5, 0.3, channels=2))
    levels = []
    for own_volume, volume in ((1.0, 1.0), (0.5, 1.0), (0.0, 0.5)):
        operation = MixSound(file=ID, own_volume=own_volume, volume=volume, loudness=False)
        sound = read_sound(make(clip, operation, track).path)
        levels.append([sound.level_of(hz, 0.2, 1.8) for hz in (440, 1000)])
    assert levels[0] == pytest.approx([0.2, 0.3], abs=0.01)
    assert levels[1] == pytest.approx([0.1, 0.3], abs=0.01)
    assert levels[2] == pytest.approx([0.0, 0.15], abs=0.01)


def test_without_a_file_the_own_sound_is_changed_or_removed(clip: Path) -> None:
    assert not has_sound(make(clip, MixSound(own_volume=0)).path)
    quiet = make(clip, MixSound(own_volume=0.25, loudness=False))
    assert read_sound(quiet.path).level_of(440, 0.2, 2.8) == pytest.approx(0.05, rel=0.05)
    assert quiet.info.channels == 1


def test_a_gif_is_made_without_it(clip: Path) -> None:
    assert not has_sound(make(clip, MixSound(), format="gif").path)


def pink_noise(seconds: float) -> np.ndarray:
    count = round(seconds * RATE_HZ)
    frequencies = np.fft.rfftfreq(count, 1 / RATE_HZ)
    rng = np.random.default_rng(5)
    phases = rng.normal(size=frequencies.size) + 1j * rng.normal(size=frequencies.size)
    wave = np.fft.irfft(phases / np.sqrt(np.maximum(frequencies, 20)), count)
    return wave / np.abs(wave).max()


def music(seconds: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * times) / n for n, hz in enumerate((220, 277, 330, 440), 1))
    beat = np.exp(-((times * 2) % 1) * 8)
    hiss = np.random.default_rng(7).normal(size=times.size) * np.exp(-((times * 2) % 1) * 60)
    wave = 0.15 * chord * beat + 0.35 * hiss
    return wave / np.abs(wave).max()


def speech(seconds: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch = 2 * np.pi * np.cumsum(130 + 25 * np.sin(2 * np.pi * 0.7 * times)) / RATE_HZ
    voice = sum(np.sin(n * pitch) / n for n in range(1, 20))
    syllables = np.maximum(0, np.sin(2 * np.pi * 2.3 * times)) ** 2
    wave = voice * syllables * (np.sin(2 * np.pi * 0.3 * times) > -0.5)
    return wave / np.abs(wave).max()


@pytest.mark.parametrize(
    ("signal", "level", "format"),
    [
        (pink_noise, 0.01, "mp4"),
        (pink_noise, 1.0, "webm"),
        (music, 0.9, "mp4"),
        (music, 0.02, "webm"),
        (speech, 0.3, "mp4"),
    ],
)
def test_the_loudness_is_minus_14_lufs_and_peaks_stay_under_minus_1_dbtp(
    tmp_path: Path, signal: Callable[[float], np.ndarray], level: float, format: OutputFormat
) -> None:
    wave = (level * signal(4)).astype("f4")
    stereo = np.stack([wave, np.roll(wave, 31)])
    times = [Fraction(n, 8) for n in range(32)]
    frames = [plain_frame(BLUE)] * 32
    clip = write_clip(tmp_path / "clip.mp4", frames, times, Fraction(4), stereo)
    sound = read_sound(make(clip, MixSound(), format=format).path)
    assert sound.loudness == pytest.approx(-14, abs=0.7)  # AAC takes 0.5 of noise
    assert sound.true_peak_db < -1


@settings(max_examples=3)
@given(st.floats(0.002, 1.0), st.floats(1.0, 12.0), st.integers(0, 5))
def test_no_mixture_of_noise_and_clicks_has_peaks_over_minus_1_dbtp(
    level: float, crest: float, seed: int
) -> None:
    from tempfile import TemporaryDirectory

    rng = np.random.default_rng(seed)
    wave = rng.normal(size=3 * RATE_HZ) * level / 4 / crest
    for at in rng.integers(0, wave.size - 600, 8):
        wave[at : at + 600] += rng.normal(size=600) * np.exp(-np.arange(600) / 90) * level / 2
    with TemporaryDirectory() as place:
        times = [Fraction(n, 8) for n in range(24)]
        frames = [plain_frame(BLUE)] * 24
        sound = wave.clip(-1, 1).astype("f4")[None]
        clip = write_clip(Path(place) / "clip.mp4", frames, times, Fraction(3), sound)
        made = read_sound(make(clip, MixSound()).path)
    assert made.true_peak_db < -1
    assert made.loudness < -13


def test_silence_stays_silent(tmp_path: Path) -> None:
    clip = write_plain(tmp_path / "clip.mp4", BLUE, num_frames=48, tone_hz=440, amplitude=0.0)
    assert read_sound(make(clip, MixSound()).path).rms(0, 2) < 1e-4


def test_a_limiter_does_not_move_the_sound_against_the_frames(tmp_path: Path) -> None:
    times = [Fraction(n, 25) for n in range(75)]
    at = [Fraction(1, 5), Fraction(1), Fraction(2)]
    clip = write_flashes(tmp_path / "clip.mp4", at, Fraction(3), times=times)
    track = write_flac(tmp_path / "t.flac", tone(200, 5, 0.02))
    made = make(clip, MixSound(file=ID, volume=0.2), track)
    assert max(abs(each) for each in offsets(made.path)) < 0.02


def test_each_clip_is_brought_to_the_same_loudness_before_a_join(tmp_path: Path) -> None:
    paths = [
        write_plain(tmp_path / f"{n}.mp4", BLUE, num_frames=72, tone_hz=700, amplitude=amplitude)
        for n, amplitude in enumerate((0.02, 0.6))
    ]
    chain = plan_chain([open_source(path) for path in paths], [MixSound(), JoinClips()])
    sound = read_sound(run_chain(chain, tmp_path / "out.mp4").path)
    levels = [sound.level_of(700, at, at + 1) for at in (1, 4)]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)


@pytest.mark.parametrize(
    ("operation", "sentence"),
    [
        (MixSound(file=ID, start_s=2), "The sound file lasts 2 s, so nothing is left from 2 s on."),
        (MixSound(file=ID, at_s=3), "The clip lasts 3 s, so the soundtrack cannot begin at 3 s."),
        (MixSound(), "This clip has no sound. Add a sound file for a soundtrack."),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(
    silent_clip: Path, tmp_path: Path, operation: MixSound, sentence: str
) -> None:
    track = write_flac(tmp_path / "t.flac", tone(1000, 2))
    with pytest.raises(KinoraError, match=sentence):
        chain_of(silent_clip, operation, track)


def test_a_file_that_is_no_sound_is_refused(silent_clip: Path, tmp_path: Path) -> None:
    for content in (b"", b"fLaC", b"fLaC" + bytes(60), b"RIFF" + bytes(60)):
        other = tmp_path / "other"
        other.write_bytes(content)
        with pytest.raises(KinoraError, match=r"^This (file is not a|sound is empty or)"):
            chain_of(silent_clip, MixSound(file=ID), other)


@given(st.integers(1, 2), st.sampled_from([8000, 44_100, 48_000]), st.floats(0.01, 0.3))
@settings(max_examples=6)
def test_the_header_of_a_sound_is_read(channels: int, rate_hz: int, duration_s: float) -> None:
    from tempfile import TemporaryDirectory

    samples = np.zeros((channels, round(duration_s * rate_hz)), np.float32)
    with TemporaryDirectory() as place:
        found = read_flac(write_flac(Path(place) / "t.flac", samples, rate_hz))
    assert (found.channels, found.duration_s) == (channels, Fraction(samples.shape[1], rate_hz))
