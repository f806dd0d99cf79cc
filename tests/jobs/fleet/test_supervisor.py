"""`python app.py worker` told to stop, with workers that do not listen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from jobs.fleet.worker import ABANDONED_S, remove_abandoned_work

ROOT = Path(__file__).resolve().parents[3]
POOL = "import sys; from jobs.fleet.supervisor import run; sys.exit(run([None], [], {!r}, {}))"
DEAF = "tests.jobs.sigterm_ignoring_worker"


def pool(last_s: float) -> tuple[subprocess.Popen[str], str]:
    """With one deaf worker, and the number of its process."""
    running = subprocess.Popen(
        [sys.executable, "-c", POOL.format(DEAF, last_s)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout
    return running, running.stdout.readline().strip()


def test_a_worker_that_does_not_stop_is_killed() -> None:
    running, worker = pool(last_s=0.5)
    began = time.monotonic()
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 0
    assert time.monotonic() - began >= 0.5, "it had its time"
    assert "does not stop" in said
    assert not Path("/proc", worker).exists()


def test_what_killed_workers_left_is_removed_and_the_work_of_others_stays(tmp_path: Path) -> None:
    work = tmp_path / "work"
    remove_abandoned_work(work)  # before there is any
    for name, age_s in (("left", ABANDONED_S + 60), ("in use", ABANDONED_S - 3600)):
        (work / name).mkdir(parents=True)
        (work / name / "clip.mp4.1-2.part").write_bytes(b"half")
        os.utime(work / name, (time.time() - age_s, time.time() - age_s))
    remove_abandoned_work(work)
    assert [path.name for path in work.iterdir()] == ["in use"]
