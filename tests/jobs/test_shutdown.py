"""SIGTERM to the whole app: nothing new is begun, what runs ends or waits on, and it is no failure.

The whole app runs; only its worker's engine is a clock.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from jobs.job import Job, State
from jobs.store import JobStore
from tests.goals import Goal, rounds
from tests.jobs.conftest import until
from tests.jobs.fake_engine_app import FakeEngineApp, worker_of

pytestmark = [pytest.mark.slow, pytest.mark.goal("G17")]

ME = {"Authorization": "Bearer a-secret-of-these-tests-0123456789"}
LONG = {"prompt": "a dog", "num_inference_steps": 200}  # four seconds
SHORT = {"prompt": "a dog", "num_inference_steps": 1}
GRACE_S = 25.0


class Told:
    """An app with one long clip in the making and some behind it, which is told to stop."""

    def __init__(self, server: FakeEngineApp) -> None:
        self.server = server
        self.process = server.process
        assert self.process
        with self._client() as client:
            self.first = self._ask(client, LONG)
            self.behind = [self._ask(client, SHORT) for _ in range(4)]
            for job_id in (self.first, self.behind[-1]):
                threading.Thread(target=self._watch, args=(job_id,), daemon=True).start()
            until(lambda: client.get(f"/api/jobs/{self.first}").json()["step"] > 0)
        self.worker = worker_of(server)

    def stop(self) -> None:
        assert self.process
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.status = self.process.wait(120)
        self.took_s = time.monotonic() - began

    def _ask(self, client: httpx.Client, body: dict[str, object]) -> str:
        answer = client.post("/api/generate", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["job_id"]

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.server.url, headers=ME, timeout=60, trust_env=False)

    def _watch(self, job_id: str) -> None:
        """Stays to the end, as an open page does."""
        with self._client() as client:
            try:
                with client.stream("GET", f"/api/jobs/{job_id}/events") as events:
                    for _ in events.iter_lines():
                        pass
            except httpx.HTTPError:
                return


@contextmanager
def app(folder: Path) -> Iterator[FakeEngineApp]:
    folder.mkdir(exist_ok=True)
    server = FakeEngineApp(folder)
    try:
        yield server
    finally:
        server.stop()


def left(data: Path, *ids: str) -> list[Job]:
    store = JobStore(f"sqlite:///{data / 'kinora.db'}")
    jobs = [store.get(job_id) for job_id in ids]
    store.close()
    return [job for job in jobs if job]


@pytest.mark.parametrize("whom", ["server", "server and worker"])
def test_nothing_new_is_begun_and_what_runs_may_end(goal: Goal, tmp_path: Path, whom: str) -> None:
    """systemd tells every process of a service, and the worker leaves it to its server."""
    begun = unfinished = failures = 0
    slowest_s = 0.0
    for number in range(rounds(1, 3)):
        with app(tmp_path / f"{number}") as server:
            told = Told(server)
            if whom != "server":
                told.worker.terminate()
            told.stop()
        first, *behind = left(server.data, told.first, *told.behind)
        begun += sum(job.attempts > 0 or job.state is not State.QUEUED for job in behind)
        waits_on = (first.state, first.attempts) == (State.QUEUED, 0)
        unfinished += not (first.state is State.SUCCEEDED or waits_on)
        failures += told.status != 0
        slowest_s = max(slowest_s, told.took_s)
    goal.count(f"SIGTERM to {whom}: begun after it", begun, at_most=0)
    goal.count(f"SIGTERM to {whom}: running, neither made nor given back", unfinished, at_most=0)
    goal.count(f"SIGTERM to {whom}: exit status other than 0", failures, at_most=0)
    goal.time(f"SIGTERM to {whom}: until the end", slowest_s, at_most=GRACE_S)


def test_what_does_not_end_in_time_is_made_after_the_next_start(goal: Goal, tmp_path: Path) -> None:
    with app(tmp_path) as server:
        told = Told(server)
        os.kill(told.worker.pid, signal.SIGSTOP)  # it will not end by itself
        told.stop()
    (first,) = left(server.data, told.first)
    assert not told.worker.is_running()
    goal.count("a hanging clip: given back", first.state is State.QUEUED, at_least=1)
    goal.count("a hanging clip: attempts held against it", first.attempts, at_most=0)
    goal.count("a hanging clip: exit status", told.status, at_most=0)
    goal.time("a hanging clip: until the end", told.took_s, at_most=GRACE_S)
    with app(tmp_path):
        until(lambda: all(job.state.ended for job in left(server.data, told.first, *told.behind)))
    made = [job.state for job in left(server.data, told.first, *told.behind)]
    goal.count("clips made after the next start", made.count(State.SUCCEEDED), at_least=5)
