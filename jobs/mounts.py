"""Whether a folder is on a local disk, by the kernel's list of mounts.

SQLite's write-ahead log needs shared memory and reliable locks, which network file systems and FUSE
mounts of object stores do not provide. Linux only: elsewhere every folder counts as local.
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
"""Network file systems, and those by which a virtual machine sees its host's folders."""
LOCAL_FUSE = frozenset({"fuseblk"})
"""NTFS and the like, on a local disk."""


def network_kind(path: Path) -> str | None:
    """The type of the network or FUSE file system of a path, which need not exist yet; None for a
    local disk."""
    kind = mount_kind(_resolved(path), _read())
    is_far = kind in NETWORK or (kind.startswith("fuse") and kind not in LOCAL_FUSE)
    return kind if is_far else None


def mount_kind(path: Path, mountinfo: str) -> str:
    """The type by the longest mount point above the path; the later one of two at one place."""
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
    """True if the folder is a mount point."""
    points = (line.split(" ")[4:5] for line in _read().splitlines())
    return any(Path(_unescaped(point[0])) == path for point in points if point)


def why_not_writable(folder: Path) -> str | None:
    """The reason, or None if it can be written. It is tried: a mount may ignore the permissions."""
    probe = folder / f".kinora-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _resolved(path: Path) -> Path:
    return path.resolve()  # not strict: missing parts at the end are kept


def _read() -> str:
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _unescaped(point: str) -> str:
    """The kernel escapes blanks, tabs, line ends and backslashes as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
