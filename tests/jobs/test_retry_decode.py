"""What was sampled is not lost: a clip that failed after sampling is developed once more."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.checkpoint import DECODING, KEPT, LATENTS, bring, save
from jobs.estimate import Estimator
from jobs.events import EventLog
from jobs.job import Job, State
from jobs.lifecycle import JobLifecycle
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.request import GenerationRequest, Task
from settings import Settings
from tests.forks import Forks
from tests.jobs.conftest import MakeJob, accept, build_service, wait_for_kind
from tests.jobs.workers.test_run import Person, Run
from tests.media.provenance.test_signing_files import validated
from tests.unsigned import without_credentials

if TYPE_CHECKING:
    from pipelines.engine.manager import PipelineManager

ME, OTHER = "visitor:me", "visitor:other"
SHORT = GenerationRequest(prompt="a dog", seed=3)
BROKEN = {"IMAGEIO_FFMPEG_EXE": "/bin/false"}
"""A machine whose ffmpeg does not work: the last step of every clip fails."""


# -- in run_job ----------------------------------------------------------------------------------


@pytest.fixture
def run(tiny_manager: PipelineManager, tiny_settings: Settings, tmp_path: Path) -> Run:
    return Run(tiny_manager, tiny_settings, tmp_path / "clip")


@pytest.fixture
def refuses(tiny_manager: PipelineManager) -> Iterator[list[bool]]:
    """Stands in for a GPU without room for any frame, until it is told otherwise."""
    decoder = tiny_manager.get("pocket", Task.TEXT_TO_VIDEO).pipe.vae.decoder
    full = [True]

    def refuse(_module: object, _arguments: object) -> None:
        if full[0]:
            raise torch.OutOfMemoryError("stand-in")

    handle = decoder.register_forward_pre_hook(refuse)
    yield full
    handle.remove()


def test_a_failed_decode_is_made_up_for_without_sampling(
    run: Run, make_job: MakeJob, refuses: list[bool], tmp_path: Path
) -> None:
    job = make_job()
    with pytest.raises(KinoraError) as failed:
        run(job)
    assert failed.value.code is ErrorCode.OUT_OF_MEMORY
    assert [f.name for f in run.folder.iterdir()] == [LATENTS]

    refuses[0] = False
    run.events.clear()
    result = run(job)
    assert run.kinds() == ["decoding", "encoding"]
    assert result.steps_done == 4
    assert result.step_s is None
    assert result.seconds["denoise"] > 0
    assert not (run.folder / LATENTS).exists()

    plain = Run(run.manager, run.settings, tmp_path / "plain")
    plain(job)
    clips = [(folder / "clip.mp4").read_bytes() for folder in (run.folder, plain.folder)]
    assert clips[0] == clips[1]


def test_a_clip_that_was_finished_early_stays_so(
    run: Run, make_job: MakeJob, refuses: list[bool]
) -> None:
    job = make_job()
    with pytest.raises(KinoraError):
        run(job, Person(finish_at=2))
    refuses[0] = False
    result = run(job)
    assert result.finished_early
    assert result.steps_done == 2


def test_a_damaged_file_only_costs_the_sampling(
    run: Run, make_job: MakeJob, refuses: list[bool]
) -> None:
    job = make_job()
    for damage in (b"", b"no safetensors", os.urandom(2000)):
        run.folder.mkdir(exist_ok=True)
        (run.folder / LATENTS).write_bytes(damage)
        refuses[0] = False
        run.events.clear()
        run(job)
        assert run.kinds() == ["step"] * 4 + ["decoding", "encoding"]


def test_what_cannot_succeed_later_is_not_kept(run: Run, make_job: MakeJob) -> None:
    with pytest.raises(KinoraError) as failed:
        run(make_job(), max_video_file_size_mb=0.0001)
    assert failed.value.code is ErrorCode.TOO_LARGE
    assert not (run.folder / LATENTS).exists()


def test_without_room_for_the_insurance_the_clip_is_made_all_the_same(
    run: Run, make_job: MakeJob
) -> None:
    (run.folder / LATENTS).mkdir(parents=True)  # a name that cannot be written
    assert run(make_job()).num_frames == 9


def test_where_a_worker_died_developing_the_next_one_uses_less_memory(
    run: Run, make_job: MakeJob, refuses: list[bool]
) -> None:
    job = make_job(width=128, height=128)
    with pytest.raises(KinoraError):
        run(job)
    assert not (run.folder / DECODING).exists()
    (run.folder / DECODING).touch()  # what a killed worker leaves

    seen: list[tuple[int, ...]] = []
    decoder = run.manager.get("pocket", Task.TEXT_TO_VIDEO).pipe.vae.decoder
    refuses[0] = False
    with decoder.register_forward_pre_hook(lambda _m, a: seen.append(tuple(a[0].shape[3:]))):
        run(job)
    assert max(seen) == (4, 4)  # of 8x8


# -- in the lifecycle and the service ------------------------------------------------------------


@pytest.fixture
def lifecycle(tmp_path: Path, store: JobStore) -> JobLifecycle:
    return JobLifecycle(store, EventLog(store), Estimator(store, {}, "here"), tmp_path / "data")


def sampled(lifecycle: JobLifecycle, job: Job) -> Path:
    folder = lifecycle.folder(job.id)
    folder.mkdir(parents=True)
    (folder / LATENTS).write_bytes(b"latents")
    (folder / "clip.mp4.1-2.part").write_bytes(b"half")
    return folder


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        (ErrorCode.OUT_OF_MEMORY, True),
        (ErrorCode.DECODE, True),
        (ErrorCode.ENCODE, True),
        (ErrorCode.OUT_OF_DISK, True),
        (ErrorCode.WORKER_LOST, True),
        (ErrorCode.TIMEOUT, True),
        (ErrorCode.TOO_LARGE, False),
    ],
)
def test_a_failure_keeps_what_may_help_later(
    lifecycle: JobLifecycle, make_job: MakeJob, code: ErrorCode, kept: bool
) -> None:
    accept(lifecycle.store, make_job())
    job = lifecycle.claim()
    assert job
    folder = sampled(lifecycle, job)
    lifecycle.fail(job, KinoraError(code))
    failed = lifecycle.store.get(job.id)
    assert failed and failed.state is State.FAILED and failed.error
    assert lifecycle.is_sampled(job.id) is kept
    assert bool(failed.error["details"].get(KEPT)) is kept
    assert sorted(f.name for f in folder.glob("*")) == ([LATENTS] if kept else [])


def test_a_discarded_clip_leaves_nothing(lifecycle: JobLifecycle, make_job: MakeJob) -> None:
    accept(lifecycle.store, make_job())
    job = lifecycle.claim()
    assert job
    folder = sampled(lifecycle, job)
    lifecycle.store.request_stop(job.id, "discard")
    lifecycle.fail(job, KinoraError(ErrorCode.DECODE))
    assert not folder.exists()


def test_a_lost_worker_does_not_cost_the_sampling(
    lifecycle: JobLifecycle, make_job: MakeJob
) -> None:
    accept(lifecycle.store, make_job())
    job = lifecycle.claim()
    assert job
    folder = sampled(lifecycle, job)
    (folder / DECODING).touch()
    lifecycle.worker_lost(job)
    assert sorted(f.name for f in folder.iterdir()) == [DECODING, LATENTS]
    again = lifecycle.claim()
    assert again and again.attempts == 2
    lifecycle.worker_lost(again)
    failed = lifecycle.store.get(job.id)
    assert failed and failed.error and failed.error["error"] == "worker_lost"
    assert lifecycle.is_sampled(job.id)


def test_through_an_object_store_the_latents_travel(tmp_path: Path) -> None:
    """As behind Redis: the worker's folder is its own, and the next one may be elsewhere."""
    kept = Artifacts(tmp_path / "here", "memory://clips")
    elsewhere = Artifacts(tmp_path / "there", "memory://clips")
    made = tmp_path / "work"
    made.mkdir()
    (made / LATENTS).write_bytes(b"latents")
    save(kept, "a" * 32, made, KinoraError(ErrorCode.TOO_LARGE))
    assert kept.size("a" * 32, LATENTS) is None
    save(kept, "a" * 32, made, KinoraError(ErrorCode.ENCODE))
    bring(elsewhere, "a" * 32, tmp_path / "new")
    assert (tmp_path / "new" / LATENTS).read_bytes() == b"latents"
    elsewhere.drop("a" * 32, LATENTS)
    assert kept.size("a" * 32, LATENTS) is None


