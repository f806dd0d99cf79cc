"""Files that operations read: what is accepted, as what it is stored, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from media.attachments import SUFFIXES, detect_kind, store_attachment
from media.ffmpeg import SOUND_RATE_HZ, base_command

MAX_BYTES = 10_000_000
SECONDS = 0.5


def tone(path: Path, *options: str, channels: int = 2, rate: int = 44_100) -> Path:
    source = f"sine=frequency=440:sample_rate={rate}:duration={SECONDS}"
    command = [*base_command(), "-f", "lavfi", "-i", source, "-ac", str(channels), *options]
    subprocess.run([*command, str(path)], check=True)
    return path


def samples(path: Path) -> tuple[np.ndarray, int]:
    """[C, N] and the rate."""
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
        stream = file.streams.audio[0]
        return np.concatenate(frames, axis=1).reshape(stream.channels, -1), stream.rate or 0


@pytest.mark.parametrize(
    ("name", "channels"),
    [("a.mp3", 2), ("a.wav", 1), ("a.flac", 2), ("a.m4a", 2), ("a.ogg", 2), ("a.aac", 1)],
)
def test_sound_of_many_kinds_is_stored_as_flac(tmp_path: Path, name: str, channels: int) -> None:
    source = tone(tmp_path / name, channels=channels)
    source = source.rename(tmp_path / "file")  # the content decides
    assert detect_kind(source) == "sound"
    stored = store_attachment(source, "sound", tmp_path / "uploads", MAX_BYTES)
    path = tmp_path / "uploads" / f"{stored}.flac"
    assert path.read_bytes()[:4] == b"fLaC"
    sound, rate = samples(path)
    assert (len(sound), rate) == (channels, SOUND_RATE_HZ)
    assert sound.shape[1] / rate == pytest.approx(SECONDS, abs=0.06)
    assert {each.name for each in (tmp_path / "uploads").iterdir()} == {path.name}


def test_the_sound_of_a_clip_can_be_used_though_it_is_a_clip(tmp_path: Path) -> None:
    film = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=8:duration=0.5", "-shortest")
    source = tone(tmp_path / "film.mp4", *film)
    assert detect_kind(source) == "clip"
    stored = store_attachment(source, "sound", tmp_path / "uploads", MAX_BYTES)
    assert (tmp_path / "uploads" / f"{stored}.flac").is_file()


def test_a_clip_without_sound_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "film.mp4"
    film = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=8:duration=0.5")
    subprocess.run([*base_command(), *film, str(source)], check=True)
    with pytest.raises(KinoraError) as refused:
        store_attachment(source, "sound", tmp_path / "uploads", MAX_BYTES)
    assert "has no sound" in refused.value.message


@given(st.binary(max_size=300), st.sampled_from([b"", b"RIFF0000WAVE", b"fLaC", b"OggS", b"ID3"]))
@settings(max_examples=25, deadline=None)
def test_no_bytes_do_more_than_be_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "file").write_bytes(start + data)
    try:
        store_attachment(folder / "file", "sound", folder / "uploads", MAX_BYTES)
    except KinoraError as error:
        assert error.code is ErrorCode.INVALID_INPUT
        assert not list((folder / "uploads").iterdir())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_subtitles_are_stored_as_utf_8(tmp_path: Path, encoding: str) -> None:
    text = "1\n00:00:00,000 --> 00:00:01,000\nGrüße\n"
    (tmp_path / "file").write_bytes(text.encode(encoding))
    if encoding != "utf-16":
        assert detect_kind(tmp_path / "file") == "subtitles"
    stored = store_attachment(tmp_path / "file", "subtitles", tmp_path / "uploads", MAX_BYTES)
    assert (tmp_path / "uploads" / f"{stored}{SUFFIXES['subtitles']}").read_text("utf-8") == text


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for kind in SUFFIXES:
        with pytest.raises(KinoraError) as refused:
            store_attachment(tmp_path / "file", kind, tmp_path / "uploads", 1_000_000)
        assert refused.value.code in (ErrorCode.TOO_LARGE, ErrorCode.INVALID_INPUT)
