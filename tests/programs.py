"""Programs that the tests run. `make test` installs them, so a missing one is a failure."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PLACES = (Path(sys.prefix) / "bin", "/usr/sbin")


def program(name: str) -> str:
    path = os.pathsep.join([*map(str, PLACES), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    assert found, f"{name} is not installed: run `make debian .venv/.dev .venv/bin/promtool`"
    return found
