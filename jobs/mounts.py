"""Whether a folder is on a disk of this machine, by the kernel's own list of mounts.

SQLite's write-ahead log needs memory that is shared through the file system, and locks that hold;
file systems over a network, and those in user space that stand for an object store, give neither.
Linux only: elsewhere every folder counts as local.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fakeowner",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "prl_fs",
        "smb2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
        "wekafs",
    }
)
"""Those of other machines, and those by which a virtual machine sees the folders of its host."""
LOCAL_FUSE = frozenset({"fuseblk"})
"""NTFS and the like, on a disk that is in this machine."""


def network_kind(path: Path) -> str | None:
    """The type of the network or user-space file system that a path is on, or will be on once it
    is made; None for a local disk."""
    kind = mount_kind(_as_it_will_be(path), _read())
    is_far = kind in NETWORK or (kind.startswith("fuse") and kind not in LOCAL_FUSE)
    return kind if is_far else None


def mount_kind(path: Path, mountinfo: str) -> str:
    """By the longest mount point above the path; of two at one place, the later one covers it."""
    found, longest = "", -1
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        point = Path(_unescaped(fields[4]))
        depth = len(point.parts)
        if depth >= longest and path.is_relative_to(point):
            found, longest = after.split(" ")[0], depth
    return found


def is_mounted(path: Path) -> bool:
    """Whether something was mounted at this very folder."""
    points = (line.split(" ")[4:5] for line in _read().splitlines())
    return any(Path(_unescaped(point[0])) == path for point in points if point)


def why_not_writable(folder: Path) -> str | None:
    """Tried: what the permissions say is not what a mount does. None if it can be written."""
    probe = folder / f".kinora-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _as_it_will_be(path: Path) -> Path:
    return path.resolve()  # not strict: what is missing at the end stays as it is


def _read() -> str:
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _unescaped(point: str) -> str:
    """The kernel writes blanks, tabs, line ends and backslashes as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
