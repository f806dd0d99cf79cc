"""A clip that is gone on from keeps its length, its pace and its whole sound, or what is changed is
said: measured with PyAV in the file of both."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.uploads import Uploads
from media.encode import EncodedClip, encode
from media.prefix import LeadIn
from media.videos import StoredVideo, find_video, load_frames, store_video
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.request import FittedRequest, GenerationRequest
from settings import Settings
from tests import tiny
from tests.media.making import FFMPEG, write_timed

RATE_HZ = 48_000
IN_TIME_S = 0.02
ME = "visitor:me"
ADDED_S = 1.0

Bursts = list[tuple[float, float]]


def bursts(seconds: float, where: Bursts, channels: int = 1) -> np.ndarray:
    """Silence with loud tones from .. until."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    loud = sum((time >= begins) & (time < ends) for begins, ends in where)
    wave = 0.5 * np.sin(2 * np.pi * 1000 * time) * loud
    return np.stack([wave] * channels).astype(np.float32)


def heard_bursts(path: Path) -> Bursts:
    """Where a file is loud, by the timestamps of its packets."""
    with av.open(str(path)) as clip:
        assert clip.streams.audio, "it has a sound"
        stream = clip.streams.audio[0]
        resampler = av.AudioResampler("fltp", "mono", RATE_HZ)
        line = np.zeros(RATE_HZ * 20, np.float32)
        for frame in clip.decode(stream):
            for part in resampler.resample(frame):
                at = round(float((part.pts or 0) * (part.time_base or 0)) * RATE_HZ)
                samples = part.to_ndarray()[0]
                samples = samples[max(-at, 0) :]
                line[max(at, 0) : max(at, 0) + len(samples)] = samples
    window = RATE_HZ // 200
    loud = np.abs(line).reshape(-1, window).max(axis=1) > 0.1
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(int)))
    return [(a * window / RATE_HZ, b * window / RATE_HZ) for a, b in edges.reshape(-1, 2)]


def is_in_time(got: Bursts, meant: Bursts, off: float = IN_TIME_S) -> bool:
    return len(got) == len(meant) and bool(np.abs(np.array(got) - np.array(meant)).max() <= off)


def going_on(
    source: Path, folder: Path, **asked: Any
) -> tuple[FittedRequest, EncodedClip, StoredVideo]:
    """As a request is accepted and its file written, with grey pictures for a model's."""
    keeper = Uploads(folder / "pictures", Settings(data_dir=folder, _env_file=None))  # pyright: ignore[reportCallIssue]
    stored = keeper.store_video(source, ME)
    request = GenerationRequest.model_validate(
        {"prompt": "on", "continue_from": stored.id, "duration_s": ADDED_S, "width": 64,
         "height": 64} | asked
    )  # fmt: skip
    card = ModelCard.model_validate(tiny.CARD | {"repo": "nowhere"})
    _, clip = keeper.sizes(request)
    fitted = fit(request, card, Limits(), clip=clip)
    first = LeadIn(stored.id, keeper.folder, fitted.fps, fitted.lead_frames, fitted.width,
                 fitted.height, skip=fitted.overlap)  # fmt: skip
    added = np.full((fitted.num_frames - fitted.overlap, fitted.height, fitted.width, 3), 128,
                    np.uint8)  # fmt: skip
    made = encode(added, folder / f"made.{fitted.format}", fps=fitted.fps, format=fitted.format,
                  lead=first)  # fmt: skip
    return fitted, made, stored


def sentences(fitted: FittedRequest) -> str:
    return " ".join(change.sentence for change in fitted.adjustments)


Pictures = tuple[list[int], list[Fraction], Fraction]
Source = tuple[Path, Bursts, float]
"""The file, where it is loud, and how many seconds a player plays."""


def even(fps: Fraction, seconds: float, begins: Fraction = Fraction(0)) -> Pictures:
    count = round(fps * Fraction(seconds))
    times = [begins + n / fps for n in range(count)]
    return [20 + n % 60 * 3 for n in range(count)], times, begins + count / fps


Write = Callable[[Path], Source]


def late_pictures(folder: Path) -> Source:
    where = [(0.1, 0.2), (0.7, 0.8), (1.8, 1.95)]
    values, times, ends = even(Fraction(16), 1, Fraction(1, 2))
    return write_timed(folder / "a.mp4", values, times, ends, sound=bursts(2, where)), where, 2.0


def short_sound(folder: Path) -> Source:
    where = [(0.1, 0.2), (0.6, 0.7)]
    made = write_timed(folder / "a.mp4", *even(Fraction(16), 2), sound=bursts(0.8, where))
    return made, where, 2


