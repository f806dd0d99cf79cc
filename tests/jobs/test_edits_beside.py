"""An edit and a clip are made at the same time: neither waits for the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.event_types import Event
from jobs.job import Job, State
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers import edit_process
from jobs.workers.process import ProcessExecutor
from jobs.workers.side_by_side import SideBySideExecutor
from media.ffmpeg import base_command
from media.operations.edit_request import EditRequest, read_edit_request
from pipelines.models.cards import load_cards
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.jobs import fake_engine_worker
from tests.jobs.conftest import until, wait_for_kind
from tests.jobs.fake_engine_worker import LEDGER, STEP_SECONDS

SHORT = GenerationRequest(prompt="a dog", seed=3, num_inference_steps=1)
LONG = GenerationRequest(prompt="a dog", seed=3, num_inference_steps=150)
"""It takes a minute."""
ME, OTHER = "visitor:me", "visitor:other"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobService]:
    """Real but for the engine of the worker that makes clips."""
    folder = tmp_path_factory.mktemp("beside")
    limits: dict[str, Any] = tiny.CARD["limits"]  # type: ignore[assignment]
    tiny.write_card(folder / "models", folder / "nowhere", limits=limits | {"max_steps": 150})
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        models_dir=folder / "models",
        max_jobs_per_visitor=50,
    )
    clips = ProcessExecutor(settings, fake_engine_worker.MODULE, "clips")
    edits = ProcessExecutor(settings, edit_process.MODULE, "edits")
    store, cards = JobStore(settings.database_url), load_cards(settings.models_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LEDGER, str(folder / "ledger"))
        patch.setenv(STEP_SECONDS, "0.5")
        with JobService(store, SideBySideExecutor(clips, edits), cards, settings) as service:
            yield service


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filmed") / "filmed.mp4"
    source = ("-f", "lavfi", "-i", "testsrc=size=192x128:rate=8:duration=15")
    subprocess.run([*base_command(), *source, str(path)], check=True)
    return path


def edit_of(service: JobService, clip: Path, *, is_slow: bool = False) -> EditRequest:
    operations = [{"op": "interpolate", "fps": 240}] if is_slow else [{"op": "trim", "end_s": 1}]
    for owner in (ME, OTHER):
        name = service.store_clip_to_edit(clip, owner).id
    return read_edit_request({"clips": [name], "operations": operations})


def ended(service: JobService, job: Job) -> Job:
    until(lambda: service.get(job.id).state.ended, 180)
    return service.get(job.id)


def test_neither_waits_for_the_other(server: JobService, filmed: Path) -> None:
    # 1. An edit is made while a clip is.
    clip = server.submit(LONG, ME)
    wait_for_kind(server, clip.id, "step")
    waiting = server.submit(LONG, ME)
    edit = server.submit_edit(edit_of(server, filmed), OTHER)
    assert server.position(edit.id) == 0 < server.position(waiting.id)
    assert ended(server, edit).state is State.SUCCEEDED
    server.cancel(waiting.id)
    server.cancel(clip.id)
    assert started_at(server, edit) < ended_at(server, clip)

    # 2. A clip is made while an edit is; the next edit waits.
    edit = server.submit_edit(edit_of(server, filmed, is_slow=True), ME)
    wait_for_kind(server, edit.id, "step")
    waiting = server.submit_edit(edit_of(server, filmed), ME)
    assert server.position(waiting.id) == 1
    clip = server.submit(SHORT, OTHER)
    assert ended(server, clip).state is State.SUCCEEDED

    # 3. Each is discarded by itself.
    server.cancel(edit.id, ME)
    assert started_at(server, clip) < ended_at(server, edit) < started_at(server, waiting)
    assert not server._lifecycle.folder(edit.id).exists()
    assert ended(server, waiting).state is State.SUCCEEDED


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_lost_worker_costs_no_job_of_the_other(server: JobService, filmed: Path) -> None:
    clip = server.submit(LONG, ME)
    wait_for_kind(server, clip.id, "step")
    edit = server.submit_edit(edit_of(server, filmed, is_slow=True), OTHER)
    wait_for_kind(server, edit.id, "step")
    for child in editing_processes():
        os.kill(child, signal.SIGKILL)
    until(lambda: "requeued" in kinds(server, edit), 60)
    server.cancel(edit.id, OTHER)
    server.cancel(clip.id, ME)
    assert ended(server, edit).state is State.CANCELLED
    assert ended(server, clip).state.ended
    assert kinds(server, clip).count("started") == 1


def test_a_lost_answer_to_an_edit_costs_no_clip(server: JobService, filmed: Path) -> None:
    clip = server.submit(LONG, ME)
    wait_for_kind(server, clip.id, "step")
    interrupted: list[Event] = []
    notify = server._store._notify

    def interrupt(event: Event) -> None:
        notify(event)
        if event.kind == "started" and event.job_id != clip.id and not interrupted:
            interrupted.append(event)
            raise RuntimeError("the answer is lost on its way")

    server._store._notify = interrupt
    try:
        edit = server.submit_edit(edit_of(server, filmed), OTHER)
        assert ended(server, edit).state is State.SUCCEEDED
    finally:
        server._store._notify = notify
    assert interrupted
    assert kinds(server, edit).count("started") == 2
    server.cancel(clip.id, ME)
    assert ended(server, clip).state.ended
    assert kinds(server, clip).count("started") == 1


def started_at(service: JobService, job: Job) -> float:
    wait_for_kind(service, job.id, "started")
    return next(event.at for event in service.events(job.id) if event.kind == "started")


def ended_at(service: JobService, job: Job) -> float:
    ended(service, job)
    return service.events(job.id)[-1].at


def kinds(service: JobService, job: Job) -> list[str]:
    return [event.kind for event in service.events(job.id)]


def editing_processes() -> list[int]:
    found: list[int] = []
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, task.read_text().split()):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"jobs.workers.edit_process" in command:
                found.append(pid)
    assert found
    return found
