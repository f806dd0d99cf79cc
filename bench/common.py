"""Shared by the benchmarks: a server with a temporary data folder, and how figures are printed."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from settings import ROOT

PROMPT = "a dog running to the right in the snow"
SEED = 3
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Figure:
    label: str
    value: float
    at_most: float
    unit: str = "s"
    spread: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        return self.value <= self.at_most

    def __str__(self) -> str:
        spread = f" ({self.spread[0]:.2f} to {self.spread[1]:.2f})" if self.spread else ""
        note = "" if self.holds else "   MISSED"
        bound = f"at most {self.at_most:g}"
        return f"{self.label:<48} {self.value:6.2f} {self.unit}{spread}   {bound}{note}"


def figure(label: str, values: Sequence[float], at_most: float, unit: str = "s") -> Figure:
    return Figure(label, statistics.median(values), at_most, unit, (min(values), max(values)))


def environment(data_dir: Path) -> dict[str, str]:
    return os.environ | {
        "KINORA_DATA_DIR": str(data_dir),
        "KINORA_MAX_JOBS_PER_VISITOR": "100",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_TEMP_DIR": str(data_dir / "gradio"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
    }


@contextmanager
def server(data_dir: Path, **more: str) -> Iterator[tuple[str, float]]:
    """Starts `python app.py` on a free port; yields (address, seconds until the page answered).

    `more` is added to its environment.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment(data_dir) | {"GRADIO_SERVER_PORT": str(port)} | more,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield url, _wait_for_page(url, process, started)
    finally:
        process.terminate()
        process.wait()


def _wait_for_page(url: str, process: subprocess.Popen[bytes], started: float) -> float:
    while time.perf_counter() - started < TIMEOUT_S:
        if process.poll() is not None:
            raise RuntimeError("the server exited")
        try:
            if httpx.get(url, trust_env=False).is_success:
                return time.perf_counter() - started
        except httpx.TransportError:
            time.sleep(0.02)
    raise RuntimeError(f"the page did not answer in {TIMEOUT_S:g} s")
