"""The files of a whole batch: contact sheet, grid video and zip. Clips are flat colours that are
encoded here, so no model is needed."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from errors import ErrorCode, KinoraError
from jobs.batch_files import BatchFiles, prune
from jobs.job import Gone, Result
from jobs.service import JobService
from media.encode import encode
from media.stills import write_last_frame, write_poster
from tests.api.test_explore import DOG, client_of, refused, service, site  # noqa: F401  # fixtures
from tests.media.provenance.test_signing_files import validated
from tests.media.reading import read
from web.guard import Guard


@pytest.fixture
def here(service: JobService) -> JobService:  # noqa: F811
    return service


@pytest.fixture
def me(site: Guard) -> TestClient:  # noqa: F811
    return client_of(site)


def finish(here: JobService, job_id: str, colour: int) -> None:
    """As a worker would, with a clip of one colour."""
    lifecycle = here._lifecycle
    job = lifecycle.claim({job_id})
    assert job is not None
    folder = lifecycle.folder(job_id)
    fitted = job.fitted
    frames = np.full((fitted.num_frames, fitted.height, fitted.width, 3), colour, np.uint8)
    clip = encode(frames, folder / "clip.mp4", fps=fitted.fps)
    write_poster(frames, folder / "poster.jpg")
    write_last_frame(frames, folder / "last.png")
    result = Result(
        clip="clip.mp4", poster="poster.jpg", last_frame="last.png", width=clip.width,
        height=clip.height, num_frames=clip.num_frames, fps=clip.fps, size_bytes=clip.size_bytes,
    )  # fmt: skip
    (folder / "result.json").write_text(result.model_dump_json())
    lifecycle.succeed(job, result)


@pytest.fixture
def comparison(me: TestClient, here: JobService) -> Any:
    """Two by two: one clip is finished, one discarded, one waits, one cannot be made."""
    body = DOG | {"compare": ["steps=2,3", "model=pocket,distilled"], "width": 64}
    batch = me.post("/api/comparisons", json=body | {"num_frames": 9}).json()
    finish(here, batch["cells"][0]["job_id"], 200)
    here.cancel(batch["cells"][1]["job_id"])
    return batch


def sheet_of(me: TestClient, batch: Any) -> np.ndarray:
    answer = me.get(batch["urls"]["sheet"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_a_sheet_shows_what_is_there_and_changes_with_it(
    me: TestClient, here: JobService, comparison: Any
) -> None:
    before = sheet_of(me, comparison)
    assert (before == 200).all(axis=2).sum() > 10_000, "the finished clip"
    finish(here, comparison["cells"][2]["job_id"], 90)
    after = sheet_of(me, comparison)
    assert before.shape == after.shape
    assert (after == 90).all(axis=2).sum() > 10_000 > (before == 90).all(axis=2).sum()
    (kept,) = cached(here, comparison).iterdir()
    assert kept.suffix == ".png", "of one state only"
    assert validated(kept)["validation_state"] == "Valid"


def cached(here: JobService, batch: Any) -> Path:
    return here.settings.data_dir / "batches" / str(batch["batch_id"])


def test_a_grid_plays_them_in_one_video(me: TestClient, comparison: Any, tmp_path: Path) -> None:
    url = comparison["urls"]["grid"]
    answer = me.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    part = me.get(url, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    unchanged = me.get(url, headers={"If-None-Match": answer.headers["etag"]})
    assert unchanged.status_code == 304
    path = tmp_path / "grid.mp4"
    path.write_bytes(answer.content)
    assert validated(path)["validation_state"] == "Valid"
    seen = read(path)
    assert (len(seen.frames), seen.rate, seen.codec) == (9, 8, "h264")
    assert json.loads(seen.tags["comment"])["batch"] == comparison["batch_id"]


def test_a_zip_has_every_clip_and_what_made_it(
    me: TestClient, here: JobService, comparison: Any
) -> None:
    answer = me.get(comparison["urls"]["clips"])
    assert answer.headers["content-type"] == "application/zip"
    assert ".zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        about = json.loads(archive.read("batch.json"))
        first = about["clips"][0]
        assert names == ["batch.json", "01-a-dog-in-the-snow-5.mp4"]
        assert first["file"] == names[1]
        assert archive.read(names[1]) == here.clip_path(first["job_id"]).read_bytes()
    assert [clip["state"] for clip in about["clips"]] == ["succeeded", "cancelled", "queued",
                                                          "queued"]  # fmt: skip
    assert first["used"]["num_inference_steps"] == 2 and first["request"]["seed"] == 5
    assert [axis["field"] for axis in about["axes"]] == ["num_inference_steps", "model"]


def test_a_closed_connection_loses_nothing(
    me: TestClient,
    here: JobService,
    comparison: Any,
) -> None:
    pieces = here.batch_files.zip(here.find_batch(comparison["batch_id"]))
    assert next(pieces)[:2] == b"PK"
    pieces.close()  # type: ignore[attr-defined]
    me.close()
    later = TestClient(me.app, headers={"Authorization": me.headers["authorization"]})
    (listed,) = later.get("/api/batches").json()["batches"]
    assert listed["batch_id"] == comparison["batch_id"]
    assert listed["counts"] == {"succeeded": 1, "cancelled": 1, "queued": 2}
    with zipfile.ZipFile(io.BytesIO(later.get(listed["urls"]["clips"]).content)) as archive:
        assert archive.testzip() is None


def test_before_any_clip_is_finished_there_is_a_sheet_only(me: TestClient) -> None:
    batch = me.post("/api/drafts", json=DOG | {"drafts": 2}).json()
    assert sheet_of(me, batch).shape[2] == 3
    for name in ("grid", "clips"):
        sentence = refused(me.get(batch["urls"][name]), 409, "conflict")
        assert sentence == "No clip of this batch is finished yet."


def test_another_callers_files_are_404(site: Guard, comparison: Any) -> None:  # noqa: F811
    other = client_of(site)
    for name in ("sheet", "grid", "clips"):
        refused(other.get(comparison["urls"][name]), 404, "not_found")


def test_a_deleted_clip_is_in_no_file_any_more(
    me: TestClient, here: JobService, comparison: Any
) -> None:
    sheet_of(me, comparison)
    assert cached(here, comparison).is_dir()
    me.delete(f"/api/jobs/{comparison['cells'][0]['job_id']}")
    assert not cached(here, comparison).exists()
    assert (sheet_of(me, comparison) == 200).all(axis=2).sum() < 1000


def test_a_clip_that_was_removed_by_age_leaves_the_sheet(
    me: TestClient, here: JobService, comparison: Any
) -> None:
    sheet_of(me, comparison)
    job_id = comparison["cells"][0]["job_id"]
    here._store.mark_gone(job_id, Gone(why="age", at=1.0))
    assert (sheet_of(me, comparison) == 200).all(axis=2).sum() < 1000


def test_a_sheet_is_made_once_for_many_that_want_it(here: JobService, comparison: Any) -> None:
    found = here.find_batch(str(comparison["batch_id"]))
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(here.batch_files.sheet(found)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1 and len(paths) == 4
    assert len(list(cached(here, comparison).iterdir())) == 1


def test_too_many_at_once_are_refused(here: JobService, comparison: Any) -> None:
    files = BatchFiles(here._artifacts, here.settings)
    while files._waiting.acquire(blocking=False):
        pass
    with pytest.raises(KinoraError) as refusal:
        files.sheet(here.find_batch(str(comparison["batch_id"])))
    assert refusal.value.code is ErrorCode.UNAVAILABLE


def test_cached_files_are_limited_and_those_of_no_batch_removed(
    me: TestClient, here: JobService, comparison: Any
) -> None:
    sheet_of(me, comparison)
    folder = cached(here, comparison)
    unknown = folder.with_name("f" * 32)
    unknown.mkdir()
    prune(here._store, here._artifacts, here.settings)
    assert len(list(folder.iterdir())) == 1 and not unknown.exists()
    small = here.settings.model_copy(update={"max_disk_gb": 1e-9})
    prune(here._store, here._artifacts, small)
    assert list(folder.iterdir()) == []
    assert sheet_of(me, comparison).any(), "made again"
