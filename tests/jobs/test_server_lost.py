"""What a server finds when it starts after another one was killed, and what it makes of it.

`test_server_killed` kills real ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.estimate import Estimator
from jobs.event_types import Requeued
from jobs.events import EventLog
from jobs.job import Job, Result, State
from jobs.lifecycle import JobLifecycle
from jobs.liveness import FileLiveness
from jobs.recovery import recover
from jobs.retention import remove_leftovers
from jobs.store import JobStore
from settings import Settings
from tests.jobs.conftest import MakeJob, accept, build_service


class After:
    """What a server finds when it starts after another one was killed."""

    def __init__(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'kinora.db'}"
        self.presence = FileLiveness(tmp_path / "servers")
        self.dead = JobStore(url, "1234-dead")
        self.store = JobStore(url, self.presence.name)
        self.lifecycle = JobLifecycle(
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
            self.dead.move(job.id, State.RUNNING, State.QUEUED, Requeued())
        claimed = self.dead.claim({job.id})
        assert claimed
        return claimed

    def recover(self) -> None:
        recover(self.lifecycle, self.presence)
        remove_leftovers(self.lifecycle)

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
    assert after.store.queued_ids() == [job.id for job in jobs]


def test_a_clip_in_the_making_is_made_again_once(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job())
    after.recover()
    assert after.state(job) is State.QUEUED
    assert after.store.queued_ids() == [job.id]


def test_a_clip_that_was_lost_twice_ends(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job(), attempts=2)
    after.recover()
    assert after.state(job) is State.FAILED


def test_a_clip_that_is_whole_is_kept(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job())
    result = write_clip(after.lifecycle.folder(job.id), whole=True)
    after.recover()
    found = after.store.get(job.id)
    assert found
    assert (found.state, found.result) == (State.SUCCEEDED, result)


@pytest.mark.parametrize("name", ["clip.mp4", "poster.jpg", "last.png", "result.json"])
def test_a_clip_that_lacks_a_file_is_not_kept(after: After, make_job: MakeJob, name: str) -> None:
    job = after.running(make_job())
    folder = after.lifecycle.folder(job.id)
    write_clip(folder, whole=True)
    (folder / name).unlink()
    after.recover()
    assert after.state(job) is State.QUEUED
    assert not folder.exists()


def test_temporary_files_never_become_results(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job())
    write_clip(after.lifecycle.folder(job.id), whole=False)
    after.recover()
    assert after.state(job) is State.QUEUED
    assert not after.lifecycle.folder(job.id).exists()


def test_a_clip_that_was_being_discarded_is_discarded(after: After, make_job: MakeJob) -> None:
    job = after.running(make_job())
    after.dead.request_stop(job.id, "discard")
    write_clip(after.lifecycle.folder(job.id), whole=True)
    after.recover()
    assert after.state(job) is State.CANCELLED
    assert not after.lifecycle.folder(job.id).exists()


def test_the_clips_of_a_living_server_are_left_alone(
    after: After, make_job: MakeJob, tmp_path: Path
) -> None:
    living = FileLiveness(tmp_path / "servers")
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
        "import sys, time; from pathlib import Path; from jobs.liveness import FileLiveness\n"
        "alive = FileLiveness(Path(sys.argv[1])); print(alive.name, flush=True); time.sleep(60)"
    )
    folder = tmp_path / "servers"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        name = other.stdout.readline().strip()
        assert after.presence.is_alive(name)
        assert after.presence.expired() == []
        other.kill()
        other.wait()
    assert not after.presence.is_alive(name)
    assert after.presence.expired() == [name]


def test_folders_without_a_job_and_half_files_are_removed(
    after: After, make_job: MakeJob, tmp_path: Path
) -> None:
    job = after.running(make_job())
    folder = after.lifecycle.folder(job.id)
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
    after.lifecycle.pictures.mkdir(parents=True)
    used, unused, fresh = (f"{n:064x}" for n in range(3))
    for name in (used, unused, fresh):
        (after.lifecycle.pictures / f"{name}.png").write_bytes(b"")
        if name != fresh:
            os.utime(after.lifecycle.pictures / f"{name}.png", (0, 0))
    accept(after.dead, make_job(image=used))
    after.recover()
    assert sorted(p.stem for p in after.lifecycle.pictures.iterdir()) == [used, fresh]


def test_two_services_share_a_folder_and_leave_each_other_alone(tiny_settings: Settings) -> None:
    page, command_line = build_service(tiny_settings), build_service(tiny_settings)
    assert page._store.server != command_line._store.server
    page.close()
    command_line.close()