def refusal(call: Any, *args: object) -> KinoraError:
    with pytest.raises(KinoraError) as refused:
        call(*args)
    return refused.value


def kinds(service: JobService, job_id: str, after: int = 0) -> list[str]:
    skipped = ("preview", "loading")
    return [e.kind for e in service.watch(job_id, after=after) if e.kind not in skipped]


@contextmanager
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as machine:
        for name, value in BROKEN.items():
            machine.setenv(name, value)
        yield


def settings_of(tiny_settings: Settings, executor: str) -> Settings:
    return tiny_settings.model_copy(update={"executor": executor})


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["process", "inline"])
def test_days_later_and_after_a_restart(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    settings = settings_of(tiny_settings, executor)
    # 1. A server on a machine whose ffmpeg is broken
    with broken(monkeypatch), build_service(settings) as service:
        job = service.submit(SHORT, ME)
        assert kinds(service, job.id)[-1] == "failed"
        error = service.get(job.id).error
        assert error and error["error"] == "encode"
        assert error["details"][KEPT] is True
        assert service.can_retry_decode(job.id, ME)
        assert refusal(service.retry_decode, job.id, OTHER).code is ErrorCode.NOT_FOUND
        before = service._events.since(job.id)[-1].n

    # 2. Another one, where it works again
    with build_service(settings) as service:
        again = service.retry_decode(job.id, ME)
        assert (again.state, again.error) == (State.QUEUED, None)
        assert service.retry_decode(job.id, ME).id == job.id  # asked twice
        log = kinds(service, job.id, after=before)
        assert log == ["requeued", "started", "decoding", "encoding", "succeeded"]
        done = service.get(job.id)
        assert done.state is State.SUCCEEDED and done.result
        assert done.result.steps_done == 4
        assert service.clip_path(job.id, ME).stat().st_size == done.result.size_bytes
        assert validated(service.clip_path(job.id, ME))["validation_state"] == "Valid"
        assert not (service._lifecycle.folder(job.id) / LATENTS).exists()
        assert not service.can_retry_decode(job.id, ME)
        assert refusal(service.retry_decode, job.id, ME).code is ErrorCode.CONFLICT
        # who comes late sees the whole story, to its end
        whole = kinds(service, job.id)
        assert whole.count("failed") == 1
        assert whole[-1] == "succeeded"

        # the same clip as if nothing had happened
        plain = service.submit(SHORT, ME)
        wait_for_kind(service, plain.id, "succeeded")
        clips = [without_credentials(service.clip_path(each.id)) for each in (plain, job)]
        assert clips[0] == clips[1]


@pytest.mark.slow
def test_what_was_not_kept_cannot_be_developed(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        broken(monkeypatch),
        build_service(settings_of(tiny_settings, "inline")) as service,
    ):
        gone, deleted, waiting = (service.submit(SHORT, f"visitor:{n}") for n in range(3))
        for job in (gone, deleted, waiting):
            assert kinds(service, job.id)[-1] == "failed"
        (service._lifecycle.folder(gone.id) / LATENTS).unlink()
        assert not service.can_retry_decode(gone.id)
        assert "from the start" in refusal(service.retry_decode, gone.id).message
        assert service.get(gone.id).state is State.FAILED

        service.delete(deleted.id)
        assert not service._lifecycle.folder(deleted.id).exists()
        assert refusal(service.retry_decode, deleted.id).code is ErrorCode.NOT_FOUND

        # it fails again, and may be tried again
        for _ in range(2):
            service.retry_decode(waiting.id)
            after = service._events.since(waiting.id)[-1].n - 1
            assert kinds(service, waiting.id, after=after)[-1] == "failed"
        assert service.can_retry_decode(waiting.id)


@pytest.mark.slow
def test_on_the_command_line(tiny_env: dict[str, str], forks: Forks) -> None:
    def app(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return forks.run_text(list(arguments), tiny_env | env)

    failed = app("generate", "a dog", "--seed", "3", **BROKEN)
    assert failed.returncode == 1
    assert "retry-decode" in failed.stderr
    job_id = failed.stderr.split("retry-decode ")[1].split()[0]
    done = app("retry-decode", job_id, "--json")
    assert done.returncode == 0, done.stderr
    assert "Sampling" not in done.stderr
    told = json.loads(done.stdout)
    assert told["seed"] == 3
    assert Path(told["path"]).stat().st_size == told["size_bytes"]

    assert app("retry-decode", job_id).returncode != 0
    assert app("retry-decode", "f" * 32).returncode == 2
