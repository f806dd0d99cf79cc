"""kill -9 of the worker under the whole app: it is seen at once, another comes up, and all the
while the page and the API answer.

The whole app runs; its worker's engine is a clock, and in a few rounds the real one.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import ApiServer
from tests.goals import Goal, rounds
from tests.jobs.conftest import until
from tests.jobs.fake_engine_app import FakeEngineApp, worker_of

pytestmark = pytest.mark.slow

ME = {"Authorization": "Bearer a-secret-of-these-tests-0123456789"}
LONG = {"prompt": "a dog", "num_inference_steps": 50, "width": 128, "height": 128}
SHORT = {"prompt": "a dog", "num_inference_steps": 4}
ASKED = ("/", "/health", "/api/jobs", "/api/models")


class Asker:
    """Somebody who uses the page and the API all the while."""

    def __init__(self, url: str) -> None:
        self.answers: Counter[int | str] = Counter()
        self.slowest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(url,))
        self._thread.start()

    def _ask(self, url: str) -> None:
        with httpx.Client(base_url=url, headers=ME, timeout=30, trust_env=False) as client:
            while not self._over.wait(0.1):
                for path in ASKED:
                    began = time.monotonic()
                    try:
                        self.answers[client.get(path).status_code] += 1
                    except httpx.HTTPError as error:
                        self.answers[type(error).__name__] += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def close(self) -> None:
        self._over.set()
        self._thread.join()


class App:
    """What a round needs of the app, seen from outside."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.client = httpx.Client(base_url=server.url, headers=ME, timeout=60, trust_env=False)

    def make(self, body: dict[str, object]) -> str:
        answer = self.client.post("/api/generate", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["job_id"]

    def kinds(self, job_id: str) -> Iterator[str]:
        with self.client.stream("GET", f"/api/jobs/{job_id}/events") as events:
            for line in events.iter_lines():
                if line.startswith("event: "):
                    yield line.removeprefix("event: ")

    def health(self) -> dict[str, object]:
        return self.client.get("/health").json()

    def kill_worker(self) -> float:
        """When it was killed."""
        worker_of(self._server).kill()
        return time.monotonic()


def in_the_making(app: App, step: int) -> tuple[float, float, str]:
    """Killed at that step: seconds until it was known, until the clip ran again, and how it ended.
    The clip waits first in line, so it is the next one to run."""
    killed = seen = runs = 0.0
    steps = 0
    kind = ""
    for kind in app.kinds(app.make(LONG)):
        now = time.monotonic()
        steps += kind == "step"
        if kind == "step" and not killed and steps == step:
            killed = app.kill_worker()
        elif kind == "requeued":
            seen = now - killed
        elif kind == "step" and seen and not runs:
            runs = now - killed
    return seen, runs, kind


def at_rest(app: App) -> tuple[float, float, str]:
    """The same where it had nothing to do, with a clip that is asked for after the kill."""
    until(lambda: app.health()["status"] == "READY")
    before = app.health()["restarts"]
    killed = app.kill_worker()
    until(lambda: app.health()["restarts"] != before)
    seen, runs, kind = time.monotonic() - killed, 0.0, ""
    for kind in app.kinds(app.make(SHORT)):
        if kind == "step" and not runs:
            runs = time.monotonic() - killed
    return seen, runs, kind


@pytest.mark.goal("G2")
def test_the_page_never_notices_that_its_worker_was_killed(goal: Goal, tmp_path: Path) -> None:
    server = FakeEngineApp(tmp_path)
    kill_and_tell(goal, "", server, rounds(2, 20), 40)


@pytest.mark.goal("G2")
def test_the_real_worker_comes_back_as_well(
    goal: Goal, tmp_path: Path, tiny_models_dir: Path
) -> None:
    """Which has to load its engine and its model first."""
    server = ApiServer(tmp_path / "data", tiny_models_dir)
    kill_and_tell(goal, "the real engine: ", server, rounds(1, 3), 30)


def kill_and_tell(goal: Goal, what: str, server: ApiServer, kills: int, steps: int) -> None:
    """Most are killed in the middle of a clip, after up to that many steps."""
    chance = random.Random(kills)
    asker = Asker(server.url)
    try:
        app = App(server)
        until(lambda: app.health()["status"] == "READY")
        found = [
            at_rest(app) if number % 4 == 1 else in_the_making(app, chance.randint(1, steps))
            for number in range(kills)
        ]
    finally:
        asker.close()
        server.stop()
    app.client.close()
    seen, runs, ends = zip(*found, strict=True)
    goal.count(f"{what}workers killed", kills)
    goal.count(f"{what}clips made all the same", ends.count("succeeded"), at_least=kills)
    goal.count(f"{what}HTTP answers meanwhile", asker.answers.total(), at_least=len(ASKED))
    wrong = asker.answers.total() - asker.answers[200]
    goal.count(f"{what}HTTP answers other than 200", wrong, at_most=0)
    goal.time(f"{what}until the kill is known, the slowest", max(seen), at_most=2)
    goal.time(f"{what}until the next clip runs, the slowest", max(runs), at_most=10)
    goal.time(f"{what}the slowest HTTP answer meanwhile", asker.slowest_s)
