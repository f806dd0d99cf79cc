"""Files that are whole or not there, and how they get from one folder to another."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from errors import ErrorCode, KinoraError
from media import files


@pytest.fixture
def made(tmp_path: Path) -> list[Path]:
    """What a worker left in its own folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("clip.mp4", "result.json"):
        (folder / name).write_bytes(name.encode())
    return [folder / "clip.mp4", folder / "result.json"]


def test_on_the_same_disk_a_published_clip_is_not_copied(made: list[Path], tmp_path: Path) -> None:
    files.publish(made, tmp_path / "kept")
    for file in made:
        assert (tmp_path / "kept" / file.name).stat().st_ino == file.stat().st_ino
        file.unlink()
        assert (tmp_path / "kept" / file.name).read_bytes() == file.name.encode()


def test_where_nothing_can_be_linked_it_is_copied(
    made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", another_disk)
    files.publish(made, tmp_path / "kept")
    for file in made:
        assert (tmp_path / "kept" / file.name).stat().st_ino != file.stat().st_ino
        assert (tmp_path / "kept" / file.name).read_bytes() == file.name.encode()


def test_publishing_again_replaces_what_an_earlier_attempt_left(
    made: list[Path], tmp_path: Path
) -> None:
    files.publish(made, tmp_path / "kept")
    made[0].unlink()
    made[0].write_bytes(b"made anew")
    files.publish(made, tmp_path / "kept")
    assert (tmp_path / "kept" / "clip.mp4").read_bytes() == b"made anew"
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [f.name for f in made]


def test_half_of_a_clip_is_never_named_as_one(made: list[Path], tmp_path: Path) -> None:
    """What cannot be read is found out before the first name is there."""
    made[1].unlink()
    with pytest.raises(FileNotFoundError):
        files.publish(made, tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_full_disk_is_a_sentence(
    made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(KinoraError) as refused:
        files.publish(made, tmp_path / "kept")
    assert refused.value.code is ErrorCode.OUT_OF_DISK
    assert list((tmp_path / "kept").iterdir()) == []
