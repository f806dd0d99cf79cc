"""Two servers and command lines in one data folder: each hears what was asked through another, and
what a killed one left is taken up by the one that lives."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.checkpoint import KEPT, LATENTS
from jobs.estimate import Estimator
from jobs.events import EventLog
from jobs.job import Job, State
from jobs.lifecycle import JobLifecycle
from jobs.liveness import COMMAND, FileLiveness, is_command
from jobs.recovery import end_commands, recover
from jobs.store import JobStore
from settings import ROOT
from tests.jobs.conftest import MakeJob, accept, until
from tests.jobs.fake_engine_app import FakeEngineApp

ME = {"Authorization": "Bearer the same secret at both servers"}
LONG, SHORT = 190, 5
SOON_S = 30.0


# -- a killed command line -----------------------------------------------------------------------


class Killed:
    """A data folder in which a command line was killed."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder / 'kinora.db'}"
        self.presence = FileLiveness(folder / "servers")
        self.command = JobStore(url, f"{COMMAND}1234-dead")
        self.store = JobStore(url, self.presence.name)
        log, estimator = EventLog(self.store), Estimator(self.store, {}, "here")
        self.lifecycle = JobLifecycle(self.store, log, estimator, folder)

    def state(self, job: Job) -> State:
        found = self.store.get(job.id)
        assert found
        return found.state

    def error(self, job: Job) -> dict[str, Any]:
        found = self.store.get(job.id)
        assert found and found.error
        return found.error


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    killed = Killed(tmp_path)
    yield killed
    killed.presence.close()
    killed.command.close()
    killed.store.close()


Next = Callable[[JobLifecycle, FileLiveness], object]


@pytest.mark.parametrize("next_one", [recover, end_commands], ids=["server", "command"])
def test_the_clips_of_a_killed_command_are_not_made_by_the_next_process(
    killed: Killed, make_job: MakeJob, next_one: Next
) -> None:
    running, waiting = (accept(killed.command, make_job()) for _ in range(2))
    assert killed.command.claim({running.id})
    folder = killed.lifecycle.folder(running.id)
    folder.mkdir(parents=True)
    (folder / "clip.mp4.1-2.part").write_bytes(b"half")
    next_one(killed.lifecycle, killed.presence)
    assert [killed.state(job) for job in (running, waiting)] == [State.FAILED] * 2
    assert killed.error(running)["message"] == "The command that made this clip was stopped."
    assert killed.store.queued_ids() == [] and not folder.exists()


@pytest.mark.parametrize("state", [State.RUNNING, State.QUEUED])
def test_what_a_killed_command_had_sampled_is_kept(
    killed: Killed, make_job: MakeJob, state: State
) -> None:
    job = accept(killed.command, make_job())
    if state is State.RUNNING:
        killed.command.claim({job.id})
    killed.lifecycle.folder(job.id).mkdir(parents=True)
    (killed.lifecycle.folder(job.id) / LATENTS).write_bytes(b"sampled")
    recover(killed.lifecycle, killed.presence)
    assert killed.state(job) is State.FAILED
    assert killed.error(job)["details"][KEPT] is True
    assert killed.lifecycle.is_sampled(job.id)


def test_a_clip_that_was_discarded_before_the_kill_is_discarded(
    killed: Killed, make_job: MakeJob
) -> None:
    job = accept(killed.command, make_job())
    killed.command.claim({job.id})
    killed.store.request_stop(job.id, "discard")
    recover(killed.lifecycle, killed.presence)
    assert killed.state(job) is State.CANCELLED


def test_the_clips_of_a_command_that_lives_are_left_alone(
    killed: Killed, make_job: MakeJob, tmp_path: Path
) -> None:
    alive = FileLiveness(tmp_path / "servers", COMMAND)
    assert is_command(alive.name)
    killed.command.server = alive.name
    job = accept(killed.command, make_job())
    recover(killed.lifecycle, killed.presence)
    assert killed.state(job) is State.QUEUED
    alive.close()


def test_a_command_takes_up_nothing_of_a_server(killed: Killed, make_job: MakeJob) -> None:
    killed.command.server = "1234-a-server"
    job = accept(killed.command, make_job())
    end_commands(killed.lifecycle, killed.presence)
    assert killed.state(job) is State.QUEUED


