"""The limits of a caller at the REST API: every clip of a batch counts, for what may be unfinished
and for the rate, and a batch that is refused counts for nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app import build_service
from jobs.service import JobService
from jobs.workers.foreground import ForegroundExecutor
from settings import Settings
from tests import tiny
from tests.api.conftest import SECRET
from tests.api.test_explore import site_of

EACH, PER_MINUTE = 6, 12
DOG = {"prompt": "a dog", "reuse": False}
GRID = {"compare": ["steps=2,3", "guidance=1,2"]}

Body = dict[str, Any]
WAYS: dict[str, Callable[[int], tuple[str, Body, int]]] = {
    "clip": lambda n: ("/api/generate", DOG, 1),
    "video": lambda n: ("/v1/videos", {"prompt": "a dog"}, 1),
    "list": lambda n: ("/api/batches", {"prompts": [f"dog {i}" for i in range(n)]}, n),
    "csv": lambda n: ("/api/batches", {"csv": "prompt\n" + "a dog\n" * n}, n),
    "drafts": lambda n: ("/api/drafts", DOG | {"drafts": max(n, 2)}, max(n, 2)),
    "comparison": lambda n: ("/api/comparisons", DOG | GRID, 4),
}


def opened(root: Path, **limits: int) -> JobService:
    """Without weights: jobs are accepted and stay in the queue."""
    tiny.write_card(root / "cards", root / "nowhere")
    folders: dict[str, Any] = {"data_dir": root / "data", "models_dir": root / "cards"}
    own = Settings(_env_file=None, **folders, **limits)  # pyright: ignore[reportCallIssue]
    service = build_service(own, ForegroundExecutor(own))
    service.start_command()
    return service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobService]:
    root = tmp_path_factory.mktemp("quota")
    service = opened(root, max_jobs_per_visitor=EACH, clips_per_minute=0, max_queue=1000)
    yield service
    service.close()


def client_of(service: JobService, **limits: int) -> TestClient:
    """A caller that nobody was before, at a site with these limits."""
    site = site_of(service, service.settings.model_copy(update=limits))
    return TestClient(site, headers={"Authorization": f"Bearer {SECRET}-{time.time_ns()}"})


def jobs_of(client: TestClient, **query: str) -> list[Body]:
    return client.get("/api/jobs", params={"limit": 100, **query}).json()["jobs"]


@pytest.mark.parametrize("seed", range(2))
def test_any_mix_of_clips_and_batches_keeps_to_both_limits(service: JobService, seed: int) -> None:
    random_ = random.Random(seed)
    me = client_of(service, clips_per_minute=PER_MINUTE)
    unfinished = counted = 0
    refusals: set[str] = set()
    for _ in range(20):
        if unfinished and random_.random() < 0.3:
            running = [job for job in jobs_of(me) if job["state"] == "queued"]
            me.post(random_.choice(running)["urls"]["cancel"])
            unfinished -= 1
            continue
        path, body, clips = WAYS[random_.choice(list(WAYS))](random_.randint(1, 8))
        answer = me.post(path, json=body)
        if answer.status_code in (200, 202):
            counted += clips
            unfinished += clips
            assert unfinished <= EACH and counted <= PER_MINUTE
            assert answer.headers["ratelimit-remaining"] == str(PER_MINUTE - counted)
        else:
            assert answer.status_code == 429 and answer.headers["retry-after"]
            details, message = answer.json()["details"], answer.json()["message"]
            refusals.add("rate" if "window_s" in details else "unfinished")
            if "window_s" in details:
                assert counted + clips > PER_MINUTE == details["limit"]
            else:
                assert details == {"clips": clips, "unfinished": unfinished, "limit": EACH}
            assert str(details["limit"]) in message
        assert sum(job["state"] == "queued" for job in jobs_of(me)) == unfinished
    assert refusals == {"rate", "unfinished"}, "the schedule meets both limits"


@pytest.mark.parametrize("limits", [{}, {"clips_per_minute": EACH}, {"clips_per_day": EACH}])
def test_of_batches_at_the_same_moment_one_is_accepted_whole(
    service: JobService, limits: dict[str, int]
) -> None:
    me = client_of(service, **limits)
    ways = [WAYS[way](4) for way in ("list", "drafts", "comparison", "csv") * 2]
    with ThreadPoolExecutor(len(ways)) as pool:
        answers = list(pool.map(lambda way: me.post(way[0], json=way[1]), ways))
    accepted = [answer.json() for answer in answers if answer.status_code == 202]
    assert [answer.status_code for answer in answers].count(429) == len(ways) - 1
    (batch,) = accepted
    assert len(batch["jobs"]) == 4
    assert {job["batch_id"] for job in jobs_of(me)} == {batch["batch_id"]}
    assert len(jobs_of(me)) == 4


def test_a_render_and_a_clip_that_is_made_again_count(service: JobService) -> None:
    me = client_of(service)
    batch = me.post("/api/drafts", json=DOG | {"drafts": EACH}).json()
    first, second = (job["urls"] for job in batch["jobs"][:2])
    for refused in (me.post(first["render"]), me.post("/api/generate", json=DOG)):
        assert refused.status_code == 429 and "You have 6 clips" in refused.json()["message"]
    me.post(first["cancel"])
    assert me.post(second["render"]).status_code == 202
    assert me.post(f"{first['self']}/again").status_code == 429
    me.post(second["cancel"])
    assert me.post(f"{first['self']}/again").status_code == 202


def test_what_is_refused_does_not_use_up_the_rate(service: JobService) -> None:
    me = client_of(service, clips_per_minute=8, clips_per_day=8)
    for _ in range(3):
        assert me.post("/api/drafts", json=DOG | {"drafts": 7}).status_code == 429
    answer = me.post("/api/drafts", json=DOG | {"drafts": 6})
    assert answer.status_code == 202 and answer.headers["ratelimit-remaining"] == "2"


def test_with_default_settings_a_visitor_can_explore(tmp_path: Path) -> None:
    """Eight drafts and a grid of five by five, within one minute."""
    service = opened(tmp_path)
    me = client_of(service)
    try:
        grid = {"compare": ["guidance=1,2,3,4,5", "steps=2,3,4,5,6"]}
        assert me.post("/api/drafts", json=DOG | {"drafts": 8}).status_code == 202
        answer = me.post("/api/comparisons", json=DOG | grid)
        assert answer.status_code == 202, answer.text
        assert len(answer.json()["jobs"]) == 25
    finally:
        service.close()
