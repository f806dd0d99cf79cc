"""What is on a network mount is known, by the kernel's list of mounts and by trying."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import mounts
from jobs.mounts import LOCAL_FUSE, NETWORK, mount_kind, network_kind, why_not_writable


def escaped(point: str) -> str:
    """As the kernel writes it (fs/proc_namespace.c: blanks, tabs, line ends, backslashes)."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in point)


def line(point: str, kind: str, options: str = "master:1 ") -> str:
    return f"36 35 98:0 /root {escaped(point)} rw,noatime {options}- {kind} some:/where rw\n"


NAMES = st.text(st.sampled_from("abd \t\\ü-.7"), min_size=1, max_size=4).filter(
    lambda name: name not in (".", "..")
)
POINTS = st.lists(NAMES, max_size=4).map(lambda parts: "/" + "/".join(parts))
KINDS = st.sampled_from(["ext4", "nfs4", "fuse", "fuse.hf-mount", "fuseblk", "overlay", "tmpfs"])


@given(
    st.lists(st.tuples(POINTS, KINDS, st.sampled_from(["", "master:1 ", "shared:2 master:1 "]))),
    POINTS,
)
def test_the_mount_of_a_path_is_the_deepest_and_then_the_latest_above_it(
    table: list[tuple[str, str, str]], path: str
) -> None:
    table = [("/", "ext4", ""), *table]
    above: list[tuple[int, int, str]] = []
    for number, (point, kind, _) in enumerate(table):
        parts = [part for part in point.split("/") if part]
        if [part for part in path.split("/") if part][: len(parts)] == parts:
            above.append((len(parts), number, kind))
    text = "".join(line(point, kind, options) for point, kind, options in table)
    assert mount_kind(Path(path), text) == max(above)[2]


@given(st.text(max_size=300))
def test_no_list_of_mounts_is_too_strange(text: str) -> None:
    assert isinstance(mount_kind(Path("/data"), text), str)


@pytest.mark.parametrize("kind", sorted({*NETWORK, "fuse", "fuse.hf-mount", "fuse.s3fs"}))
def test_network_and_user_space_mounts_are_far(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_text(line("/", "ext4") + line(str(tmp_path / "a b"), kind))
    assert network_kind(tmp_path / "a b" / "not there yet" / "kinora.db") == kind
    assert network_kind(tmp_path / "a bc") is None


@pytest.mark.parametrize("kind", ["ext4", "overlay", "tmpfs", "btrfs", "zfs", *LOCAL_FUSE])
def test_disks_of_this_machine_are_near(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_text(line("/", "ext4") + line(str(tmp_path), kind))
    assert network_kind(tmp_path / "x") is None


def test_a_link_into_a_mount_is_on_the_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "far").mkdir()
    (tmp_path / "mountinfo").write_text(line("/", "ext4") + line(str(tmp_path / "far"), "nfs"))
    (tmp_path / "near").symlink_to("far/deeper")
    assert network_kind(tmp_path / "near") == "nfs"


def test_without_such_a_list_everything_counts_as_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "nothing")
    assert network_kind(tmp_path) is None


def test_whether_a_folder_can_be_written_is_tried(tmp_path: Path) -> None:
    assert why_not_writable(tmp_path / "new" / "deeper") is None
    assert list((tmp_path / "new" / "deeper").iterdir()) == []
    (tmp_path / "file").write_text("x")
    assert why_not_writable(tmp_path / "file" / "x") == os.strerror(20)
    assert why_not_writable(Path("/proc")) is not None
