"""Where clips are kept: the same promises on a disk and in an object store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from errors import ErrorCode, KinoraError
from jobs import checkpoint
from jobs.artifacts import MANIFEST, Artifacts
from jobs.checkpoint import LATENTS
from jobs.estimate import Estimator
from jobs.events import EventLog
from jobs.job import State
from jobs.lifecycle import JobLifecycle
from jobs.store import JobStore
from tests.jobs.conftest import MakeJob, accept
from tests.jobs.services import S3Server
from tests.jobs.test_store import RESULT

JOB = "a" * 32


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.close()


@pytest.fixture(params=["disk", "shared disk", "object store"])
def artifacts(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Artifacts:
    if request.param == "disk":
        return Artifacts(tmp_path / "data")
    if request.param == "shared disk":
        return Artifacts(tmp_path / "data", (tmp_path / "a shared disk").as_uri())
    for name, value in request.getfixturevalue("s3").environment.items():
        monkeypatch.setenv(name, value)
    return Artifacts(tmp_path / "data", f"s3://clips/{tmp_path.name}")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What a worker left in its own folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    for name in (RESULT.clip, RESULT.poster, RESULT.last_frame):
        (folder / name).write_bytes(b"x")
    (folder / MANIFEST).write_text(RESULT.model_dump_json())
    return folder


def test_what_was_published_can_be_read(artifacts: Artifacts, made: Path) -> None:
    assert artifacts.manifest(JOB) is None
    artifacts.publish(JOB, made)
    assert artifacts.manifest(JOB) == (made / MANIFEST).read_bytes()
    assert artifacts.size(JOB, RESULT.clip) == 1
    path = artifacts.fetch(JOB, RESULT.clip)
    assert path and path.read_bytes() == b"x"
    assert artifacts.fetch(JOB, "no.mp4") is None
    assert artifacts.size(JOB, "no.mp4") is None
    assert not list(artifacts.root.rglob("*.part"))


def test_what_was_removed_is_gone_everywhere(artifacts: Artifacts, made: Path) -> None:
    artifacts.publish(JOB, made)
    artifacts.fetch(JOB, RESULT.clip)
    artifacts.remove(JOB)
    artifacts.remove(JOB)
    assert artifacts.manifest(JOB) is None
    assert artifacts.fetch(JOB, RESULT.clip) is None


def test_a_clip_is_finished_only_when_every_file_of_it_is_there(
    artifacts: Artifacts, made: Path, store: JobStore, tmp_path: Path
) -> None:
    lifecycle = JobLifecycle(
        store, EventLog(store), Estimator(store, {}, "here"), tmp_path, artifacts
    )
    assert lifecycle.finished_result(JOB) is None
    artifacts.publish(JOB, made)
    assert lifecycle.finished_result(JOB) == RESULT
    (made / RESULT.poster).unlink()
    artifacts.remove(JOB)
    artifacts.publish(JOB, made)
    assert lifecycle.finished_result(JOB) is None


def test_a_finished_clip_of_a_lost_worker_is_kept(
    artifacts: Artifacts, made: Path, store: JobStore, tmp_path: Path, make_job: MakeJob
) -> None:
    lifecycle = JobLifecycle(
        store, EventLog(store), Estimator(store, {}, "here"), tmp_path, artifacts
    )
    job = accept(store, make_job())
    claimed = store.claim()
    assert claimed
    artifacts.publish(job.id, made)
    lifecycle.worker_lost(claimed)
    found = store.get(job.id)
    assert found and found.state is State.SUCCEEDED


def test_what_was_given_reaches_a_worker_on_another_machine(
    artifacts: Artifacts, s3: S3Server, tmp_path: Path, make_job: MakeJob
) -> None:
    job = make_job()
    name = "b" * 64
    job = job.model_copy(update={"request": job.request.model_copy(update={"image": name})})
    artifacts.uploads_folder.mkdir(parents=True)
    (artifacts.uploads_folder / f"{name}.png").write_bytes(b"a picture")
    artifacts.share_uploads(job)
    if artifacts.address(JOB, "clip.mp4") is None:
        there = artifacts  # a disk: both machines see it
    else:
        there = Artifacts(tmp_path / "elsewhere", f"s3://clips/{tmp_path.name}")
    there.fetch_uploads(job, there.uploads_folder)
    assert (there.uploads_folder / f"{name}.png").read_bytes() == b"a picture"


def test_what_an_earlier_attempt_sampled_is_brought_to_a_worker_and_leaves_nothing_else(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / LATENTS).write_bytes(b"sampled")
    artifacts.put(JOB, tmp_path / "first" / LATENTS)
    there = artifacts
    if artifacts.is_remote:
        there = Artifacts(tmp_path / "elsewhere", f"s3://clips/{tmp_path.name}")
    checkpoint.bring(there, JOB, tmp_path / "second")
    assert (tmp_path / "second" / LATENTS).read_bytes() == b"sampled"
    assert there.size(JOB, LATENTS) == 7, "it stays until the clip is whole"
    assert there.folder(JOB).exists() is not there.is_remote


def test_an_address_of_an_object_store_is_signed_and_names_the_file(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    artifacts = Artifacts(tmp_path / "data", "s3://clips/signed")
    artifacts.publish(JOB, made)
    address = artifacts.address(JOB, RESULT.clip, as_name="a clip.mp4")
    assert address and "X-Amz-Signature" in address and "X-Amz-Expires=3600" in address
    answer = httpx.get(address, trust_env=False)
    assert answer.content == b"x"
    assert answer.headers["content-disposition"] == 'attachment; filename="a clip.mp4"'


def test_a_disk_has_no_address_for_browsers(tmp_path: Path) -> None:
    assert Artifacts(tmp_path).address(JOB, RESULT.clip) is None


def test_a_store_that_does_not_answer_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path
) -> None:
    for name, value in S3Server.nowhere().items():
        monkeypatch.setenv(name, value)
    artifacts = Artifacts(tmp_path / "data", "s3://clips/away")
    with pytest.raises(KinoraError) as refused:
        artifacts.publish(JOB, made)
    assert refused.value.code is ErrorCode.UNAVAILABLE
    assert "127.0.0.1" not in refused.value.message


@pytest.mark.parametrize("url", ["file://shared/clips", "gopher://clips/here"])
def test_an_address_that_cannot_be_used_is_refused_at_once(tmp_path: Path, url: str) -> None:
    with pytest.raises(KinoraError) as refused:
        Artifacts(tmp_path, url)
    assert refused.value.code is ErrorCode.INVALID_INPUT


def test_many_may_read_a_clip_at_once(artifacts: Artifacts, made: Path) -> None:
    (made / "clip.mp4").write_bytes(b"x" * 500_000)
    artifacts.publish(JOB, made)
    sizes: list[int] = []

    def read() -> None:
        path = artifacts.fetch(JOB, "clip.mp4")
        sizes.append(path.stat().st_size if path else 0)

    threads = [threading.Thread(target=read) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [500_000] * 10


def test_shared_files_are_listed_and_removed(artifacts: Artifacts, made: Path) -> None:
    assert artifacts.shared_names("thumbnails") == set()
    for name in ("one.webp", "two.webp"):
        artifacts.store_shared(made / RESULT.poster, name, "thumbnails")
    assert artifacts.shared_names("thumbnails") == {"one.webp", "two.webp"}
    assert artifacts.shared_names("lent") == set()
    artifacts.remove_shared("one.webp", "thumbnails")
    assert artifacts.shared_names("thumbnails") == {"two.webp"}
    assert artifacts.fetch_shared("one.webp", "thumbnails") is None
    kept = artifacts.fetch_shared("two.webp", "thumbnails")
    assert kept is not None
    assert kept.read_bytes() == b"x"
