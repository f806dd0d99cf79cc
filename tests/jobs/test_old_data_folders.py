"""A data folder of an earlier version opens: nothing on disk or on the wire has changed its name.

The folders were made by `tests/data_folders/make.py` with the code of those commits.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.site import build
from app import build_service
from jobs.checkpoint import KEPT
from jobs.job import IdempotencyKey, State
from jobs.service import JobService
from jobs.workers.foreground import ForegroundExecutor
from media.videos import find_video
from pipelines.request import GenerationRequest
from settings import ROOT, Settings
from tests.data_folders.make import API_KEY, REQUEST
from web.identity import COOKIE, owner_of
from web.metrics import Metrics

LAST_BEFORE = "b206b0b"
"""The last commit before the layout and the names changed."""
VERSIONS = ("3db3fdf", LAST_BEFORE)


class ServerExecutor(ForegroundExecutor):
    """Makes clips in the calling thread, and takes over the jobs of servers that are gone."""

    in_foreground = False


class Old:
    """A copy of an earlier version's data folder, opened by the present code."""

    def __init__(self, version: str, settings: Settings) -> None:
        archive = ROOT / "tests" / "data_folders" / f"data-folder-{version}.tar.xz"
        folder = settings.data_dir.parent
        with tarfile.open(archive) as packed:
            for member in packed:  # as if it had been used a moment ago
                member.mtime = time.time()
                packed.extract(member, folder, filter="data")
        self.facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())
        self.owner = owner_of(self.facts["visitor"])
        with closing(sqlite3.connect(settings.data_dir / "kinora.db")) as database:
            database.execute("UPDATE keys SET at = ?", (time.time(),))
            database.commit()
        self.settings = settings
        self.executor = ServerExecutor(settings)
        self.service: JobService = build_service(settings, self.executor)
        self.service.start()

    def key_in_database(self) -> IdempotencyKey:
        with closing(sqlite3.connect(self.settings.data_dir / "kinora.db")) as database:
            row = database.execute("SELECT key, fingerprint FROM keys").fetchone()
        return IdempotencyKey(*row)


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tiny_settings: Settings) -> Iterator[Old]:
    opened = Old(request.param, tiny_settings)
    yield opened
    opened.service.close()


def test_the_clips_uploads_and_events_of_an_earlier_version_are_there(old: Old) -> None:
    service, facts = old.service, old.facts
    ended = {facts[name] for name in ("succeeded", "with_picture", "once", "cancelled")}
    listed = {job.id for job in service.list(old.owner)}
    assert listed == ended | {*facts["batch_jobs"], facts["queued"]}
    assert [job.id for job in service.batch(facts["batch"])] == facts["batch_jobs"]

    assert service.get(facts["cancelled"]).state is State.CANCELLED
    job = service.get(facts["succeeded"])
    assert (job.state, job.request.prompt) == (State.SUCCEEDED, "a dog")
    events = service.events(job.id)
    assert [event.n for event in events] == list(range(1, len(events) + 1))
    kinds = [event.kind for event in events]
    assert kinds[0] == "queued" and kinds[-1] == "succeeded" and "step" in kinds
    clip = service.store_finished_clip(job.id, old.owner)  # ffmpeg reads it
    assert (clip.width, clip.height) == (32, 32)
    assert service.poster_path(job.id).read_bytes().startswith(b"\xff\xd8")
    assert service.last_frame_path(job.id).read_bytes().startswith(b"\x89PNG")

    assert service.upload_path(facts["picture"], old.owner).is_file()
    video = service.upload_path(facts["video"], old.owner)
    assert find_video(facts["video"], video.parent).width == 32
    assert service.get(facts["with_picture"]).request.image == facts["picture"]


def test_what_waited_is_made_and_what_failed_is_decoded(old: Old) -> None:
    service, queued, failed = old.service, old.facts["queued"], old.facts["failed"]
    assert service.get(queued).state is State.QUEUED, "taken over from the server that was killed"
    old.executor.run(queued)
    assert service.get(queued).state is State.SUCCEEDED

    error = service.get(failed).error
    assert error and error["details"] == {KEPT: True}
    assert service.can_retry_decode(failed)
    before = len(service.events(failed))
    assert service.retry_decode(failed).state is State.QUEUED
    old.executor.run(failed)
    assert service.get(failed).state is State.SUCCEEDED
    kinds = dict.fromkeys(event.kind for event in service.events(failed)[before:])
    # the model is loaded already
    assert list(kinds) == ["requeued", "started", "decoding", "encoding", "succeeded"]


def test_a_key_that_was_used_finds_its_job(old: Old) -> None:
    request = GenerationRequest.model_validate(REQUEST | {"seed": 4})
    found = old.service.submit(request, old.owner, idempotency_key=old.key_in_database())
    assert found.id == old.facts["once"]


def test_callers_of_an_earlier_version_find_their_clips(tiny_settings: Settings) -> None:
    old = Old(LAST_BEFORE, tiny_settings)
    facts, service = old.facts, old.service
    keyed = tiny_settings.model_validate(
        tiny_settings.model_dump() | {"api_keys": f"tests:{API_KEY}"}
    )
    try:
        cookies = {COOKIE: facts["visitor"]}
        with TestClient(build(service, tiny_settings, Metrics(service)), cookies=cookies) as http:
            once = {"Idempotency-Key": facts["idempotency_key"]}
            again = http.post("/api/generate", json=REQUEST | {"seed": 4}, headers=once)
            assert (again.status_code, again.json()["job_id"]) == (202, facts["once"])
            part = http.get(f"/api/result/{facts['succeeded']}", headers={"Range": "bytes=4-7"})
            assert (part.status_code, part.content) == (206, b"ftyp")
            assert http.get(f"/api/jobs/{facts['failed']}").status_code == 404, "a program's"
        with TestClient(build(service, keyed, Metrics(service))) as http:
            program = {"Authorization": f"Bearer {API_KEY}"}
            listed = http.get("/api/jobs", headers=program).json()["jobs"]
            assert [job["job_id"] for job in listed] == [facts["failed"]]
    finally:
        service.close()
