"""A visitor who comes while the first model is loaded hears what the clip waits for."""

from __future__ import annotations

import pytest

from jobs.event_types import JobCancelled, Loading
from jobs.job import State
from jobs.store import JobStore
from jobs.workers.loading_events import LoadingReporter
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.conftest import MakeJob, accept, build_service


def loading(fraction: float, phase: str = "transformer") -> Loading:
    return Loading(phase, fraction)


def fractions(store: JobStore, job_id: str) -> list[float]:
    return [e.data["fraction"] for e in store.events(job_id) if e.kind == "loading"]


def test_only_the_first_in_the_line_is_told_and_only_what_is_new(
    store: JobStore, make_job: MakeJob
) -> None:
    reporter = LoadingReporter(store)
    reporter.report(loading(0.1))  # to nobody
    first, second = accept(store, make_job()), accept(store, make_job())
    for fraction in (0.1, 0.1, 0.101, 0.2, 0.2):
        reporter.report(loading(fraction))
    reporter.report(loading(0.2, "text encoder"))
    assert fractions(store, first.id) == [0.1, 0.2, 0.2]
    assert fractions(store, second.id) == []
    found = store.get(first.id)
    assert found and found.state is State.QUEUED
    store.move(first.id, State.QUEUED, State.CANCELLED, JobCancelled())
    reporter.report(loading(0.2, "text encoder"))
    assert fractions(store, second.id) == [0.2]


@pytest.mark.slow
def test_the_embedded_worker_tells_it_too(tiny_settings: Settings) -> None:
    with build_service(tiny_settings) as service:
        job = service.submit(GenerationRequest(prompt="a dog", seed=1), "visitor")
        kinds = [event.kind for event in service.watch(job.id)]
    assert "loading" in kinds[: kinds.index("started")]
    assert kinds[-1] == "succeeded"
