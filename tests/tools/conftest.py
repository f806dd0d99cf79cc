"""Checkouts to make Spaces of: a small one to do things to, and a copy of this one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from settings import ROOT

README = """---
title: Small
sdk: gradio
app_file: app.py
---

# Small
"""
SMALL = {"README.md": README, "app.py": "print('hello')\n", "requirements.txt": "torch>=2.9\n"}
PLAIN = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.org",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.org",
}


def git(folder: Path, *words: str) -> bytes:
    """Without the configuration of whoever runs the tests."""
    done = subprocess.run(
        ["git", *words], cwd=folder, env=os.environ | PLAIN, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "-A", "-f", ".")
    git(folder, "commit", "-q", "--allow-empty", "-m", "a commit")


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture
def checkout(tmp_path: Path) -> Callable[..., Path]:
    """A repository with one commit: the three files that a Space needs, and those given."""

    def made(files: dict[str, str | bytes] | None = None, *, name: str = "checkout") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
        write(folder, SMALL | (files or {}))
        commit(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def kinora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This very project as it lies here, with everything git knows of committed."""
    folder = tmp_path_factory.mktemp("kinora") / "checkout"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("the tests do not run in a git checkout, whose files could be copied")
    for name in filter(None, done.stdout.decode().split("\0")):
        source = ROOT / name
        if source.is_file() and not name.startswith(("tests/data/", "training/runs/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    git(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder
