"""kill -9 of the server at random moments: what was accepted is not lost, and nothing hangs.

`make reliability` runs this as often as the promise says.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.desk import Desk
from jobs.estimate import Estimator
from jobs.events import EventLog
from jobs.job import TERMINAL_KINDS, Job, Result, State
from jobs.presence import Presence
from jobs.recovery import recover, tidy
from jobs.store import JobStore
from settings import Settings
from tests.goals import rounds
from tests.jobs.conftest import MakeJob, accept, build_service

ROUNDS = rounds(2, 100)


@pytest.mark.slow
def test_killed_servers_lose_no_clip(tiny_settings: Settings, tiny_env: dict[str, str]) -> None:
    chance = random.Random(ROUNDS)
    accepted: list[str] = []
    finished: dict[str, float] = {}
    for round_ in range(ROUNDS):
        # every other kill comes after the worker is up, so that it hits clips in the making
        moment = chance.uniform(0.2, 4.0) if round_ % 2 else chance.uniform(1.0, 12.0)
        accepted += serve_and_kill(tiny_env, moment, after_ready=bool(round_ % 2))
        check_database(tiny_settings)
        for job_id, ended_at in finished.items():
            assert ended(tiny_settings)[job_id] == ended_at  # done once is done
        finished = ended(tiny_settings)

    subprocess.run(
        [sys.executable, "-m", "tests.jobs.harness", "0"], env=tiny_env, check=True, timeout=600
    )

    check_database(tiny_settings)
    store = JobStore(tiny_settings.database_url)
    try:
        for job_id in accepted:
            job, log = store.get(job_id), store.events(job_id)
            assert job, "an accepted job is gone"
            assert job.state.ended, "a job hangs"
            assert [e.n for e in log] == list(range(1, len(log) + 1))
            assert sum(e.kind in TERMINAL_KINDS for e in log) == 1
            if job.state is State.FAILED:  # killed in the middle of it twice
                assert job.error and job.error["error"] == "worker_lost"
                assert job.attempts == 2
            else:
                assert job.result and job.state is State.SUCCEEDED
                clip = tiny_settings.data_dir / "jobs" / job_id / job.result.clip
                assert clip.stat().st_size == job.result.size_bytes
    finally:
        store.close()
    assert not list(tiny_settings.data_dir.rglob("*.part"))
    assert len(list((tiny_settings.data_dir / "servers").glob("*.alive"))) == 0


def serve_and_kill(env: dict[str, str], seconds: float, *, after_ready: bool) -> list[str]:
    """The ids that a server acknowledged before it was killed."""
    said: list[str] = []
    ready = threading.Event()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.harness", "3"],
        env=env | {"KINORA_MAX_JOBS_PER_VISITOR": "1000", "KINORA_MAX_QUEUE": "1000"},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        stdout = server.stdout
        assert stdout

        def read() -> None:
            for line in stdout:
                said.append(line)
                if line == "ready\n":
                    ready.set()

        reader = threading.Thread(target=read)
        reader.start()
        if after_ready:
            assert ready.wait(120)
        threading.Event().wait(seconds)
        assert server.poll() is None
        server.send_signal(signal.SIGKILL)
        server.wait()
        reader.join()
    return [line.split()[1] for line in said if line.startswith("accepted") and line[-1] == "\n"]


def check_database(settings: Settings) -> None:
    path = settings.data_dir / "kinora.db"
    if not path.exists():
        return
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


def ended(settings: Settings) -> dict[str, float]:
    if not (settings.data_dir / "kinora.db").exists():
        return {}
    store = JobStore(settings.database_url)
    try:
        jobs = [job for n in range(3) for job in store.history(f"visitor:{n}", limit=1000)]
    finally:
        store.close()
    return {job.id: job.ended_at for job in jobs if job.ended_at}


class After:
    """What a server finds when it starts after another one was killed."""

    def __init__(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'kinora.db'}"
        self.presence = Presence(tmp_path / "servers")
        self.dead = JobStore(url, "1234-dead")
        self.store = JobStore(url, self.presence.name)
        self.desk = Desk(
            self.store, EventLog(self.store), Estimator(self.store, {}, "here"), tmp_path
        )

    def close(self) -> None:
        self.presence.close()
        self.dead.close()
        self.store.close()

    def running(self, job: Job, attempts: int = 1) -> Job:
        accept(self.dead, job)
        for _ in range(attempts - 1):
            self.dead.claim({job.id})
            self.dead.move(job.id, State.RUNNING, State.QUEUED, "requeued")
        claimed = self.dead.claim({job.id})
        assert claimed
        return claimed

    def recover(self) -> None:
        recover(self.desk, self.presence)
        tidy(self.desk)

    def state(self, job: Job) -> State:
        found = self.store.get(job.id)
        assert found
        return found.state


@pytest.fixture
def after(tmp_path: Path) -> Iterator[After]:
    after = After(tmp_path)
    yield after
    after.close()


def write_clip(folder: Path, *, whole: bool) -> Result:
    folder.mkdir(parents=True)
    for name in ("clip.mp4", "poster.jpg", "last.png"):
        (folder / name).write_bytes(b"12345678")
    result = Result(
        clip="clip.mp4",
        poster="poster.jpg",
        last_frame="last.png",
        width=64,
        height=64,
        num_frames=9,
        fps=8,
        size_bytes=8,
        seconds={"denoise": 1.0},
    )
    name = "result.json" if whole else "result.json.77-88.part"
    (folder / name).write_text(result.model_dump_json())
    return result


def test_waiting_clips_wait_on(after: After, make_job: MakeJob) -> None:
    jobs = [accept(after.dead, make_job()) for _ in range(3)]
    after.recover()
    assert after.store.line() == [job.id for job in jobs]


def test_a_clip_in_the_making_is_made_again_once(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job())
    after.recover()
    assert after.state(job) is State.QUEUED
    assert after.store.line() == [job.id]


def test_a_clip_that_was_lost_twice_ends(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job(), attempts=2)
    after.recover()
    assert after.state(job) is State.FAILED


def test_a_clip_that_is_whole_is_kept(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job())
    result = write_clip(after.desk.folder(job.id), whole=True)
    after.recover()
    found = after.store.get(job.id)
    assert found
    assert (found.state, found.result) == (State.SUCCEEDED, result)


@pytest.mark.parametrize("name", ["clip.mp4", "poster.jpg", "last.png", "result.json"])
def test_a_clip_that_lacks_a_file_is_not_kept(after: After, make_job: MakeJob, name: str) -> None:
    job = after.running(make_job())
    folder = after.desk.folder(job.id)
    write_clip(folder, whole=True)
    (folder / name).unlink()
    after.recover()
    assert after.state(job) is State.QUEUED
    assert not folder.exists()


def test_temporary_files_never_become_results(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job())
    write_clip(after.desk.folder(job.id), whole=False)
    after.recover()
    assert after.state(job) is State.QUEUED
    assert not after.desk.folder(job.id).exists()


def test_a_clip_that_was_being_discarded_is_discarded(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job())
    after.dead.ask(job.id, "discard")
    write_clip(after.desk.folder(job.id), whole=True)
    after.recover()
    assert after.state(job) is State.CANCELLED
    assert not after.desk.folder(job.id).exists()


def test_the_clips_of_a_living_server_are_left_alone(
    after: After, make_job: MakeJob, tmp_path: Path
) -> None:
    living = Presence(tmp_path / "servers")
    after.dead.server = living.name
    job = after.running(make_job())
    after.recover()
    assert after.state(job) is State.RUNNING
    living.close()
    after.recover()
    assert after.state(job) is State.QUEUED


def test_a_server_in_another_process_counts_as_living_until_it_is_killed(
    after: After, tmp_path: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from jobs.presence import Presence\n"
        "presence = Presence(Path(sys.argv[1])); print(presence.name, flush=True); time.sleep(60)"
    )
    folder = tmp_path / "servers"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        name = other.stdout.readline().strip()
        assert after.presence.is_alive(name)
        assert after.presence.the_dead() == []
        other.kill()
        other.wait()
    assert not after.presence.is_alive(name)
    assert after.presence.the_dead() == [name]


def test_folders_without_a_job_and_half_files_are_removed(
    after: After, make_job: MakeJob, tmp_path: Path
) -> None:
    job = after.running(make_job())
    folder = after.desk.folder(job.id)
    write_clip(folder, whole=True)
    (folder / "clip.mp4.1-2.part").write_bytes(b"half")
    stray = tmp_path / "jobs" / ("0" * 32)
    stray.mkdir()
    not_ours = tmp_path / "jobs" / "notes"
    not_ours.mkdir()
    after.recover()
    assert not stray.exists()
    assert not_ours.exists()
    assert sorted(f.name for f in folder.iterdir()) == [
        *("clip.mp4", "last.png", "poster.jpg", "result.json")
    ]


def test_pictures_nobody_used_go_after_a_day(after: After, make_job: MakeJob) -> None:
    after.desk.pictures.mkdir(parents=True)
    used, unused, fresh = (f"{n:064x}" for n in range(3))
    for name in (used, unused, fresh):
        (after.desk.pictures / f"{name}.png").write_bytes(b"")
        if name != fresh:
            os.utime(after.desk.pictures / f"{name}.png", (0, 0))
    accept(after.dead, make_job(image=used))
    after.recover()
    assert sorted(p.stem for p in after.desk.pictures.iterdir()) == [used, fresh]


def test_two_services_share_a_folder_and_leave_each_other_alone(tiny_settings: Settings) -> None:
    page, command_line = build_service(tiny_settings), build_service(tiny_settings)
    assert page.store.server != command_line.store.server
    page.close()
    command_line.close()
