"""G20: nothing grows with the clips that were made: no memory, no file, no thread, no row.

The whole app under a mixed load: words, a picture, discards, watchers, downloads.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.api.conftest import SECRET, ApiServer
from tests.goals import Goal, rounds

JOBS = rounds(40, 1000)
WARM_UP = rounds(20, 320)
"""Events of 256 clips stay in memory; only after those does what is new push out what is old."""
AT_ONCE = 10
SMALL = {"width": 32, "height": 32, "num_frames": 5, "num_inference_steps": 2}
GPU_JOBS = rounds(5, 50)
FLAT = 6
"""Open files and threads come and go by that many; a leak would be hundreds."""
MB = 1e6
WAIT_S = 300.0

pytestmark = [pytest.mark.slow, pytest.mark.goal("G20")]


@dataclass(frozen=True)
class Look:
    """What a process holds once so many clips were made."""

    jobs: int
    rss_mb: float
    fds: int
    threads: int

    @classmethod
    def at(cls, process: psutil.Process, jobs: int) -> Look:
        with process.oneshot():
            rss = process.memory_info().rss / MB
            return cls(jobs, rss, process.num_fds(), process.num_threads())


class Soak:
    def __init__(self, server: ApiServer, client: httpx.Client, picture: bytes) -> None:
        self.server, self.client, self.picture = server, client, picture
        self.states: dict[str, str] = {}
        self.seeds = 0
        assert server.process
        self.process = psutil.Process(server.process.pid)
        children = self.process.children(recursive=True)
        self.worker = next(
            c for c in children if "jobs.workers.process_worker" in " ".join(c.cmdline())
        )

    def some_more(self) -> None:
        """Ten clips: one of a picture, a GIF, one discarded, one watched and fetched."""
        ids = [self._submit() for _ in range(AT_ONCE - 2)]
        ids.append(self._submit(format="gif"))
        files = {"image": ("a.png", self.picture)}
        form = {"prompt": "it moves", **{k: str(v) for k, v in SMALL.items()}}
        answer = self.client.post("/api/generate", data=form, files=files)
        ids.append(answer.json()["job_id"])
        self.client.post(f"/api/jobs/{ids[4]}/cancel").raise_for_status()
        with self.client.stream("GET", f"/api/jobs/{ids[0]}/events?previews=inline") as events:
            assert any("succeeded" in line for line in events.iter_lines())
        assert self.client.get(f"/api/result/{ids[0]}").content[4:8] == b"ftyp"
        for job_id in ids:
            self.states[job_id] = self._ended(job_id)["state"]

    def _submit(self, **asked: Any) -> str:
        self.seeds += 1
        body = {"prompt": f"number {self.seeds}", "seed": self.seeds} | SMALL | asked
        answer = self.client.post("/api/generate", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["job_id"]

    def _ended(self, job_id: str) -> dict[str, Any]:
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            job = self.client.get(f"/api/jobs/{job_id}").json()
            if job["state"] in ("succeeded", "failed", "cancelled"):
                return job
            time.sleep(0.02)
        raise AssertionError(f"still {job['state']} after {WAIT_S:g} s")


@dataclass(frozen=True)
class Made:
    soak: Soak
    server: list[Look]
    worker: list[Look]
    data: Path
    temporary: Path


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, tiny_models_dir: Path, png: bytes
) -> Iterator[Made]:
    """The app after all those clips, and what it held on the way."""
    base = tmp_path_factory.mktemp("soak")
    temporary = base / "tmp"
    temporary.mkdir()
    server = ApiServer(base / "data", tiny_models_dir, TMPDIR=str(temporary))
    headers = {"Authorization": f"Bearer {SECRET}"}
    looks: tuple[list[Look], list[Look]] = ([], [])
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as client:
        until = time.monotonic() + WAIT_S
        while client.get("/health").json()["status"] != "READY":
            assert time.monotonic() < until
            time.sleep(0.1)
        soak = Soak(server, client, png)
        while len(soak.states) < JOBS:
            soak.some_more()
            if len(soak.states) > WARM_UP:
                for of, process in zip(looks, (soak.process, soak.worker), strict=True):
                    of.append(Look.at(process, len(soak.states)))
        yield Made(soak, *looks, base / "data", temporary)
    server.stop()


@pytest.fixture(scope="module")
def png() -> bytes:
    import io

    from PIL import Image

    kept = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(kept, "PNG")
    return kept.getvalue()


def slope(looks: Sequence[Look]) -> float:
    """Megabytes for each further clip, by least squares."""
    fit = statistics.linear_regression([x.jobs for x in looks], [x.rss_mb for x in looks])
    return fit.slope


def growth(values: Sequence[int]) -> float:
    """From the first third to the last."""
    third = max(1, len(values) // 3)
    return statistics.median(values[-third:]) - statistics.median(values[:third])


@pytest.mark.parametrize("who", ["server", "worker"])
def test_no_memory_is_kept_for_clips_that_are_done(made: Made, goal: Goal, who: str) -> None:
    looks: list[Look] = getattr(made, who)
    # few clips say little: what is fetched once weighs as much as a leak would
    goal.time(f"{who}: memory for each clip", slope(looks), at_most=0.2, unit="MB")
    goal.time(f"{who}: memory at the end", looks[-1].rss_mb, unit="MB")
    goal.time("clips", looks[-1].jobs, unit="")


@pytest.mark.parametrize("who", ["server", "worker"])
def test_no_file_and_no_thread_stays_open(made: Made, goal: Goal, who: str) -> None:
    looks: list[Look] = getattr(made, who)
    goal.count(f"{who}: open files more", growth([x.fds for x in looks]), at_most=FLAT)
    goal.count(f"{who}: threads more", growth([x.threads for x in looks]), at_most=FLAT)


def test_the_worker_was_the_same_all_the_time(made: Made, goal: Goal) -> None:
    restarts = made.soak.client.get("/health").json()["restarts"]
    goal.count("restarts of the worker", restarts, at_most=0)
    assert made.soak.worker.is_running()


def test_the_database_holds_these_clips_and_nothing_else(made: Made, goal: Goal) -> None:
    with closing(sqlite3.connect(f"file:{made.data / 'kinora.db'}?mode=ro", uri=True)) as database:

        def count(query: str) -> int:
            return database.execute(f"SELECT COUNT(*) FROM {query}").fetchone()[0]  # noqa: S608

        states = dict(database.execute("SELECT id, state FROM jobs").fetchall())
        lost = "events WHERE job_id NOT IN (SELECT id FROM jobs)"
        goal.count("events of no clip", count(lost), at_most=0)
        goal.count("keys that nobody sent", count("keys"), at_most=0)
        unlearned = "timings WHERE job_id NOT IN (SELECT id FROM jobs)"
        goal.count("timings of no clip", count(unlearned), at_most=0)
    assert states == made.soak.states


def test_the_disk_holds_these_clips_and_nothing_else(made: Made, goal: Goal) -> None:
    finished = {i for i, state in made.soak.states.items() if state == "succeeded"}
    folders = {f.name for f in (made.data / "jobs").iterdir()}
    goal.count("folders of no clip", len(folders - finished), at_most=0)
    assert folders == finished
    files = [f.name for folder in finished for f in (made.data / "jobs" / folder).iterdir()]
    goal.count("files for each clip", len(files) / len(finished), at_most=4)
    assert len(list((made.data / "pictures").glob("*.png"))) == 1, "the same picture each time"
    goal.count("half files", len(list(made.data.rglob("*.part"))), at_most=0)
    left = [f for f in made.temporary.rglob("*") if f.is_file()]
    goal.count("temporary files", len(left), at_most=0)


def test_what_is_deleted_leaves_nothing(made: Made, goal: Goal) -> None:
    """The last test here: it takes the clips away."""
    for job_id in made.soak.states:
        assert made.soak.client.delete(f"/api/jobs/{job_id}").status_code == 204
    goal.count("folders left", len(list((made.data / "jobs").iterdir())), at_most=0)
    with closing(sqlite3.connect(f"file:{made.data / 'kinora.db'}?mode=ro", uri=True)) as database:
        for table in ("jobs", "events"):
            left = database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608
            goal.count(f"{table} left", left, at_most=0)


def test_gpu_memory_does_not_grow(made: Made, goal: Goal) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU here, whose memory could be looked at")
    used = []
    for _ in range(GPU_JOBS):
        made.soak._ended(made.soak._submit())
        free, total = torch.cuda.mem_get_info()
        used.append((total - free) / 2**20)
    fit = statistics.linear_regression(range(len(used)), used)
    goal.count("GPU memory for each clip", fit.slope, at_most=5, unit="MiB")
    goal.count("GPU clips", GPU_JOBS)
