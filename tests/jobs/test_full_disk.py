"""A disk that is really full: what is deleted is gone and its room is free, a server starts, and
all goes on as soon as there is room."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from app import executor_for
from errors import ErrorCode, KinoraError
from jobs.artifacts import _storage_errors
from jobs.database import kinora_error
from jobs.disk_reserve import READ_ONLY, Reserve, refuse_if_full
from jobs.job import Job, State
from jobs.retention import make_room, remove_leftovers
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.process import ProcessExecutor
from pipelines.models.cards import ModelCard, load_cards
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.jobs.conftest import MakeJob, until
from tests.jobs.fake_engine_app import FakeEngineApp
from tests.jobs.fake_engine_worker import LEDGER, MODULE
from tests.jobs.test_retention import finished
from tests.small_disks import fill, mounted
from web.identity import load_secret

DISK = ("-t", "tmpfs", "-o", "size=8m", "none")
CLIPS = 4
LARGE_BYTES = 300_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB, for the database, clips, pictures and everything else."""
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", *DISK) as disk:
        yield disk


def open_service(disk: Path, cards: dict[str, ModelCard], **more: Any) -> JobService:
    here = Settings(_env_file=None, data_dir=disk, **more)  # pyright: ignore[reportCallIssue]
    return JobService(JobStore(here.database_url), executor_for(here), cards, here)


@pytest.fixture
def service(disk: Path, light_cards: dict[str, ModelCard]) -> Iterator[JobService]:
    service = open_service(disk, light_cards)
    yield service
    service.close(0)


def large(service: JobService, job: Job) -> Job:
    """A finished clip that is larger than what the database writes to forget it."""
    finished(service, job)
    (service._lifecycle.folder(job.id) / "clip.mp4").write_bytes(os.urandom(LARGE_BYTES))
    return job


def free_bytes(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def code_of(act: Any, *args: Any) -> ErrorCode | None:
    try:
        act(*args)
    except KinoraError as error:
        return error.code
    return None


# -- deleting ------------------------------------------------------------------------------------


def test_what_is_deleted_on_a_full_disk_is_gone_and_its_room_is_free(
    disk: Path, service: JobService, make_job: MakeJob
) -> None:
    jobs = [large(service, make_job()) for _ in range(CLIPS)]
    fill(disk)
    assert code_of(service.submit, GenerationRequest(prompt="a dog"), "visitor") is (
        ErrorCode.OUT_OF_DISK
    )
    for job in jobs:
        before = free_bytes(disk)
        service.delete(job.id)
        assert service._store.get(job.id) is None
        assert not service._lifecycle.folder(job.id).exists()
        assert free_bytes(disk) > before
        fill(disk, "more")  # others take the room at once


def test_a_clip_without_files_is_deleted_with_the_reserve(
    disk: Path, service: JobService, make_job: MakeJob
) -> None:
    job = make_job()
    service._store.add(job, max_queue=10, max_per_owner=10)
    fill(disk)
    service.delete(job.id)
    assert service._store.get(job.id) is None


def test_without_a_reserve_the_files_make_the_room(
    disk: Path, service: JobService, make_job: MakeJob
) -> None:
    jobs = [large(service, make_job()) for _ in range(CLIPS)]
    service._store.database.reserve.release()
    fill(disk)
    for job in jobs:
        service.delete(job.id)
        assert service._store.get(job.id) is None


@hypothesis_settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acts=st.lists(st.sampled_from(["delete", "cancel", "retire", "make"]), max_size=12),
    filled=st.integers(0, 12),
)
def test_whatever_was_done_before_a_full_disk_can_be_emptied(
    acts: list[str],
    filled: int,
    tmp_path: Path,
    light_cards: dict[str, ModelCard],
    make_job: MakeJob,
) -> None:
    (tmp_path / "disk").mkdir(exist_ok=True)
    with mounted(tmp_path / "disk", *DISK) as disk, ExitStack() as stack:
        service = stack.enter_context(closing(open_service(disk, light_cards)))
        made = [large(service, make_job()) for _ in range(CLIPS)]
        for act in [*acts[:filled], "fill", *acts[filled:]]:
            if act == "make":
                with suppress(KinoraError, OSError):
                    made.append(large(service, make_job()))
            elif act == "cancel":
                with suppress(KinoraError):
                    job = make_job()
                    service._store.add(job, max_queue=10, max_per_owner=10)
                    made.append(job)
                    service.cancel(job.id)
            elif act == "delete" and made:
                service.delete(made.pop().id)
            elif act == "retire":
                few = service.settings.model_copy(update={"max_disk_gb": 1e-9})
                make_room(service._lifecycle, few)
            elif act == "fill":
                fill(disk)
        with suppress(KinoraError):
            service._lifecycle.recover_running()  # as a supervisor does
        for job in [*made, *service.list("visitor")] * 2:  # one without files may have to wait
            with suppress(KinoraError):
                service.cancel(job.id)
                service.delete(job.id)
        assert service.list("visitor") == []
        assert [path for path in (disk / "jobs").glob("*/*") if path.is_file()] == []


