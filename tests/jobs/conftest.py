"""Stores and services for the job tests. The services have a real worker and a real, tiny model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import executor_for
from jobs.artifacts import Artifacts
from jobs.event_types import Event
from jobs.gallery import Gallery
from jobs.job import Job, State, new_id
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny

MakeJob = Callable[..., Job]
WORKER_UP_S = 120.0  # the tests may share the machine with something heavy


@pytest.fixture(scope="session")
def light_cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelCard]:
    """The tiny card without its weights: for tests that make no clip."""
    folder = tmp_path_factory.mktemp("light")
    tiny.write_card(folder, folder / "nowhere")
    return load_cards(folder)


@pytest.fixture
def make_job(light_cards: dict[str, ModelCard]) -> MakeJob:
    def make(owner: str = "visitor", **request: object) -> Job:
        asked = GenerationRequest.model_validate({"prompt": "a dog", "seed": 1} | request)
        return Job(
            id=new_id(),
            owner=owner,
            state=State.QUEUED,
            request=asked,
            fitted=fit(asked, light_cards["pocket"], Limits()),
            created_at=time.time(),
        )

    return make


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """An empty database. `test_postgresql` has another one."""
    return f"sqlite:///{tmp_path / 'kinora.db'}"


@pytest.fixture
def store(store_url: str) -> Iterator[JobStore]:
    store = JobStore(store_url)
    yield store
    store.close()


@pytest.fixture
def gallery(store: JobStore, tmp_path: Path) -> Gallery:
    """Without the thread that removes what is deleted."""
    settings = Settings(data_dir=tmp_path, max_disk_gb=1.0, keep_clips_days=30)
    artifacts = Artifacts(settings.data_dir, None)
    return Gallery(store.database, artifacts, settings, lambda deadline: None)


def accept(store: JobStore, job: Job) -> Job:
    store.add(job, max_queue=10_000, max_per_owner=10_000)
    return job


def build_service(settings: Settings) -> JobService:
    return JobService(
        JobStore(settings.database_url),
        executor_for(settings),
        load_cards(settings.models_dir),
        settings,
    )


def until(holds: Callable[[], bool], seconds: float = WORKER_UP_S) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > ends:
            raise AssertionError(f"did not come true within {seconds:g} s")
        time.sleep(0.02)


def wait_for_kind(service: JobService, job_id: str, kind: str, count: int = 1) -> None:
    """Returns when the job's log has that many events of the kind."""
    for event in service.watch(job_id):
        count -= event.kind == kind
        if count == 0:
            return
    raise AssertionError(f"the job ended without {kind}")


def stumble_after(kind: str, service: JobService, request: GenerationRequest) -> None:
    """Two clips are made though, once, a change is in the database and whoever made it never hears
    of that."""
    stumbled: list[Event] = []
    tell = service._store._notify

    def stumble(event: Event) -> None:
        tell(event)
        if event.kind == kind and not stumbled:
            stumbled.append(event)
            raise RuntimeError("the answer is lost on its way")

    service._store._notify = stumble
    try:
        jobs = [service.submit(request, "visitor:me") for _ in range(2)]
        until(lambda: all(service.get(job.id).state is State.SUCCEEDED for job in jobs), 60)
    finally:
        service._store._notify = tell
    assert stumbled
    assert service._store.running() == []


@pytest.fixture(scope="session")
def shared_settings(tmp_path_factory: pytest.TempPathFactory, tiny_models_dir: Path) -> Settings:
    data_dir = tmp_path_factory.mktemp("service") / "data"
    return Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=data_dir,
        models_dir=tiny_models_dir,
        max_jobs_per_visitor=50,
    )


@pytest.fixture(scope="session")
def service(shared_settings: Settings) -> Iterator[JobService]:
    """One running service for all tests that leave it as they found it."""
    with build_service(shared_settings) as service:
        until(lambda: service.health()["state"] == "ready")
        yield service
