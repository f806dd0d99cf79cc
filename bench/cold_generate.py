"""Seconds of a cold `python app.py generate`: Python, libraries, model, clip."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from bench.common import PROMPT, SEED, Figure, environment, figure
from settings import ROOT


def measure(folder: Path, rounds: int) -> list[Figure]:
    seconds: list[float] = []
    for number in range(rounds):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "app.py", "generate", PROMPT, "--seed", str(SEED), "--json"],
            cwd=ROOT,
            env=environment(folder / f"generate-{number}"),
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(time.perf_counter() - started)
        assert Path(json.loads(done.stdout)["path"]).is_file()
    return [figure("`generate`, cold start", seconds, 15)]