def test_retention_works_on_a_full_disk(disk: Path, service: JobService, make_job: MakeJob) -> None:
    for _ in range(CLIPS):
        finished(service, make_job())
    fill(disk)
    before = free_bytes(disk)
    one = service.settings.model_copy(update={"max_disk_gb": 25e-6})
    assert make_room(service._lifecycle, one) == CLIPS - 1
    assert free_bytes(disk) > before
    gone = [job.result.gone for job in service.list("visitor") if job.result]
    assert sum(each is not None for each in gone) == CLIPS - 1


def test_the_reserve_comes_back_when_there_is_room(
    disk: Path, service: JobService, make_job: MakeJob
) -> None:
    reserve = disk / "kinora.db.reserve"
    job = finished(service, make_job())
    assert reserve.stat().st_size == 1 << 20
    filling = fill(disk)
    service._store.database.reserve.release()
    filling.unlink()
    service.delete(job.id)
    assert reserve.stat().st_size == 1 << 20


# -- starting ------------------------------------------------------------------------------------


def test_a_server_starts_on_a_full_disk_and_makes_room(
    disk: Path, light_cards: dict[str, ModelCard], make_job: MakeJob
) -> None:
    first = open_service(disk, light_cards)
    for _ in range(CLIPS):
        finished(first, make_job())
    waiting = make_job()
    first._store.add(waiting, max_queue=10, max_per_owner=10)
    first.close(0)
    fill(disk)
    service = open_service(disk, light_cards, max_disk_gb=25e-6)
    service._recover()
    remove_leftovers(service._lifecycle)
    assert make_room(service._lifecycle, service.settings) == CLIPS - 1
    assert service._store.queued_ids() == [waiting.id], "what waited is taken up"
    service.close(0)


def test_a_first_start_on_a_full_disk_says_so(
    disk: Path, light_cards: dict[str, ModelCard]
) -> None:
    fill(disk)
    with pytest.raises(KinoraError) as refused:
        open_service(disk, light_cards)
    assert refused.value.message == "The disk is full. Delete some clips and try again."


def test_a_full_disk_leaves_no_empty_secret(disk: Path) -> None:
    filling = fill(disk)
    assert len(load_secret(disk / "secret")) == 32
    assert not (disk / "secret").exists() or (disk / "secret").stat().st_size == 32
    filling.unlink()
    (disk / "secret").write_bytes(b"")  # as an earlier version left it
    kept = load_secret(disk / "secret")
    assert len(kept) == 32 and load_secret(disk / "secret") == kept


# -- while it runs -------------------------------------------------------------------------------


def test_a_clip_that_does_not_fit_fails_with_the_reason_and_the_next_is_made(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEDGER, str(tmp_path / "ledger"))
    tiny.write_card(tmp_path / "cards", tmp_path / "nowhere")
    cards = load_cards(tmp_path / "cards")
    here = Settings(_env_file=None, data_dir=disk)  # pyright: ignore[reportCallIssue]
    executor = ProcessExecutor(here, MODULE)
    with JobService(JobStore(here.database_url), executor, cards, here) as service:
        until(lambda: service.health()["state"] == "ready")
        request = GenerationRequest(prompt="a dog", num_inference_steps=30)
        job = service.submit(request, "visitor")
        until(lambda: service.get(job.id).state is State.RUNNING)
        filling = fill(disk)
        until(lambda: code_of(service.refuse_if_full) is ErrorCode.OUT_OF_DISK)
        filling.unlink()
        until(lambda: service.get(job.id).state.ended)
        assert service._store.running() == []
        again = service.submit(request, "visitor")
        until(lambda: service.get(again.id).state is State.SUCCEEDED)


def test_given_pictures_and_uploads_are_refused_with_the_reason(
    disk: Path, service: JobService
) -> None:
    from io import BytesIO

    from PIL import Image

    picture = BytesIO()
    Image.effect_noise((256, 256), 90).convert("RGB").save(picture, "png")
    filling = fill(disk)
    assert code_of(service.store_picture, picture.getvalue(), "visitor") is ErrorCode.OUT_OF_DISK
    assert list((disk / "pictures").glob("*")) == []
    filling.unlink()
    assert service.store_picture(picture.getvalue(), "visitor").width == 256


