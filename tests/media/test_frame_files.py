"""Frames in files that lose nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from errors import ErrorCode, KinoraError
from media.frame_files import write_frames


@pytest.mark.parametrize("size", [(1, 1), (17, 2), (63, 97), (64, 128), (255, 257)])
@pytest.mark.parametrize("levels", [256, 3])
def test_what_is_read_is_what_was_written(
    size: tuple[int, int], levels: int, tmp_path: Path
) -> None:
    frames = np.random.default_rng(1).integers(0, levels, (4, *size, 3)).astype(np.uint8)
    stored = write_frames(iter(frames), tmp_path / "window.mkv")
    assert (stored.count, stored.height, stored.width) == (4, *size)
    assert np.array_equal(np.stack(list(stored.frames())), frames)
    assert [path.name for path in tmp_path.iterdir()] == ["window.mkv"]


def test_a_reader_may_stop_early(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (30, 64, 64, 3)).astype(np.uint8)
    stored = write_frames(iter(frames), tmp_path / "window.mkv")
    reading = stored.frames()
    assert np.array_equal(next(reading), frames[0])
    reading.close()


def test_a_file_that_is_too_short_or_damaged_is_an_error(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)
    stored = write_frames(iter(frames), tmp_path / "window.mkv")
    for damaged in (replace(stored, count=5), stored):
        with pytest.raises(KinoraError) as failed:
            list(damaged.frames())
        assert failed.value.code is ErrorCode.DECODE
        stored.path.write_bytes(stored.path.read_bytes()[:100])


def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    with pytest.raises(KinoraError) as failed:
        write_frames(iter(frames), tmp_path / "window.mkv")
    assert failed.value.code is ErrorCode.ENCODE
    assert not list(tmp_path.iterdir())
