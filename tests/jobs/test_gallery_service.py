"""Deletion with undo in a running service: what is deleted is gone afterwards, nothing before."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from app import executor_for
from errors import ErrorCode, KinoraError
from jobs import gallery
from jobs.clip_removal import ClipRemover
from jobs.gallery_query import GalleryQuery
from jobs.job import Job, Result, State
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from settings import Settings
from tests.jobs.conftest import MakeJob, until

ME = "visitor:me"
BYTES = b"the clip's bytes" * 100_000


@pytest.fixture(autouse=True)
def short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "UNDO_S", 0.3)
    monkeypatch.setattr(gallery, "GRACE_S", 0.2)


class Started:
    """A service without its worker, on one data folder; it can be started again."""

    def __init__(self, settings: Settings, cards: dict[str, ModelCard]) -> None:
        self.settings, self.cards = settings, cards
        self.service = self.build()

    def build(self) -> JobService:
        store = JobStore(self.settings.database_url)
        service = JobService(store, executor_for(self.settings), self.cards, self.settings)
        service._deadlines.start()
        return service

    def restart(self, pause_s: float = 0.0) -> JobService:
        self.service.close(0)
        time.sleep(pause_s)
        self.service = self.build()
        return self.service


@pytest.fixture
def started(tmp_path: Path, light_cards: dict[str, ModelCard]) -> Iterator[Started]:
    started = Started(Settings(data_dir=tmp_path), light_cards)
    yield started
    started.service.close(0)


def finished(service: JobService, job: Job) -> Job:
    """Written as a worker leaves it."""
    service._store.add(job, max_queue=1000, max_per_owner=1000)
    running = service._store.claim([job.id])
    assert running
    folder = service._lifecycle.folder(job.id)
    folder.mkdir(parents=True)
    (folder / "clip.mp4").write_bytes(BYTES)
    for name in ("poster.jpg", "last.png"):
        (folder / name).write_bytes(b"-")
    result = Result(
        clip="clip.mp4", poster="poster.jpg", last_frame="last.png", width=64, height=64,
        num_frames=9, fps=8, size_bytes=len(BYTES),
    )  # fmt: skip
    (folder / "result.json").write_text(result.model_dump_json())
    service._lifecycle.succeed(running, result)
    return job


def is_there(service: JobService, job: Job) -> bool:
    with suppress(KinoraError):
        return service.get(job.id).state is State.SUCCEEDED and service.clip_path(job.id).is_file()
    return False


def listed(service: JobService) -> list[str]:
    strip = [job.id for job in service.list(ME)]
    assert [clip.job.id for clip in service.gallery.page(ME, GalleryQuery()).clips] == strip
    return strip


def test_a_deleted_clip_is_hidden_then_gone_with_its_files(
    started: Started, make_job: MakeJob
) -> None:
    service = started.service
    kept, job = (finished(service, make_job(owner=ME)) for _ in range(2))
    service.gallery.delete(ME, [job.id])
    assert listed(service) == [kept.id]
    assert is_there(service, job), "nothing is lost before its time"
    until(lambda: not service._lifecycle.folder(job.id).exists(), 20)
    with pytest.raises(KinoraError) as refused:
        service.gallery.restore(ME, [job.id])
    assert refused.value.code is ErrorCode.GONE
    assert listed(service) == [kept.id]
    assert is_there(service, kept)


def test_a_restored_clip_stays_for_good(started: Started, make_job: MakeJob) -> None:
    service = started.service
    job = finished(service, make_job(owner=ME))
    service.gallery.delete(ME, [job.id])
    assert service.gallery.restore(ME, [job.id]) == [job.id]
    time.sleep(0.8)
    assert is_there(service, job)
    assert listed(service) == [job.id]


def test_a_restart_neither_forgets_a_deletion_nor_hastens_it(
    started: Started, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, early = (finished(started.service, make_job(owner=ME)) for _ in range(2))
    started.service.gallery.delete(ME, [over.id])
    monkeypatch.setattr(gallery, "UNDO_S", 60.0)
    started.service.gallery.delete(ME, [early.id])
    service = started.restart(pause_s=0.6)
    until(lambda: not service._lifecycle.folder(over.id).exists(), 20)
    assert listed(service) == []
    assert is_there(service, early), "its minute is not over"
    left = service.gallery.deleted(ME)
    assert left is not None
    assert left.deleted == [early.id]
    assert service.gallery.restore(ME, left.deleted) == [early.id]
    assert listed(service) == [early.id]


def test_a_removal_that_failed_is_tried_again(
    started: Started, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.clip_removal.RETRY_S", 0.1)
    service = started.service
    job = finished(service, make_job(owner=ME))
    remove, failures = ClipRemover.remove_due, iter([OSError("away"), OSError("away")])

    def away_at_first(self: ClipRemover, job_id: str, now: float) -> bool:
        for failure in failures:
            raise failure
        return remove(self, job_id, now)

    monkeypatch.setattr(ClipRemover, "remove_due", away_at_first)
    service.gallery.delete(ME, [job.id])
    until(lambda: not service._lifecycle.folder(job.id).exists(), 20)


def test_a_zip_is_read_piece_by_piece_and_leaves_out_what_was_removed(
    started: Started, make_job: MakeJob
) -> None:
    service = started.service
    first, second = (
        finished(service, make_job(owner=ME, prompt=f"a dog {n}", seed=n)) for n in (1, 2)
    )
    waiting = make_job(owner=ME)
    service._store.add(waiting, max_queue=10, max_per_owner=10)
    service.gallery.rename(ME, first.id, "Évening/../walk")
    pieces = service.gallery.zip(ME, [first.id, waiting.id, second.id])
    read = io.BytesIO()
    read.write(next(pieces))
    read.write(next(pieces))  # in the middle of the first
    service.delete(second.id)
    for piece in pieces:
        assert len(piece) < 1_000_000
        read.write(piece)
    with zipfile.ZipFile(read) as archive:
        assert archive.namelist() == ["clips.json", "1-évening-walk-1.mp4"]
        assert archive.read("1-évening-walk-1.mp4") == BYTES
        about = json.loads(archive.read("clips.json"))
    assert [(each["title"], each["used"]["seed"]) for each in about] == [
        ("Évening/../walk", 1), (None, 2),
    ]  # fmt: skip
    for nothing in ([waiting.id], [], ["?"]):
        with pytest.raises(KinoraError) as refused:
            service.gallery.zip(ME, nothing)
        assert refused.value.code is ErrorCode.CONFLICT
    with pytest.raises(KinoraError):
        service.gallery.zip("visitor:other", [first.id])
