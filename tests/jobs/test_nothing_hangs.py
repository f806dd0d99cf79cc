"""Whatever goes wrong between the store and the worker, no clip is left running with nobody at it.

The worker's engine pretends; the rest is real.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from errors import KinoraError
from jobs.event_types import Event
from jobs.job import State
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.process import ProcessExecutor
from pipelines.models.cards import load_cards
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.jobs.conftest import until, wait_for_kind
from tests.jobs.fake_engine_worker import LEDGER, MODULE
from tests.jobs.services import PostgresServer

CLIP = GenerationRequest(prompt="a dog", num_inference_steps=5)
LONG = GenerationRequest(prompt="a dog", num_inference_steps=50)
ME = "visitor:me"


@contextmanager
def serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None = None
) -> Iterator[JobService]:
    monkeypatch.setenv(LEDGER, str(tmp_path / "ledger"))
    tiny.write_card(tmp_path / "models", tmp_path / "nowhere")
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
    )
    store = JobStore(url or settings.database_url)
    executor = ProcessExecutor(settings, MODULE)
    with JobService(store, executor, load_cards(settings.models_dir), settings) as service:
        yield service


def state(service: JobService, job_id: str) -> State | None:
    try:
        return service.get(job_id).state
    except KinoraError:  # the database is away
        return None


@pytest.mark.parametrize("kind", ["started", "step", "succeeded"])
def test_a_stumble_right_after_a_change_costs_no_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The change is in the database, and whoever made it never hears of that."""
    stumbled: list[Event] = []

    def stumble(event: Event) -> None:
        if event.kind == kind and not stumbled:
            stumbled.append(event)
            raise RuntimeError("somebody who listens stumbles")

    with serving(tmp_path, monkeypatch) as service:
        service._store.subscribe(stumble)
        jobs = [service.submit(CLIP, ME) for _ in range(2)]
        until(lambda: all(state(service, job.id) is State.SUCCEEDED for job in jobs), 60)
        assert service._store.running() == []
    assert stumbled


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["step", "encoding"])
def test_a_database_that_is_away_for_a_moment_costs_no_clip_and_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    postgres = PostgresServer()
    try:
        with serving(tmp_path, monkeypatch, postgres.database()) as service:
            jobs = [service.submit(LONG, ME) for _ in range(2)]
            wait_for_kind(service, jobs[0].id, moment)
            worker = service.health()["worker_pid"]
            postgres.stop()
            until(lambda: service._executor.health().state != "busy", 30)  # and could not say so
            postgres.start()
            until(lambda: all(state(service, job.id) is State.SUCCEEDED for job in jobs), 60)
            assert service._store.running() == []
            assert service.health()["worker_pid"] == worker
            made = (tmp_path / "ledger").read_text().split()
            assert sorted(made) == sorted(job.id for job in jobs), "a whole clip was made anew"
    finally:
        postgres.close()
