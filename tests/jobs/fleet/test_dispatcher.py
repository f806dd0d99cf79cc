"""Clips made by workers behind Redis: a real redis-server, real worker processes, a real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.service import JobService
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.conftest import build_service, stumble_after, until, wait_for_kind
from tests.jobs.redis_fleet import RedisServer, Worker

SHORT = GenerationRequest(prompt="a dog", seed=3)
LONG = SHORT.model_copy(update={"num_inference_steps": 50, "width": 128, "height": 128})
ME = "visitor:me"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory, tiny_models_dir: Path, redis: RedisServer
) -> Settings:
    return Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path_factory.mktemp("fleet") / "data",
        models_dir=tiny_models_dir,
        redis_url=redis.url,
        max_jobs_per_visitor=50,
    )


@pytest.fixture(scope="module")
def service(settings: Settings) -> Iterator[JobService]:
    worker = Worker(settings)
    with build_service(settings) as service:
        until(lambda: service.health()["state"] == "ready")
        yield service
    assert worker.stop() == 0


def test_a_clip_is_made_by_the_worker(service: JobService) -> None:
    job = service.submit(SHORT, ME)
    kinds = [event.kind for event in service.watch(job.id)]
    assert kinds[0] == "queued"
    assert kinds[-1] == "succeeded"
    assert kinds.count("step") == 4
    assert "preview" in kinds
    result = service.get(job.id).result
    assert result and service.clip_path(job.id).stat().st_size == result.size_bytes
    assert service.preview(job.id)


@pytest.mark.parametrize("kind", ["started", "step", "succeeded"])
def test_a_stumble_right_after_a_change_costs_no_clip(service: JobService, kind: str) -> None:
    stumble_after(kind, service, SHORT)


def test_discarding_stops_it_within_a_step(service: JobService) -> None:
    job = service.submit(LONG, ME)
    wait_for_kind(service, job.id, "step")
    service.cancel(job.id)
    kinds = [event.kind for event in service.watch(job.id)]
    assert kinds[-1] == "cancelled"
    assert kinds.count("step") < 50
    assert not service._lifecycle.folder(job.id).exists()


def test_finishing_early_keeps_a_clip(service: JobService) -> None:
    job = service.submit(LONG, ME)
    wait_for_kind(service, job.id, "step", count=2)
    service.finish(job.id)
    assert [event.kind for event in service.watch(job.id)][-1] == "succeeded"
    result = service.get(job.id).result
    assert result and result.finished_early
