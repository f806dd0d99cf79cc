"""Workers, servers and Redis are killed, again and again: nothing is lost, doubled or stuck.

Workers here only pretend. `make reliability` runs this as often as the promise says.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from errors import ErrorCode, KinoraError
from jobs.job import State
from jobs.service import JobService
from settings import Settings
from tests.goals import rounds
from tests.jobs.conftest import build_service, until, wait_for_kind
from tests.jobs.fleet import RedisServer, Worker, environment
from tests.jobs.services import PostgresServer
from tests.jobs.test_redis_fleet import (
    A_CLIP,
    ME,
    end_of,
    ready,
    redis,
    service,
    settings,
    workers,
)

ROUNDS = rounds(1, 20)
SEEN_WITHIN_S = 15.0
RESOLVED_WITHIN_S = 30.0
OUTAGE_S = 60 if ROUNDS > 1 else 16
"""A minute in `make reliability`."""

pytestmark = pytest.mark.slow
__all__ = ["redis", "service", "settings", "workers"]  # fixtures


def test_a_killed_worker_is_seen_in_time_and_its_clip_is_made_again(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    chance, took = random.Random(ROUNDS), []
    for _ in range(ROUNDS):
        workers.append(Worker(settings, pretends={"steps": 30, "step_s": 0.1}))
        ready(service)
        job = service.submit(A_CLIP, ME)
        wait_for_kind(service, job.id, "step", count=chance.randint(1, 20))
        killed = time.time()
        workers.pop().kill()
        workers.append(Worker(settings, pretends={"steps": 3, "step_s": 0.1}))
        events = list(service.watch(job.id))
        assert events[-1].kind == "succeeded"
        again = [e for e in events if e.kind == "requeued"]
        assert len(again) == 1
        took.append(again[0].at - killed)
        assert [e.n for e in events] == list(range(1, len(events) + 1))
        assert service.get(job.id).attempts == 2
        workers.pop().kill()
        until(lambda: service.health()["workers"] == 0)
    print(f"\nworker kill -9 seen after {max(took):.1f} s at most, {len(took)} of {ROUNDS}")
    assert max(took) <= SEEN_WITHIN_S


def test_a_clip_that_loses_two_workers_ends_as_worker_lost(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    workers += [Worker(settings, pretends={"steps": 100, "step_s": 0.1})]
    job = service.submit(A_CLIP, ME)
    for attempt in (1, 2):
        wait_for_kind(service, job.id, "started", count=attempt)
        until(lambda n=attempt: "step" in [e.kind for e in service.events.since(job.id)][-1:])
        workers.pop().kill()
        workers.append(Worker(settings, pretends={"steps": 100, "step_s": 0.1}))
    assert end_of(service, job.id) == "failed"
    error = service.get(job.id).error
    assert error and error["error"] == ErrorCode.WORKER_LOST.value
    assert not service.desk.folder(job.id).exists()


def test_long_without_redis_is_a_clear_refusal_and_everything_is_resolved_after(
    service: JobService, settings: Settings, redis: RedisServer, workers: list[Worker]
) -> None:
    """One clip waits, one ends while Redis is away, one loses its worker meanwhile."""
    workers += [Worker(settings, pretends={"steps": 80, "step_s": 0.1}) for _ in range(2)]
    ready(service, 2)
    running = [service.submit(A_CLIP, ME) for _ in range(2)]
    waiting = service.submit(A_CLIP, ME)
    for job in running:
        wait_for_kind(service, job.id, "step")
    redis.kill()
    gone_at = time.monotonic()
    workers.pop().kill()
    refused = 0
    while time.monotonic() - gone_at < OUTAGE_S:
        time.sleep(2)
        began = time.monotonic()
        try:
            assert time.monotonic() - gone_at < 10, "a request was accepted long after"
            service.submit(A_CLIP, "visitor:other")
        except KinoraError as error:
            assert error.code is ErrorCode.UNAVAILABLE
            assert "Redis" in error.message
            refused += 1
        except AssertionError:
            with pytest.raises(KinoraError):
                service.submit(A_CLIP, "visitor:other")
            refused += 1
        assert time.monotonic() - began < 1
    assert refused > OUTAGE_S / 3
    workers.append(Worker(settings, pretends={"steps": 5, "step_s": 0.1}))
    redis.start()
    back_at = time.time()
    resolved_at = []
    for job in [*running, waiting]:
        events = list(service.watch(job.id))
        assert events[-1].kind == "succeeded"
        # made while Redis was away, or begun again: whichever of the two came first
        known = ("requeued", "succeeded") if job in running else ("started",)
        resolved_at.append(next(e.at for e in events if e.kind in known))
    took = max(resolved_at) - back_at
    print(f"\nafter {OUTAGE_S} s without Redis all was resolved in {took:.1f} s")
    assert took <= RESOLVED_WITHIN_S
    assert sorted(service.get(job.id).attempts for job in running) == [1, 2]
    assert service.store.running() == []


def test_a_redis_that_forgot_everything_costs_nobody_a_clip(
    tmp_path: Path, workers: list[Worker], settings: Settings
) -> None:
    """Without its file: tickets, slots, the queue and unread news are gone."""
    forgetful = RedisServer(tmp_path / "forgetful", keeps=False)
    settings = settings.model_copy(update={"redis_url": forgetful.url})
    with build_service(settings) as service:
        workers += [Worker(settings, pretends={"steps": 60, "step_s": 0.1}) for _ in range(2)]
        ready(service, 2)
        ids = [service.submit(A_CLIP, ME).id for _ in range(4)]
        wait_for_kind(service, ids[1], "step")
        forgetful.kill()
        time.sleep(3)
        forgetful.start()
        for job_id in ids:
            assert end_of(service, job_id) == "succeeded"
        assert service.store.running() == []
    forgetful.close()


def test_a_clip_that_hangs_ends_in_time_and_its_worker_is_replaced(
    settings: Settings, workers: list[Worker]
) -> None:
    """Its own worker notices half a minute after its time is over, and tells before it ends."""
    settings = settings.model_copy(update={"request_timeout_s": 1.0})
    with build_service(settings) as service:
        workers.append(Worker(settings, pretends={}))
        job = service.submit(A_CLIP.model_copy(update={"prompt": "hangs"}), ME)
        events = list(service.watch(job.id))
        assert events[-1].kind == "failed"
        error = service.get(job.id).error
        assert error and error["error"] == ErrorCode.TIMEOUT.value
        assert [e.kind for e in events].count("started") == 1
        assert workers[0].process.wait(60) != 0


def test_servers_killed_again_and_again_lose_nothing(
    settings: Settings, workers: list[Worker]
) -> None:
    """Two API processes on one PostgreSQL, one of them killed -9 in each round."""
    postgres = PostgresServer()
    settings = settings.model_copy(update={"database_url": postgres.database()})
    workers += [Worker(settings, pretends={"steps": 4, "step_s": 0.05}) for _ in range(2)]
    chance = random.Random(ROUNDS)
    accepted: list[str] = []
    with build_service(settings) as watcher:
        for _ in range(2 * ROUNDS):
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.jobs.harness", "12"],
                env=environment(settings) | {"KINORA_MAX_JOBS_PER_VISITOR": "100"},
                stdout=subprocess.PIPE,
                text=True,
            )
            assert server.stdout
            mine = []
            for line in server.stdout:
                if line.startswith("accepted"):
                    mine.append(line.split()[1])
                if len(mine) == 12:
                    break
            time.sleep(chance.uniform(0, 1.5))
            server.send_signal(signal.SIGKILL)
            server.wait()
            server.stdout.close()
            accepted += mine
        for job_id in accepted:
            events = list(watcher.watch(job_id))
            assert events[-1].kind == "succeeded"
            assert [e.n for e in events] == list(range(1, len(events) + 1))
            assert [e.kind for e in events].count("succeeded") == 1
            assert watcher.get(job_id).state is State.SUCCEEDED
        assert watcher.store.running() == []
    print(f"\n{len(accepted)} clips accepted by {2 * ROUNDS} servers that were killed: all made")
    postgres.close()


def test_two_servers_share_one_worker_without_starving_each_other(
    settings: Settings, workers: list[Worker]
) -> None:
    postgres = PostgresServer()
    settings = settings.model_copy(update={"database_url": postgres.database()})
    workers.append(Worker(settings, pretends={"steps": 2, "step_s": 0.1}))
    with build_service(settings) as one, build_service(settings) as two:
        ready(one)
        early = [one.submit(A_CLIP, f"a{n}") for n in range(6)]
        late = two.submit(A_CLIP, "b")
        latest = [one.submit(A_CLIP, f"c{n}") for n in range(12)]
        assert end_of(two, late.id) == "succeeded"
        waiting = [job for job in latest if not one.get(job.id).state.ended]
        assert len(waiting) > 6, "the other server's clip waited for all of ours"
        for job in [*early, *latest]:
            assert end_of(one, job.id) == "succeeded"
    postgres.close()
