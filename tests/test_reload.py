"""`gradio app.py`: the developer changes a file and sees it, page, routes and worker alike."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from settings import ROOT
from tests.ports import free_port
from tests.test_cli import wait_for_page

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code, to be changed."""
    copy = tmp_path / "kinora"
    for room in (
        "api",
        "cli",
        "jobs",
        "media",
        "pipelines",
        "setting_groups",
        "ui",
        "web",
        "presets",
    ):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.glob("*.py"):
        shutil.copy(file, copy)
    return copy


@pytest.fixture
def reloading(checkout: Path, tiny_env: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """The address of `gradio app.py`, and what it says."""
    port, log = free_port(), checkout.parent / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("gradio"), "app.py"],
            cwd=checkout,
            env=tiny_env | {"GRADIO_SERVER_PORT": str(port), "PYTHONUNBUFFERED": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
    url = f"http://127.0.0.1:{port}"
    wait_for_page(url, process)
    yield url, log
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_change_is_seen_and_a_mistake_changes_nothing(
    checkout: Path, reloading: tuple[str, Path]
) -> None:
    url, log = reloading
    tab = checkout / "ui" / "tab.py"
    good = tab.read_text(encoding="utf-8")
    assert "What should happen?" in page(url)

    tab.write_text(good + "\nthis is no Python\n", encoding="utf-8")
    until(lambda: "SyntaxError" in log.read_text())
    assert "What should happen?" in page(url)

    tab.write_text(good.replace("What should happen?", "Tell me"), encoding="utf-8")
    until(lambda: "Tell me" in page(url))


def page(url: str) -> str:
    try:
        return httpx.get(url, trust_env=False).text
    except httpx.TransportError:
        return ""


def until(holds: Callable[[], bool], seconds: float = 180) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.2)