def late_sound(folder: Path) -> Source:
    made = write_timed(folder / "a.mp4", *even(Fraction(24), 2), sound=bursts(1, [(0.1, 0.3)]),
                       sound_begins=Fraction(1, 2))  # fmt: skip
    return made, [(0.6, 0.8)], 2


def both_late(folder: Path) -> Source:
    """Neither begins at 0, as parts cut out of a stream do: players begin with the earlier one."""
    values, times, ends = even(Fraction(25), 1, Fraction(3, 2))
    made = write_timed(folder / "a.mkv", values, times, ends, sound=bursts(1.4, [(0.6, 0.7)]),
                       sound_begins=Fraction(1), tick=Fraction(1, 1000))  # fmt: skip
    return made, [(0.6, 0.7)], 1.5


def fast(folder: Path) -> Source:
    where = [(0.9, 0.99)]
    return write_timed(folder / "a.mp4", *even(Fraction(60), 1), sound=bursts(1, where)), where, 1


def of_television(folder: Path) -> Source:
    where = [(0.2, 0.3), (1.8, 1.9)]
    made = write_timed(folder / "a.mp4", *even(Fraction(30_000, 1001), 2),
                       tick=Fraction(1, 30_000), sound=bursts(2, where))  # fmt: skip
    return made, where, 60 * 1001 / 30_000


def of_cinema(folder: Path) -> Source:
    made = write_timed(folder / "a.mov", *even(Fraction(24_000, 1001), 2),
                       tick=Fraction(1, 24_000), sound=bursts(2, [(1.8, 1.9)]))  # fmt: skip
    return made, [(1.8, 1.9)], 48 * 1001 / 24_000


def very_fast(folder: Path) -> Source:
    where = [(0.5, 0.6)]
    return write_timed(folder / "a.mp4", *even(Fraction(120), 1), sound=bursts(1, where)), where, 1


def cut_out(folder: Path) -> Source:
    """An edit list: the first half second is in the file and is not played."""
    write_timed(folder / "b.mp4", *even(Fraction(24), 2), sound=bursts(2, [(0.2, 0.3), (1.2, 1.3)]))
    made = folder / "a.mp4"
    subprocess.run([FFMPEG, "-y", "-loglevel", "error", "-ss", "0.5", "-i", folder / "b.mp4", "-c",
                    "copy", made], check=True)  # fmt: skip
    return made, [(0.7, 0.8)], 1.5


def held(folder: Path) -> Source:
    """Its last picture is held for a second, and the sound goes on."""
    values, times, _ = even(Fraction(30), 1)
    where = [(0.5, 0.6), (1.7, 1.8)]
    made = write_timed(folder / "a.mp4", values, times, Fraction(2), sound=bursts(2, where))
    return made, where, 2


SOURCES = [late_pictures, short_sound, late_sound, both_late, fast, of_television, of_cinema,
           very_fast, cut_out, held]  # fmt: skip


@pytest.mark.parametrize("write", SOURCES, ids=lambda each: each.__name__)
def test_length_pace_and_sound_of_the_first_clip_are_kept_or_the_change_is_said(
    tmp_path: Path, write: Write
) -> None:
    source, where, lasts_s = write(tmp_path)
    fitted, made, stored = going_on(source, tmp_path)
    assert stored.seconds == pytest.approx(lasts_s, abs=1 / stored.fps)
    first_s = fitted.lead_frames / fitted.fps
    assert first_s == pytest.approx(lasts_s, abs=0.5 / fitted.fps + 0.02)
    assert is_in_time(heard_bursts(made.path), where), heard_bursts(made.path)
    pace = stored.sent_fps or 0
    is_said = "frames per second instead of" in sentences(fitted)
    assert is_said == (abs(pace - fitted.fps) >= 0.005)
    if pace > 60:
        assert f"instead of {pace:g}" in sentences(fitted), "not the rate that is kept here"


@pytest.mark.parametrize(
    ("codec", "layout", "name", "says"),
    [
        ("aac", "stereo", "c.mp4", ""),
        ("aac", "5.1", "c.mov", "6 channels; they are mixed down to stereo"),
        ("libopus", "mono", "c.webm", ""),
        ("libvorbis", "stereo", "c.webm", ""),
        ("libmp3lame", "mono", "c.mp4", ""),
        ("pcm_s16le", "stereo", "c.mov", ""),
        ("alac", "mono", "c.mov", ""),
        ("flac", "mono", "c.mkv", ""),
        ("ac3", "5.1", "c.mkv", "mixed down"),
        ("wmav2", "stereo", "c.mkv", "coded as wmav2, which cannot be read here"),
    ],
)
def test_sound_of_any_usual_codec_is_carried_over(
    tmp_path: Path, codec: str, layout: str, name: str, says: str
) -> None:
    where: Bursts = [(0.3, 0.4), (0.8, 0.98)]
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    raw = tmp_path / "sound.f32"
    bursts(1, where, channels).T.astype("<f4").tofile(raw)
    pictures = write_timed(tmp_path / "silent.mp4", *even(Fraction(8), 1))
    webm = name.endswith("webm")
    source = tmp_path / name
    subprocess.run(
        [FFMPEG, "-y", "-loglevel", "error", "-i", pictures, "-f", "f32le", "-ar", "48000",
         "-ch_layout", layout, "-i", raw, "-c:v", "libvpx" if webm else "copy", "-c:a", codec,
         source], check=True,
    )  # fmt: skip
    fitted, made, stored = going_on(source, tmp_path)
    assert says in sentences(fitted)
    if codec == "wmav2":
        assert (stored.channels, stored.lost_sound) == (0, "wmav2")
        return
    others = [change for change in fitted.adjustments if change.field != "width"]
    assert bool(others) == bool(says), others
    assert is_in_time(heard_bursts(made.path), where), heard_bursts(made.path)
    with av.open(str(made.path)) as clip:
        assert clip.streams.audio[0].channels == min(channels, 2)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fps=st.sampled_from([8, 10, 12, 24, 25, 30, 50, 60]),
    count=st.integers(1, 60),
    late_ms=st.sampled_from([0, 0, 40, 130, 700]),
    sound_ms=st.integers(300, 3000),
    at_ms=st.integers(20, 200),
)
def test_any_lengths_and_offsets_keep_pictures_and_sound_together(
    tmp_path_factory: pytest.TempPathFactory,
    fps: int,
    count: int,
    late_ms: int,
    sound_ms: int,
    at_ms: int,
) -> None:
    folder = tmp_path_factory.mktemp("join")
    begins = Fraction(late_ms, 1000)
    ends = begins + Fraction(count, fps)
    where = [(at_ms / 1000, at_ms / 1000 + 0.05), (sound_ms / 1000 - 0.06, sound_ms / 1000 - 0.01)]
    source = write_timed(
        folder / "a.mp4", [20 + 3 * n for n in range(count)],
        [begins + Fraction(n, fps) for n in range(count)], ends,
        sound=bursts(sound_ms / 1000, where),
    )  # fmt: skip
    fitted, made, stored = going_on(source, folder)
    lasts = max(float(ends), sound_ms / 1000)
    assert stored.seconds == pytest.approx(lasts, abs=0.1 + 1 / stored.fps + 0.025)
    assert fitted.lead_frames / fitted.fps == pytest.approx(stored.seconds, abs=0.51 / fitted.fps)
    assert is_in_time(heard_bursts(made.path), where), (where, heard_bursts(made.path))
    last = load_frames(stored.id, folder / "pictures", fps=60, width=64, height=48,
                       num_frames=max(1, int(stored.seconds * 60)))[-1]  # fmt: skip
    assert abs(np.asarray(last)[8:-8, 8:-8].mean() - (20 + 3 * (count - 1))) <= 3


def test_a_clip_without_sound_and_one_whose_sound_is_damaged_are_kept(tmp_path: Path) -> None:
    source, _, _ = short_sound(tmp_path)
    silent = store_video(source, tmp_path, sound=False)
    assert (silent.channels, silent.lost_sound) == (0, None)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as clip:
        for packet in clip.demux(audio=0):
            if packet.pos is not None and packet.size:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(bytes(data))
    stored = store_video(broken, tmp_path)
    assert stored.num_frames == silent.num_frames


def test_a_size_that_is_reduced_here_is_named_as_it_was_sent(tmp_path: Path) -> None:
    source = write_timed(tmp_path / "a.mp4", *even(Fraction(8), 1))
    large = tmp_path / "large.mp4"
    subprocess.run([FFMPEG, "-y", "-loglevel", "error", "-i", source, "-vf", "scale=1920:1440",
                    "-preset", "ultrafast", large], check=True)  # fmt: skip
    fitted, _, stored = going_on(large, tmp_path)
    assert (stored.width, stored.sent_size) == (1280, (1920, 1440))
    assert "instead of 1920x1440" in sentences(fitted)


def test_older_figures_beside_a_clip_are_still_read(tmp_path: Path) -> None:
    stored = store_video(write_timed(tmp_path / "a.mp4", *even(Fraction(8), 1)), tmp_path)
    old = '{"id": "%s", "width": 64, "height": 48, "fps": 8.0, "num_frames": 8}' % stored.id  # noqa: UP031
    (tmp_path / f"{stored.id}.json").write_text(old)
    found = find_video(stored.id, tmp_path)
    assert (found.seconds, found.sent_size, found.channels) == (1.0, None, 0)
