"""The worker may die at any moment; the service and its jobs live on.

`test_worker_killed` says how soon, under the whole app.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from errors import ErrorCode, KinoraError
from jobs.job import State
from jobs.service import JobService
from jobs.workers.process import DEFUNCT_AFTER
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.jobs.conftest import build_service, until, wait_for_kind

ROUNDS = 2
SHORT = GenerationRequest(prompt="a dog", seed=3)
LONG = SHORT.model_copy(
    update={"num_inference_steps": 50, "width": 128, "height": 128, "num_frames": 33}
)
ME = "visitor:me"

pytestmark = pytest.mark.slow


def kill_worker(service: JobService) -> int:
    pid = service.health()["worker_pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_for_steps(service: JobService, job_id: str, attempt: int) -> None:
    """Until the clip is in the making again."""
    kinds: list[str] = []
    for event in service.watch(job_id):
        kinds.append(event.kind)
        if event.kind == "step" and kinds.count("started") == attempt:
            return
    raise AssertionError(f"it ended before: {kinds}")


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, tiny_models_dir: Path) -> Iterator[JobService]:
    data_dir = tmp_path_factory.mktemp("mortal") / "data"
    settings = Settings(_env_file=None, data_dir=data_dir, models_dir=tiny_models_dir)  # pyright: ignore[reportCallIssue]
    with build_service(settings) as service:
        until(lambda: service.health()["state"] == "ready")
        yield service


def test_a_killed_worker_costs_nobody_a_clip(mortal: JobService) -> None:
    """In every round the job is made again and the next one works; the service never stops."""
    chance = random.Random(ROUNDS)
    for _ in range(ROUNDS):
        job = mortal.submit(LONG, ME)
        behind = mortal.submit(SHORT, ME)
        wait_for_kind(mortal, job.id, "step", count=chance.randint(1, 40))
        pid = kill_worker(mortal)
        log = list(mortal.watch(job.id))
        assert log[-1].kind == "succeeded"
        assert [e.kind for e in log].count("requeued") == 1
        assert [e.n for e in log] == list(range(1, len(log) + 1))
        assert mortal.get(job.id).attempts == 2
        assert mortal.clip_path(job.id).stat().st_size > 0
        assert [e.kind for e in mortal.watch(behind.id)][-1] == "succeeded"
        assert mortal.health()["worker_pid"] != pid
        assert not list(mortal.settings.data_dir.rglob("*.part"))


def test_a_clip_that_kills_its_worker_twice_ends_as_worker_lost(mortal: JobService) -> None:
    job = mortal.submit(LONG, ME)
    for attempt in (1, 2):
        wait_for_steps(mortal, job.id, attempt)
        kill_worker(mortal)
    log = [e.kind for e in mortal.watch(job.id)]
    assert log[-1] == "failed"
    assert log.count("started") == 2
    failed = mortal.get(job.id)
    assert failed.error and failed.error["error"] == ErrorCode.WORKER_LOST.value
    assert not mortal._lifecycle.folder(job.id).exists()
    after = mortal.submit(SHORT, ME)
    assert [e.kind for e in mortal.watch(after.id)][-1] == "succeeded"


def test_a_clip_discarded_while_its_worker_died_stays_discarded(mortal: JobService) -> None:
    job = mortal.submit(LONG, ME)
    wait_for_kind(mortal, job.id, "step")
    pid = mortal.health()["worker_pid"]
    os.kill(pid, signal.SIGSTOP)  # hears nothing any more
    mortal.cancel(job.id)
    os.kill(pid, signal.SIGKILL)
    assert [e.kind for e in mortal.watch(job.id)][-1] == "cancelled"
    assert mortal.get(job.id).attempts == 1


def test_a_finished_clip_is_kept_if_the_worker_dies_before_it_could_tell(
    mortal: JobService,
) -> None:
    done = mortal.submit(SHORT, ME)
    assert [e.kind for e in mortal.watch(done.id)][-1] == "succeeded"
    assert mortal._lifecycle.finished_result(done.id) == mortal.get(done.id).result
    clip = mortal.clip_path(done.id)
    clip.write_bytes(clip.read_bytes()[:-1])
    assert mortal._lifecycle.finished_result(done.id) is None  # not whole: not adopted


def test_a_worker_that_hangs_past_the_time_allowed_is_replaced(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.workers.process.OVERDUE_S", 0.5)
    settings = tiny_settings.model_copy(update={"request_timeout_s": 8.0})
    with build_service(settings) as service:
        job = service.submit(LONG, ME)
        wait_for_kind(service, job.id, "step")
        os.kill(service.health()["worker_pid"], signal.SIGSTOP)
        assert [e.kind for e in service.watch(job.id)][-1] == "failed"
        error = service.get(job.id).error
        assert error and error["error"] == ErrorCode.TIMEOUT.value
        assert service.health()["restarts"] == 1


def test_a_model_that_does_not_load_fails_clips_and_not_the_worker(
    tmp_path: Path, tiny_settings: Settings
) -> None:
    tiny.write_card(tmp_path / "models", tmp_path / "nowhere")
    settings = tiny_settings.model_copy(update={"models_dir": tmp_path / "models"})
    with build_service(settings) as service:
        until(lambda: service.health()["state"] == "setup_failed")
        assert service.health()["error"]["error"] == ErrorCode.MODEL_NOT_FOUND.value
        job = service.submit(SHORT, ME)
        assert [e.kind for e in service.watch(job.id)][-1] == "failed"
        error = service.get(job.id).error
        assert error and error["error"] == ErrorCode.MODEL_NOT_FOUND.value
        assert str(tmp_path) not in error["message"]
        assert service.health()["restarts"] == 0


def test_a_worker_that_never_comes_up_lets_nobody_wait_in_vain(
    tmp_path: Path, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The worker dies only once the clip is queued: a server that gave up before refuses it.
    queued, dies = tmp_path / "queued", tmp_path / "dies"
    dies.write_text(f"#!/bin/sh\nwhile [ ! -e '{queued}' ]; do sleep 0.05; done\nexit 1\n")
    dies.chmod(0o755)
    monkeypatch.setattr("jobs.workers.process.BACKOFF_S", (0.0,))
    monkeypatch.setattr(sys, "executable", str(dies))
    with build_service(tiny_settings) as service:
        job = service.submit(SHORT, ME)
        queued.touch()
        assert [e.kind for e in service.watch(job.id)] == ["queued", "started", "failed"]
        error = service.get(job.id).error
        assert error and error["error"] == ErrorCode.UNAVAILABLE.value
        until(lambda: service.health()["state"] == "defunct")
        assert service.health()["restarts"] >= DEFUNCT_AFTER
        with pytest.raises(KinoraError):
            service.submit(SHORT, ME)


def test_closing_gives_the_clip_in_the_making_back_to_the_queue(tiny_settings: Settings) -> None:
    with build_service(tiny_settings) as service:
        job = service.submit(LONG, ME)
        wait_for_kind(service, job.id, "step")
        pid = service.health()["worker_pid"]
        service.close(grace_s=0.1)
    assert not psutil.pid_exists(pid)
    with build_service(tiny_settings) as service:
        again = service.get(job.id)
        assert again.state in (State.QUEUED, State.RUNNING)
        wait_for_kind(service, job.id, "started", count=2)
        assert service.get(job.id).attempts == 1  # being stopped was not its fault
        service.cancel(job.id)
        assert [e.kind for e in service.watch(job.id)][-1] == "cancelled"


def test_closing_waits_for_a_clip_that_is_nearly_there(tiny_settings: Settings) -> None:
    with build_service(tiny_settings) as service:
        job = service.submit(SHORT, ME)
        wait_for_kind(service, job.id, "step")
        service.close(grace_s=60)
    with build_service(tiny_settings) as service:
        assert service.get(job.id).state is State.SUCCEEDED
