"""Goal G25: /health and /ready answer while clips are made, in cog's words, each really reached."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import tiny
from tests.api.conftest import LONG, ApiServer, running
from tests.goals import Goal, rounds

pytestmark = pytest.mark.slow

UP_S = 180.0
STILLBORN = """
import os, sys
if "jobs.workers.process_worker" in sys.orig_argv:
    os._exit(3)
"""

Begin = Callable[..., httpx.Client]


@pytest.fixture
def begin(tmp_path: Path, api_models_dir: Path) -> Iterator[Begin]:
    """A server of this test's own, and a line to it."""
    begun: list[tuple[ApiServer, httpx.Client]] = []

    def begin(models: Path = api_models_dir, **environment: str) -> httpx.Client:
        server = ApiServer(tmp_path / "data", models, **environment)
        client = httpx.Client(base_url=server.url, trust_env=False, timeout=60)
        begun.append((server, client))
        return client

    yield begin
    for server, client in begun:
        client.close()
        server.stop()


def until(client: httpx.Client, word: str) -> list[str]:
    """The words on the way there; at every one, /ready says whether a clip would be made."""
    seen: list[str] = []
    ends = time.monotonic() + UP_S
    while time.monotonic() < ends:
        answer = client.get("/health")
        assert answer.status_code == 200, "somebody answers, whatever is wrong"
        status = answer.json()["status"]
        if seen[-1:] != [status]:
            seen.append(status)
        if status == word:
            return seen
        time.sleep(0.02)
    raise AssertionError(f"never {word}: {seen}")


def is_ready(client: httpx.Client) -> bool:
    answer = client.get("/ready")
    assert answer.status_code in (200, 503)
    assert answer.status_code == 200 or int(answer.headers["Retry-After"]) >= 1
    return answer.status_code == 200


@pytest.mark.goal("G25")
def test_health_and_readiness_answer_at_once_while_a_clip_is_made(
    me: httpx.Client, anyone: httpx.Client, goal: Goal
) -> None:
    took: dict[str, list[float]] = {"/health": [], "/ready": []}
    unwell = 0
    asked = rounds(30, 500)
    while len(took["/ready"]) < asked:
        job_id = running(me, **LONG)
        while len(took["/ready"]) < asked:
            for path, times in took.items():
                began = time.perf_counter()
                answer = anyone.get(path)
                times.append(1000 * (time.perf_counter() - began))
                unwell += answer.status_code != 200
            if answer.json()["status"] != "BUSY":
                break
            time.sleep(0.005)
        me.post(f"/api/jobs/{job_id}/cancel")
    goal.count("answers other than 200 while a clip is made", unwell, at_most=0)
    for path, times in took.items():
        p95 = sorted(times)[math.ceil(0.95 * len(times)) - 1]
        goal.time(f"p95 of {path} while a clip is made", p95, at_most=20, unit="ms")


@pytest.mark.goal("G25")
def test_starting_then_ready_then_busy_then_ready(begin: Begin, goal: Goal) -> None:
    client = begin()
    words = until(client, "READY")
    assert set(words) <= {"STARTING", "READY"}
    assert is_ready(client)
    job = client.post("/api/generate", json={"prompt": "a dog", **LONG}).json()["job_id"]
    assert until(client, "BUSY")[-1] == "BUSY"
    assert is_ready(client), "it waits its turn, and is made"
    client.post(f"/api/jobs/{job}/cancel")
    words += until(client, "READY")
    goal.count("states shown on the way of a clip", len({*words, "BUSY"}), at_least=2)


def test_starting_is_not_ready(begin: Begin, tmp_path: Path) -> None:
    """A worker that takes its time: here it is one that nobody has started."""
    from tests.jobs.redis_fleet import RedisServer

    redis = RedisServer(tmp_path / "redis")
    try:
        client = begin(REDIS_URL=redis.url)
        assert until(client, "STARTING") == ["STARTING"]
        assert not is_ready(client)
    finally:
        redis.close()


@pytest.mark.goal("G25")
def test_a_default_model_that_does_not_load_is_said(
    begin: Begin, tmp_path: Path, goal: Goal
) -> None:
    models = tmp_path / "models"
    tiny.write_card(models, tmp_path / "nowhere")
    client = begin(models)
    words = until(client, "SETUP_FAILED")
    assert not is_ready(client)
    health = client.get("/health").json()
    assert health["error"]["message"].endswith(".")
    assert str(tmp_path) not in str(health["error"]), "no path leaves the process"
    goal.count("SETUP_FAILED shown", words[-1] == "SETUP_FAILED", at_least=1)


@pytest.mark.goal("G25")
def test_a_worker_that_never_comes_up_is_defunct(begin: Begin, tmp_path: Path, goal: Goal) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(STILLBORN, encoding="utf-8")
    client = begin(PYTHONPATH=str(broken))
    words = until(client, "DEFUNCT")
    assert not is_ready(client)
    answer = client.post("/api/generate", json={"prompt": "a dog"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert client.get("/metrics").text.count('kinora_worker_state{state="defunct"} 1.0') == 1
    goal.count("DEFUNCT shown", words[-1] == "DEFUNCT", at_least=1)
