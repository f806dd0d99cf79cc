"""The disk does not fill: the oldest finished clips go, and say why."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import executor_for
from errors import KinoraError
from jobs.job import Job, Result, State
from jobs.retention import WHY, Housekeeper, make_room, remove_leftovers
from jobs.service import JobService
from jobs.store import JobStore
from media.files import list_or_empty, stat_or_none
from pipelines.models.cards import ModelCard
from settings import Settings
from tests.jobs.conftest import MakeJob
from tests.jobs.services import S3Server

CLIP_BYTES = 20_000
QUOTA_BYTES = 100_000
ENOUGH_TO_MEET = 600
"""Rounds: with looks that minded, half as many failed in three of four runs."""


@pytest.fixture
def service(
    tmp_path: Path, store: JobStore, light_cards: dict[str, ModelCard]
) -> Iterator[JobService]:
    settings = Settings(data_dir=tmp_path, max_disk_gb=QUOTA_BYTES / 1e9)
    service = JobService(store, executor_for(settings), light_cards, settings)
    yield service
    service.close(0)


def finished(service: JobService, job: Job) -> Job:
    """The clip of that job, written as a worker leaves it, and reported to the lifecycle."""
    service._store.add(job, max_queue=1000, max_per_owner=1000)
    running = service._store.claim()
    assert running
    folder = service._lifecycle.folder(job.id)
    folder.mkdir(parents=True)
    (folder / "clip.mp4").write_bytes(bytes(CLIP_BYTES))
    for name in ("poster.jpg", "last.png"):
        (folder / name).write_bytes(b"-")
    result = Result(
        clip="clip.mp4",
        poster="poster.jpg",
        last_frame="last.png",
        width=64,
        height=64,
        num_frames=9,
        fps=8,
        size_bytes=CLIP_BYTES,
    )
    (folder / "result.json").write_text(result.model_dump_json())
    service._lifecycle.succeed(running, result)
    return job


def used_bytes(service: JobService) -> int:
    folders = list_or_empty(service._artifacts.jobs)
    stats = [
        stat_or_none(path)
        for folder in folders
        for path in list_or_empty(folder)
        if path.name != "gone"
    ]
    return sum(stat.st_size for stat in stats if stat)


def test_ten_times_the_quota_leaves_at_most_the_quota(
    service: JobService, make_job: MakeJob
) -> None:
    made = []
    for _ in range(10 * QUOTA_BYTES // CLIP_BYTES):
        made.append(finished(service, make_job()))
        make_room(service._lifecycle, service.settings)
        assert used_bytes(service) <= QUOTA_BYTES + CLIP_BYTES
        for job in made:  # whatever is handed out is whole
            if service._lifecycle.finished_result(job.id):
                assert service.clip_path(job.id).stat().st_size == CLIP_BYTES
    kept = [job.id for job in made if service._lifecycle.finished_result(job.id)]
    assert kept == [job.id for job in made[-len(kept) :]]
    assert len(kept) == 4
    with pytest.raises(KinoraError, match="made room for newer ones"):
        service.clip_path(made[0].id)
    assert service.get(made[0].id).state is State.SUCCEEDED


def test_old_clips_go_by_age_and_running_ones_stay(service: JobService, make_job: MakeJob) -> None:
    old = finished(service, make_job())
    service._store.add(make_job(), max_queue=1000, max_per_owner=1000)
    running = service._store.claim()
    assert running
    service._lifecycle.folder(running.id).mkdir()
    (service._lifecycle.folder(running.id) / "frames").write_bytes(bytes(10 * QUOTA_BYTES))
    settings = service.settings.model_copy(update={"keep_clips_days": 1e-6})
    time.sleep(0.2)
    assert make_room(service._lifecycle, settings) == 1
    with pytest.raises(KinoraError) as caught:
        service.clip_path(old.id)
    assert caught.value.message == WHY["age"]
    assert (service._lifecycle.folder(running.id) / "frames").is_file()


def test_without_settings_nothing_goes(service: JobService, make_job: MakeJob) -> None:
    made = [finished(service, make_job()) for _ in range(10)]
    settings = service.settings.model_copy(update={"max_disk_gb": None})
    assert make_room(service._lifecycle, settings) == 0
    assert all(service._lifecycle.finished_result(job.id) for job in made)


def test_what_a_killed_server_had_half_written_beside_the_clips_goes(
    service: JobService, tmp_path: Path
) -> None:
    signing = tmp_path / "signing"
    signing.mkdir(exist_ok=True)
    probe, reserve = tmp_path / ".0123456789abcdef.part", tmp_path / "kinora.db.reserve.ab12.part"
    certificate, written_now = signing / "self-made.pem.1-ab.part", tmp_path / "other.part"
    minute_ago = time.time() - 60
    for each in (probe, reserve, certificate, written_now):
        each.touch()
    for each in (reserve, certificate):
        os.utime(each, (minute_ago, minute_ago))
    remove_leftovers(service._lifecycle)
    assert list(tmp_path.rglob("*.part")) == [written_now]


def test_clips_that_others_delete_this_instant_are_no_error(
    service: JobService, make_job: MakeJob
) -> None:
    folder = service._lifecycle.folder(finished(service, make_job()).id)
    is_over = threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "clip.mp4").touch()
            (folder / "clip.mp4.1-1.part").touch()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(ENOUGH_TO_MEET):
            make_room(service._lifecycle, service.settings)
            remove_leftovers(service._lifecycle)
            service._artifacts.size(folder.name, "clip.mp4")
            service._artifacts.strip(folder.name, frozenset({"clip.mp4"}), "window-")
    finally:
        is_over.set()
        other.join()


def test_room_is_made_while_the_server_runs(service: JobService, make_job: MakeJob) -> None:
    keeper = Housekeeper(service._lifecycle, service.settings)
    keeper.start()
    for _ in range(10):
        finished(service, make_job())
    until = time.monotonic() + 30
    while used_bytes(service) > QUOTA_BYTES and time.monotonic() < until:
        time.sleep(0.05)
    keeper.close()
    assert 0 < used_bytes(service) <= QUOTA_BYTES


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def far(
    s3: S3Server,
    tmp_path: Path,
    store: JobStore,
    light_cards: dict[str, ModelCard],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[JobService]:
    """As `service`, with the clips in an object store."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://clips/{tmp_path.name}"
    settings = Settings(data_dir=tmp_path, max_disk_gb=QUOTA_BYTES / 1e9, artifacts_url=url)
    service = JobService(store, executor_for(settings), light_cards, settings)
    yield service
    service.close(0)


