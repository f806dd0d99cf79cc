"""What becomes of clips when workers, servers and Redis come and go. Workers here only pretend.

Quick ones; `test_redis_lost` kills for longer.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.command import send_stop_job_command
from rq.serializers import JSONSerializer
from sqlalchemy import select

from api.schemas import job_progress
from errors import ErrorCode, KinoraError
from jobs.database import timings
from jobs.estimate import Estimator
from jobs.events import EventLog
from jobs.fleet.client import connect
from jobs.fleet.messages import from_fields, store_message
from jobs.fleet.protocol import RedisProtocol
from jobs.fleet.worker import GRACE_S
from jobs.job import State
from jobs.lifecycle import JobLifecycle
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.jobs.conftest import MakeJob, accept, build_service, until, wait_for_kind
from tests.jobs.redis_fleet import RedisServer, Worker
from ui import job_view

A_CLIP = GenerationRequest(prompt="a dog", seed=3)
ME = "visitor:me"
QUICK = {"steps": 4, "step_s": 0.02}
SLOW = {"steps": 100, "step_s": 0.1}
SOON_STEPS = 10  # of such; on a quiet machine it is one


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    yield server
    server.close()


@pytest.fixture
def settings(tmp_path: Path, redis: RedisServer) -> Settings:
    models = tmp_path / "models"
    for name in ("pocket", "other"):
        tiny.write_card(models, tmp_path / "nowhere", id=name)
    return Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path / "data",
        models_dir=models,
        redis_url=redis.url,
        max_jobs_per_visitor=1000,
        max_queue=1000,
    )


@pytest.fixture
def workers(settings: Settings) -> Iterator[list[Worker]]:
    """To be filled; whoever is left is stopped."""
    workers: list[Worker] = []
    yield workers
    for worker in workers:
        worker.kill()


@pytest.fixture
def service(settings: Settings) -> Iterator[JobService]:
    with build_service(settings) as service:
        yield service


def ready(service: JobService, how_many: int = 1) -> None:
    until(lambda: service.health()["workers"] == how_many)
    until(lambda: service.health()["state"] == "ready")


def end_of(service: JobService, job_id: str) -> str:
    return [event.kind for event in service.watch(job_id)][-1]


def steps_of(service: JobService, job_id: str) -> int:
    return sum(event.kind == "step" for event in service._store.events(job_id))


def test_clips_wait_for_the_first_worker(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    job = service.submit(A_CLIP, ME)
    time.sleep(0.5)
    assert service.health()["state"] == "starting"
    assert service.get(job.id).state is State.QUEUED
    workers.append(Worker(settings, pretends=QUICK))
    assert end_of(service, job.id) == "succeeded"
    assert service.get(job.id).attempts == 1


def test_the_clip_that_will_be_first_hears_what_is_loaded_for_it(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends=QUICK | {"prepare_s": 3.0}))
    first, second = service.submit(A_CLIP, ME), service.submit(A_CLIP, ME)
    wait_for_kind(service, first.id, "loading")
    assert service.get(first.id).state is State.QUEUED
    assert job_progress(service, service.get(first.id)).phase == "loading"
    assert job_progress(service, service.get(second.id)).phase == "queued"
    progress = job_view.Progress.of(service._events.since(first.id))
    assert job_view.line(service.get(first.id), progress, 0, None).startswith("Loading the model")
    events = list(service.watch(first.id))
    began = [event.kind for event in events].index("started")
    told = [event.data["fraction"] for event in events[:began] if event.kind == "loading"]
    assert len(told) > 3
    assert told == sorted(set(told))
    assert end_of(service, second.id) == "succeeded"
    before_it = [event.kind for event in service._events.since(second.id)]
    assert before_it[:2] == ["queued", "started"]


def test_many_clips_on_three_workers_are_each_made_once(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    workers += [Worker(settings, pretends=QUICK) for _ in range(3)]
    ids = [service.submit(A_CLIP, f"visitor:{n % 5}").id for n in range(30)]
    for job_id in ids:
        events = list(service.watch(job_id))
        assert [e.kind for e in events].count("started") == 1
        assert events[-1].kind == "succeeded"
        assert [e.n for e in events] == list(range(1, len(events) + 1))
        assert service.clip_path(job_id).read_text() == f"pretended {job_id} 1"
    held = Redis.from_url(settings.redis_url or "")
    # told as done, and forgotten right after
    until(lambda: not held.keys("kinora:job:*") and not held.keys("rq:job:*"))
    held.close()


def test_a_failure_arrives_with_its_code_and_the_worker_goes_on(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends=QUICK))
    job = service.submit(A_CLIP.model_copy(update={"prompt": "fails"}), ME)
    assert end_of(service, job.id) == "failed"
    error = service.get(job.id).error
    assert error and error["error"] == ErrorCode.OUT_OF_MEMORY.value
    assert end_of(service, service.submit(A_CLIP, ME).id) == "succeeded"


def test_a_server_that_stops_leaves_its_clip_to_the_worker(
    settings: Settings, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends={"steps": 30, "step_s": 0.1}))
    with build_service(settings) as before:
        job = before.submit(A_CLIP, ME)
        wait_for_kind(before, job.id, "step")
    time.sleep(0.5)  # what the worker tells now is heard later
    with build_service(settings) as after:
        events = list(after.watch(job.id))
        assert [e.kind for e in events].count("started") == 1
        assert [e.data["index"] for e in events if e.kind == "step"] == list(range(1, 31))
        assert events[-1].kind == "succeeded"
        assert after.get(job.id).attempts == 1


def test_redis_away_for_two_seconds_is_not_noticed(
    service: JobService, settings: Settings, redis: RedisServer, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends={"steps": 40, "step_s": 0.1}))
    job = service.submit(A_CLIP, ME)
    wait_for_kind(service, job.id, "step", count=3)
    redis.kill()
    time.sleep(1)
    meanwhile = service.submit(A_CLIP, ME)  # accepted: it waits in the store
    time.sleep(1)
    redis.start()
    for job_id in (job.id, meanwhile.id):
        events = list(service.watch(job_id))
        assert events[-1].kind == "succeeded"
        assert [e.data["index"] for e in events if e.kind == "step"] == list(range(1, 41))
        assert service.get(job_id).attempts == 1


def test_without_redis_new_requests_are_refused_with_a_sentence(
    service: JobService, settings: Settings, redis: RedisServer, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends=QUICK))
    ready(service)
    redis.kill()
    until(lambda: service.health()["state"] == "defunct", 20)
    with pytest.raises(KinoraError) as refused:
        service.submit(A_CLIP, ME)
    assert refused.value.code is ErrorCode.UNAVAILABLE
    assert "Redis" in refused.value.message
    redis.start()
    until(lambda: service.health()["state"] == "ready", 20)
    assert end_of(service, service.submit(A_CLIP, ME).id) == "succeeded"


def test_a_worker_told_to_stop_ends_its_clip_and_takes_no_more(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends={"steps": 40, "step_s": 0.1}))
    first, second = service.submit(A_CLIP, ME), service.submit(A_CLIP, ME)
    wait_for_kind(service, first.id, "step")
    assert workers[0].stop() == 0
    assert end_of(service, first.id) == "succeeded"
    time.sleep(0.5)
    assert service.get(second.id).state is State.QUEUED
    workers.append(Worker(settings, pretends=QUICK))
    assert end_of(service, second.id) == "succeeded"


def test_an_idle_worker_stops_at_once(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends=QUICK))
    ready(service)
    began = time.monotonic()
    assert workers[0].stop() == 0
    assert time.monotonic() - began < GRACE_S, "it waited for a clip"
    until(lambda: service.health()["workers"] == 0)


def test_rqs_own_stop_command_discards_the_clip(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends=SLOW))
    job = service.submit(A_CLIP, ME)
    wait_for_kind(service, job.id, "step", count=2)
    redis = connect(settings.redis_url or "")
    ticket = RedisProtocol(redis).ticket(job.id)
    assert ticket
    send_stop_job_command(redis, ticket.id, serializer=JSONSerializer)
    by_then = steps_of(service, job.id)
    assert end_of(service, job.id) == "cancelled"
    assert steps_of(service, job.id) - by_then < SOON_STEPS
    redis.close()


def test_a_discard_is_heard_within_a_few_steps(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends=SLOW))
    job = service.submit(A_CLIP, ME)
    wait_for_kind(service, job.id, "step", count=2)
    for _ in range(3):
        assert service.cancel(job.id).id == job.id
    by_then = steps_of(service, job.id)
    assert end_of(service, job.id) == "cancelled"
    assert steps_of(service, job.id) - by_then < SOON_STEPS


def test_whoever_writes_to_redis_cannot_run_code(
    service: JobService, settings: Settings, workers: list[Worker], tmp_path: Path
) -> None:
    """A stock RQ worker would import `os` and call what the job names."""
    workers.append(Worker(settings, pretends=QUICK))
    ready(service)
    redis = connect(settings.redis_url or "")
    (name,) = RedisProtocol(redis).workers()
    target = tmp_path / "owned"
    queue = Queue(f"kinora.{name}", connection=redis, serializer=JSONSerializer)
    queue.enqueue_call("os.mkdir", args=(str(target),), job_id="stranger")
    until(lambda: queue.is_empty())
    assert end_of(service, service.submit(A_CLIP, ME).id) == "succeeded"
    assert not target.exists()
    redis.close()


def test_a_frozen_worker_is_given_up_and_what_it_says_later_is_not_heard(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    workers.append(Worker(settings, pretends={"steps": 20, "step_s": 0.1}))
    job = service.submit(A_CLIP, ME)
    wait_for_kind(service, job.id, "step", count=2)
    workers[0].process.send_signal(signal.SIGSTOP)
    workers.append(Worker(settings, pretends=QUICK))
    assert end_of(service, job.id) == "succeeded"
    assert service.get(job.id).attempts == 2
    made = service.clip_path(job.id).read_bytes()
    workers[0].process.send_signal(signal.SIGCONT)
    ready(service, 2)
    time.sleep(3)
    assert service.clip_path(job.id).read_bytes() == made
    assert end_of(service, job.id) == "succeeded"


def test_what_is_learned_of_a_clip_is_learned_of_its_worker(
    service: JobService, settings: Settings, workers: list[Worker]
) -> None:
    """Two workers on two GPUs: the pace of one is not that of the other, nor of the server."""
    slow = {"steps": 4, "step_s": 0.5}
    workers.append(Worker(settings, "--models", "pocket", pretends=QUICK, CUDA_VISIBLE_DEVICES="0"))
    workers.append(Worker(settings, "--models", "other", pretends=slow, CUDA_VISIBLE_DEVICES="1"))
    for model in ("pocket", "other"):
        job = service.submit(A_CLIP.model_copy(update={"model": model}), ME)
        assert end_of(service, job.id) == "succeeded"
    with service._store.database.reading.begin() as tx:
        rows = tx.execute(select(timings.c.model, timings.c.machine))
        found = {row.model: row.machine for row in rows}
    assert found["pocket"].endswith("/gpu 0")
    assert found["other"].endswith("/gpu 1")
    assert service._estimator.estimate(job.fitted).learned


def test_a_clip_that_another_model_makes_says_so_from_then_on(
    store: JobStore, make_job: MakeJob, tmp_path: Path
) -> None:
    """What an embedded worker tells, a far one may tell."""
    lifecycle = JobLifecycle(store, EventLog(store), Estimator(store, {}, "here"), tmp_path)
    accept(store, make_job())
    job = store.claim()
    assert job
    changed = job.fitted.model_copy(update={"model": "other"})
    told = {"sentence": "Other made it.", "fitted": changed.model_dump(mode="json")}
    fleet = RedisProtocol(connect("redis://127.0.0.1:1"))  # which is not asked
    message = from_fields({"kind": "fallback", "data": json.dumps(told)})
    assert not store_message(lifecycle, fleet, job, message)
    now = store.get(job.id)
    assert now and now.fitted.model == "other"
    assert lifecycle.events.since(job.id)[-1].data == {"sentence": "Other made it."}
