"""Servers and Redis are killed, workers hang: nothing is lost, doubled or stuck.

`test_redis_goals` kills workers, and takes Redis away for a minute.

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

from errors import ErrorCode
from jobs.job import State
from settings import Settings
from tests.goals import rounds
from tests.jobs.conftest import build_service, wait_for_kind
from tests.jobs.fleet.test_fleet import A_CLIP, ME, end_of, ready, redis, service, settings, workers
from tests.jobs.redis_fleet import RedisServer, Worker, environment
from tests.jobs.services import PostgresServer

ROUNDS = rounds(1, 20)

pytestmark = pytest.mark.slow
__all__ = ["redis", "service", "settings", "workers"]  # fixtures


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
        assert service._store.running() == []
    forgetful.close()


def test_what_hangs_ends_in_time_and_what_loads_may_take_as_long_as_it_takes(
    settings: Settings, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker notices half a minute after the time of its clip is over, tells, and is replaced.
    Its server would notice later; here it has less patience still."""
    monkeypatch.setattr("jobs.fleet.dispatcher.OVERDUE_S", 34.0)
    settings = settings.model_copy(update={"request_timeout_s": 1.0})
    loading = {"steps": 2, "load_s": 38.0}
    with build_service(settings) as service:
        workers += [Worker(settings, "--models", "pocket", pretends={})]
        workers += [Worker(settings, "--models", "other", pretends=loading)]
        hanging = service.submit(A_CLIP.model_copy(update={"prompt": "hangs"}), ME)
        patient = service.submit(A_CLIP.model_copy(update={"model": "other"}), ME)
        events = list(service.watch(hanging.id))
        assert events[-1].kind == "failed"
        error = service.get(hanging.id).error
        assert error and error["error"] == ErrorCode.TIMEOUT.value
        assert [e.kind for e in events].count("started") == 1
        assert workers[0].process.wait(60) != 0
        assert end_of(service, patient.id) == "succeeded"
        assert service.get(patient.id).attempts == 1


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
        assert watcher._store.running() == []
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