def test_no_process_is_taken_for_dead_while_it_starts(tmp_path: Path) -> None:
    """Others look all the time, and remove what has no lock."""
    code = (
        "import sys; from pathlib import Path; from jobs.liveness import FileLiveness\n"
        "folder = Path(sys.argv[1]); mine = FileLiveness(folder)\n"
        "print(flush=True)\n"
        "while True:\n"
        "    for name in mine.expired(): mine.remove(name)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout and other.stdout.readline()
        try:
            for _ in range(300):
                presence = FileLiveness(tmp_path)
                assert (tmp_path / f"{presence.name}.alive").exists()
                presence.close()
        finally:
            other.kill()


def test_servers_with_one_database_see_each_other_whatever_their_data_folders(
    tmp_path: Path,
) -> None:
    from jobs.liveness import liveness_for

    store = JobStore(f"sqlite:///{tmp_path / 'shared.db'}")
    one, two = (liveness_for(store.database, tmp_path / name) for name in ("one", "two"))
    assert one.has_others() and two.is_alive(one.name)
    one.close()
    assert not two.has_others() and not two.is_alive(one.name)
    two.close()
    store.close()


# -- two servers ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[FakeEngineApp]:
    server = FakeEngineApp(folder)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def second(folder: Path, first: FakeEngineApp) -> Iterator[FakeEngineApp]:
    server = FakeEngineApp(folder)
    yield server
    server.stop()


def submit(server: FakeEngineApp, steps: int) -> str:
    body = {"prompt": "a dog", "num_inference_steps": steps}
    answer = httpx.post(
        f"{server.url}/api/generate", json=body, headers=ME, timeout=30, trust_env=False
    )
    answer.raise_for_status()
    return answer.json()["job_id"]


def status(server: FakeEngineApp, job_id: str, what: str = "status") -> Any:
    address = f"{server.url}/api/status/{job_id}"
    return httpx.get(address, headers=ME, timeout=30, trust_env=False).json().get(what)


def becomes(server: FakeEngineApp, job_id: str, wanted: str, seconds: float = SOON_S) -> None:
    until(lambda: status(server, job_id) == wanted, seconds)


@pytest.mark.slow
def test_a_discard_through_either_server_reaches_the_one_that_makes_the_clip(
    first: FakeEngineApp, second: FakeEngineApp
) -> None:
    for maker, other in ((first, second), (second, first)):
        running, waiting = submit(maker, LONG), submit(maker, LONG)
        becomes(maker, running, "running")
        began = time.monotonic()
        for job_id in (running, waiting):
            httpx.post(
                f"{other.url}/api/jobs/{job_id}/cancel", headers=ME, timeout=30, trust_env=False
            )
        for job_id in (running, waiting):
            for server in (maker, other):
                becomes(server, job_id, "failed")  # the word for it there
                errors = [status(server, job_id, "error") for server in (maker, other)]
                assert [error["error"] for error in errors] == ["cancelled"] * 2
        assert time.monotonic() - began < SOON_S


@pytest.mark.slow
def test_a_server_that_lives_makes_the_clips_of_one_that_was_killed(
    first: FakeEngineApp, second: FakeEngineApp
) -> None:
    running, waiting = submit(first, LONG), submit(first, SHORT)
    becomes(first, running, "running")
    assert first.process
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    for job_id in (running, waiting):
        becomes(second, job_id, "succeeded", 60)
    made = submit(second, SHORT)
    becomes(second, made, "succeeded")


@pytest.mark.slow
def test_a_command_that_is_killed_beside_a_server_ends_its_clip(
    second: FakeEngineApp, tiny_models_dir: Path
) -> None:
    env = second.environment | {"KINORA_MODELS_DIR": str(tiny_models_dir)}
    words = ("generate", "a dog", "--steps", "50", "--frames", "33")
    with subprocess.Popen(
        [sys.executable, "app.py", *words], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stderr
        for line in command.stderr:
            if "Sampling" in line:
                break
        command.kill()
    store = JobStore(f"sqlite:///{second.data / 'kinora.db'}")
    try:
        (job,) = store.history("cli")
        until(lambda: (store.get(job.id) or job).state is State.FAILED, SOON_S)
        assert "requeued" not in [event.kind for event in store.events(job.id)]
    finally:
        store.close()
