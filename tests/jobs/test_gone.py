"""A clip that was removed by age or for room is no dead link: who asks is told, at every door."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.job import Job, State
from jobs.retention import make_room
from jobs.service import JobService
from tests.jobs.conftest import MakeJob
from tests.jobs.test_retention import finished
from tests.jobs.test_retention import service as service  # a small quota


def removed_for_room(service: JobService, make_job: MakeJob) -> Job:
    job = finished(service, make_job())
    for _ in range(5):
        finished(service, make_job())
    assert make_room(service._lifecycle, service.settings) >= 1
    return service.get(job.id)


def test_its_job_says_since_when_and_why(service: JobService, make_job: MakeJob) -> None:
    began = time.time()
    job = removed_for_room(service, make_job)
    assert job.state is State.SUCCEEDED
    assert job.result
    assert job.result.gone
    assert job.result.gone.why == "space"
    assert began < job.result.gone.at <= time.time()
    assert "made room" in job.result.gone.sentence
    assert job.id in [each.id for each in service.list(job.owner)], "the history keeps it"


def test_nothing_of_it_is_left_on_the_disk(service: JobService, make_job: MakeJob) -> None:
    job = removed_for_room(service, make_job)
    assert not service._lifecycle.folder(job.id).exists()


def test_its_files_answer_with_the_reason(service: JobService, make_job: MakeJob) -> None:
    job = removed_for_room(service, make_job)
    for find in (service.clip_path, service.poster_path, service.last_frame_path):
        with pytest.raises(KinoraError) as refused:
            find(job.id)
        assert refused.value.code is ErrorCode.GONE
        assert refused.value.kind.http_status == 410
        assert "made room" in refused.value.message


def test_a_file_that_somebody_took_away_is_gone_too(service: JobService, make_job: MakeJob) -> None:
    job = finished(service, make_job())
    service.clip_path(job.id).unlink()
    with pytest.raises(KinoraError) as refused:
        service.clip_path(job.id)
    assert refused.value.code is ErrorCode.GONE


def test_a_server_killed_while_it_made_room_leaves_no_files_for_ever(
    service: JobService, make_job: MakeJob
) -> None:
    job = removed_for_room(service, make_job)
    left = service._lifecycle.folder(job.id) / "clip.mp4"
    left.parent.mkdir()
    left.write_bytes(b"it was killed before this went")
    make_room(service._lifecycle, service.settings)
    assert not left.exists()


def test_a_clip_handed_out_again_does_not_go_with_the_first(
    service: JobService, make_job: MakeJob
) -> None:
    job = removed_for_room(service, make_job)
    assert service._lifecycle.finished_result(job.id) is None, "nobody is given it again"


def test_a_store_that_cannot_sign_gives_no_address(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "data", "memory://clips")
    assert artifacts.address("a" * 32, "clip.mp4") is None