def test_the_quota_holds_in_an_object_store(far: JobService, make_job: MakeJob) -> None:
    made, known = [], {}
    for _ in range(10 * QUOTA_BYTES // CLIP_BYTES):
        made.append(finished(far, make_job()))
        shutil.rmtree(far._lifecycle.folder(made[-1].id))  # another machine made it
        make_room(far._lifecycle, far.settings, known)
        assert sum(far._artifacts.stored_bytes().values()) <= QUOTA_BYTES
    kept = [job.id for job in made if far._lifecycle.finished_result(job.id)]
    assert kept == [job.id for job in made[-4:]]
    assert far.clip_path(kept[0]).stat().st_size == CLIP_BYTES
    with pytest.raises(KinoraError) as refused:
        far.clip_path(made[0].id)
    assert refused.value.message == WHY["space"]


def test_a_server_that_begins_counts_what_is_in_the_object_store(
    far: JobService, make_job: MakeJob
) -> None:
    """All at once, and what was to go when the one before it was killed goes now."""
    made = [finished(far, make_job()) for _ in range(30)]
    half_gone = finished(far, make_job())
    make_room(far._lifecycle, far.settings.model_copy(update={"max_disk_gb": 1e-9}))
    assert sum(n > 0 for n in far._artifacts.stored_bytes().values()) == 1
    (far._lifecycle.folder(made[0].id)).mkdir(parents=True)
    (far._lifecycle.folder(made[0].id) / "clip.mp4").write_bytes(b"-")
    far._artifacts.put(made[0].id, far._lifecycle.folder(made[0].id) / "clip.mp4")
    make_room(far._lifecycle, far.settings)
    assert far._artifacts.stored_bytes(made[0].id) == {made[0].id: 0}
    assert far._lifecycle.finished_result(half_gone.id)


def test_copies_of_what_is_in_an_object_store_take_no_more_than_the_quota_either(
    far: JobService, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.retention.SETTLED_S", 0.0)
    made = [finished(far, make_job()) for _ in range(4)]
    half = far.settings.model_copy(update={"max_disk_gb": 2.5 * CLIP_BYTES / 1e9})
    known = dict.fromkeys([job.id for job in made], 1)  # in the store they are small
    make_room(far._lifecycle, half, known)
    assert used_bytes(far) <= 2.5 * CLIP_BYTES
    for job in made:
        assert far.clip_path(job.id).stat().st_size == CLIP_BYTES, "fetched again"


def test_what_visitors_gave_goes_from_the_object_store_too(
    far: JobService, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, unused = make_job(image="a" * 64), make_job(image="b" * 64)
    far._store.add(used, max_queue=1000, max_per_owner=1000)
    far._artifacts.uploads_folder.mkdir(parents=True)
    for job in (used, unused):
        (far._artifacts.uploads_folder / f"{job.request.image}.png").write_bytes(b"a picture")
        far._artifacts.share_uploads(job)
    remove_leftovers(far._lifecycle)
    assert far._artifacts.stored_uploads(0) == {used.request.image, unused.request.image}
    monkeypatch.setattr("jobs.retention.UNUSED_UPLOAD_S", -1.0)
    remove_leftovers(far._lifecycle)
    assert far._artifacts.stored_uploads(-1) == {used.request.image}