@pytest.mark.slow
def test_a_server_on_a_full_disk_says_so_at_every_door(tmp_path: Path) -> None:
    me = {"Authorization": "Bearer a-secret-of-more-than-20-letters"}
    (tmp_path / "data").mkdir()
    with mounted(tmp_path / "data", *DISK) as disk:
        server = FakeEngineApp(tmp_path)
        client = httpx.Client(base_url=server.url, headers=me, timeout=60, trust_env=False)
        try:
            body = {"prompt": "a dog", "num_inference_steps": 2}
            job_id = client.post("/api/generate", json=body).json()["job_id"]
            until(lambda: client.get(f"/api/status/{job_id}").json()["status"] == "succeeded")
            assert client.get("/ready").status_code == 200
            filling = fill(disk)
            ready = client.get("/ready")
            assert (ready.status_code, ready.json()["details"]["reason"]) == (503, "out_of_disk")
            assert ready.json()["message"].startswith("The disk is full.")
            refused = client.post("/api/generate", json=body)
            assert (refused.status_code, refused.json()["error"]) == (507, "out_of_disk")
            assert client.get(f"/api/status/{job_id}").is_success, "what is there can be seen"
            assert client.delete(f"/api/jobs/{job_id}").status_code == 204
            assert client.get(f"/api/status/{job_id}").status_code == 404
            filling.unlink()
            assert client.get("/ready").status_code == 200
        finally:
            client.close()
            server.stop()


# -- other ways to be full -----------------------------------------------------------------------


def test_a_disk_without_file_numbers_is_full(
    tmp_path: Path, light_cards: dict[str, ModelCard], make_job: MakeJob
) -> None:
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=8m,nr_inodes=60", "none") as disk:
        service = open_service(disk, light_cards)
        job = finished(service, make_job())
        with suppress(OSError):
            for number in range(100):
                (disk / f"file{number}").touch()
        assert code_of(service.refuse_if_full) is ErrorCode.OUT_OF_DISK
        service.delete(job.id)
        assert service._store.get(job.id) is None
        assert code_of(service.refuse_if_full) is None, "its files were some"
        service.close(0)


def test_a_disk_that_is_read_only_is_said_to_be(
    tmp_path: Path, light_cards: dict[str, ModelCard]
) -> None:
    (tmp_path / "disk").mkdir()
    open_service(tmp_path / "disk", light_cards).close(0)
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "none") as disk:
        for act in (lambda: open_service(disk, light_cards), lambda: refuse_if_full(disk)):
            with pytest.raises(KinoraError) as refused:
                act()
            assert (refused.value.code, refused.value.message) == (
                ErrorCode.UNAVAILABLE,
                READ_ONLY,
            )


def test_a_quota_that_is_used_up_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(Path, "open", refuse)
    assert code_of(refuse_if_full, tmp_path) is ErrorCode.OUT_OF_DISK


class Complaint(Exception):
    """As psycopg raises it."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate
        super().__init__("could not extend file")


@pytest.mark.parametrize(
    ("sqlstate", "code"),
    [
        ("53100", ErrorCode.OUT_OF_DISK),
        ("53200", ErrorCode.UNAVAILABLE),
        ("25006", ErrorCode.UNAVAILABLE),
    ],
)
def test_postgresql_without_room_is_a_full_disk_and_without_memory_is_not(
    sqlstate: str, code: ErrorCode
) -> None:
    error = kinora_error(OperationalError("", {}, Complaint(sqlstate)))
    assert isinstance(error, KinoraError) and error.code is code


@pytest.mark.parametrize(
    ("code", "status", "is_full"),
    [
        ("XMinioStorageFull", 507, True),
        ("QuotaExceeded", 403, True),
        ("Unheard", 507, True),
        ("AccessDenied", 403, False),
        ("InternalError", 500, False),
    ],
)
def test_an_object_store_without_room_is_said_to_be_full(
    code: str, status: int, is_full: bool
) -> None:
    """The answer of the store as botocore and s3fs hand it on."""
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(KinoraError) as refused, _storage_errors():
        raise translate_boto_error(ClientError(answer, "PutObject"))
    assert (refused.value.code is ErrorCode.OUT_OF_DISK) == is_full
    assert ("is full" in refused.value.message) == is_full


def test_a_reserve_is_used_once_and_other_errors_are_left_alone(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve")
    reserve.refill()
    calls: list[ErrorCode] = []

    def fail(code: ErrorCode) -> None:
        calls.append(code)
        raise KinoraError(code)

    assert code_of(reserve.use_for, lambda: fail(ErrorCode.CONFLICT)) is ErrorCode.CONFLICT
    assert (tmp_path / "reserve").exists() and len(calls) == 1
    assert code_of(reserve.use_for, lambda: fail(ErrorCode.OUT_OF_DISK)) is ErrorCode.OUT_OF_DISK
    assert not (tmp_path / "reserve").exists() and len(calls) == 4
