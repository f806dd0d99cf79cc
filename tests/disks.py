"""Small disks of their own, where the tests may mount: as root, and in most containers of a CI."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(at: Path, *how: str) -> Iterator[Path]:
    """`mount` with those arguments; the test is skipped where that is not permitted."""
    done = subprocess.run(["mount", *how, str(at)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)
