"""Edits behind Redis and an object store, and on ZeroGPU, where they need no GPU."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.fleet.dispatcher import RedisExecutor
from jobs.job import Job, State
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.edit_process import MODULE
from jobs.workers.inline import InlineExecutor
from jobs.workers.process import ProcessExecutor
from pipelines.models.cards import ModelCard, load_cards
from settings import ROOT, Settings
from tests.jobs.conftest import MakeJob, until, wait_for_kind
from tests.jobs.finished_clips import add_clip
from tests.jobs.redis_fleet import RedisServer, environment
from tests.jobs.services import S3Server
from tests.jobs.test_edits import ME, SLOW, edit_of, files_of
from tests.media.reading import read

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.close()


def settings_in(folder: Path, s3: S3Server, **more: Any) -> Settings:
    return Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "server",
        artifacts_url=f"s3://clips/{folder.name}",
        max_jobs_per_visitor=50,
        **more,
    )


@pytest.fixture
def fleet(
    tmp_path: Path, s3: S3Server, light_cards: dict[str, ModelCard]
) -> Iterator[tuple[JobService, Path]]:
    """A server, and a worker that shares nothing with it but Redis and the object store; and the
    folder of the worker."""
    redis = RedisServer(tmp_path / "redis")
    settings = settings_in(tmp_path, s3, redis_url=redis.url)
    there = settings.model_copy(update={"data_dir": tmp_path / "worker"})
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.edit_worker"], cwd=ROOT, env=environment(there)
    )
    store = JobStore(settings.database_url)
    with JobService(store, RedisExecutor(settings), light_cards, settings) as service:
        until(lambda: service.health()["state"] == "ready")
        yield service, there.data_dir
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(40) == 0
    redis.close()


def made(service: JobService, job: Job) -> Job:
    until(lambda: service.get(job.id).state.ended)
    job = service.get(job.id)
    assert job.state is State.SUCCEEDED, job.error
    return job


def test_a_worker_elsewhere_fetches_the_clips_and_keeps_none(
    fleet: tuple[JobService, Path], make_job: MakeJob
) -> None:
    service, there = fleet
    clip = add_clip(service, make_job(ME), num_frames=120, size=(192, 128))
    upload = service.store_clip_to_edit(service.clip_path(clip.id), ME)
    for source in (clip.id, upload.id):
        job = made(service, service.submit_edit(edit_of(source), ME))
        assert len(read(service.clip_path(job.id)).frames) == 8
        assert job.result is not None and job.result.provenance is not None
        assert job.result.provenance.signed
    assert not [path for path in there.rglob("*") if path.is_file()]

    job = service.submit_edit(edit_of(clip.id, operations=SLOW), ME)
    wait_for_kind(service, job.id, "step")
    service.cancel(job.id, ME)
    until(lambda: service.get(job.id).state is State.CANCELLED)
    until(lambda: not [path for path in there.rglob("*") if path.is_file()])


def test_a_clip_that_is_in_the_object_store_only_can_be_edited(
    tmp_path: Path, s3: S3Server, make_job: MakeJob, light_cards: dict[str, ModelCard]
) -> None:
    settings = settings_in(tmp_path, s3)
    store = JobStore(settings.database_url)
    executor = ProcessExecutor(settings, MODULE)
    with JobService(store, executor, light_cards, settings) as service:
        clip = add_clip(service, make_job(ME))
        job = service.submit_edit(edit_of(clip.id), ME)
        shutil.rmtree(service._lifecycle.folder(clip.id))
        job = made(service, job)
        assert len(read(service.clip_path(job.id)).frames) == 8


def test_an_edit_on_zerogpu_asks_for_no_gpu(tiny_settings: Settings, make_job: MakeJob) -> None:
    settings = tiny_settings.model_copy(update={"zero_gpu": True})
    executor = InlineExecutor(settings)
    cards = load_cards(settings.models_dir)
    with JobService(JobStore(settings.database_url), executor, cards, settings) as service:
        clip = add_clip(service, make_job(ME), num_frames=120, size=(192, 128))

        def refuse(*_: object) -> None:
            raise AssertionError("an edit asked for a GPU")

        executor._run = refuse  # type: ignore[method-assign]
        job = service.submit_edit(edit_of(clip.id), ME)
        assert not service.needs_new_request(job)
        assert service.waits_for(job) is None
        job = made(service, job)
        assert files_of(service, job) == {"clip.mp4", "poster.jpg", "last.png", "result.json"}

        job = service.submit_edit(edit_of(clip.id, operations=SLOW), ME)
        wait_for_kind(service, job.id, "step")
        service.cancel(job.id, ME)
        until(lambda: service.get(job.id).state is State.CANCELLED)
        assert files_of(service, job) == set()
