"""The page's routes for edits, around a service whose worker never starts."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app import executor_for
from jobs.edit_preview import AT_ONCE, WAIT_S
from jobs.job import Job, State, new_id
from jobs.service import JobService
from jobs.store import JobStore
from media.operations.outputs import OUTPUTS
from media.operations.registry import OPERATIONS
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.finished_clips import add_clip
from tests.media.reading import read
from ui.edit_routes import EditRoutes
from ui.routes import PageRoutes
from web.identity import COOKIE, VisitorCookie, owner_of

ME, STRANGER = "a" * 32, "b" * 32
HERE = "/kinora/operations"


@pytest.fixture
def service(tiny_settings: Settings, tiny_cards: dict[str, ModelCard]) -> Iterator[JobService]:
    store = JobStore(tiny_settings.database_url)
    idle = JobService(store, executor_for(tiny_settings), tiny_cards, tiny_settings)
    yield idle
    idle.close()


@pytest.fixture
def site(service: JobService, tiny_settings: Settings) -> Starlette:
    routes = EditRoutes(service, tiny_settings, PageRoutes(service, tiny_settings).view).routes()
    return Starlette(routes=routes, middleware=[Middleware(VisitorCookie)])


@pytest.fixture
def me(site: Starlette) -> Iterator[TestClient]:
    with TestClient(site, cookies={COOKIE: ME}, headers={"X-Kinora": "1"}) as client:
        yield client


@pytest.fixture
def clip(service: JobService, tiny_cards: dict[str, ModelCard]) -> Job:
    asked = GenerationRequest(prompt="a dog", seed=1)
    fitted = fit(asked, next(iter(tiny_cards.values())), Limits())
    job = Job(id=new_id(), owner=owner_of(ME), state=State.QUEUED, request=asked, fitted=fitted,
              created_at=time.time())  # fmt: skip
    return add_clip(service, job)


def test_everything_that_can_be_done_is_offered(me: TestClient) -> None:
    offer = me.get(HERE).json()
    assert [each["op"] for each in offer["operations"]] == list(OPERATIONS)
    assert [each["format"] for each in offer["formats"]] == list(OUTPUTS)


def test_an_edit_is_estimated_previewed_and_accepted(
    me: TestClient, clip: Job, tmp_path: Path
) -> None:
    edit = {"clips": [clip.id], "operations": [{"op": "trim", "start_s": 0.5, "end_s": 1.5}]}
    found = me.post(f"{HERE}/estimate", json=edit).json()
    assert (found["num_frames"], found["fps"], found["duration_s"]) == (8, 8.0, 1.0)
    assert found["line"].startswith("About ")
    preview = me.post(f"{HERE}/preview", json=edit)
    assert preview.headers["content-type"] == "video/mp4"
    (tmp_path / "preview.mp4").write_bytes(preview.content)
    assert len(read(tmp_path / "preview.mp4").frames) == 8
    job = me.post(HERE, json=edit).json()
    assert job["state"] == "queued"
    assert job["is_edit"]


def test_what_cannot_be_made_is_refused_in_a_sentence(me: TestClient, clip: Job) -> None:
    edit = {"clips": [clip.id], "operations": [{"op": "trim", "start_s": 9}]}
    for door in ("", "/estimate", "/preview"):
        answer = me.post(f"{HERE}{door}", json=edit)
        assert answer.status_code == 422
        assert "nothing is left" in answer.json()["shown"]["message"]


def test_clips_of_others_do_not_exist(site: Starlette, clip: Job) -> None:
    edit = {"clips": [clip.id], "operations": [{"op": "reverse"}]}
    with TestClient(site, cookies={COOKIE: STRANGER}, headers={"X-Kinora": "1"}) as stranger:
        for door in ("", "/estimate", "/preview"):
            assert stranger.post(f"{HERE}{door}", json=edit).status_code == 404
    with TestClient(site, cookies={COOKIE: ME}) as other_page:
        assert other_page.post(HERE, json=edit).status_code == 422


def test_a_file_is_stored_for_an_operation(me: TestClient, clip: Job) -> None:
    table = b"LUT_3D_SIZE 2\n" + b"".join(
        f"{r} {g} {b}\n".encode() for b in (0, 1) for g in (0, 1) for r in (0, 1)
    )
    stored = me.post(f"{HERE}/files", content=table).json()
    assert stored["kind"] == "lut"
    edit = {"clips": [clip.id], "operations": [{"op": "lut", "file": stored["id"]}]}
    assert me.post(f"{HERE}/estimate", json=edit).status_code == 200
    refused = me.post(f"{HERE}/files", content=io.BytesIO(b"nothing of ours"))
    assert refused.status_code == 422
    assert "no kind that an operation reads" in refused.json()["shown"]["message"]


def test_a_preview_that_nobody_waits_for_is_stopped(
    site: Starlette, service: JobService, clip: Job
) -> None:
    """It waits for a place here; once it runs, ffmpeg is stopped as that of any edit."""
    for _ in range(AT_ONCE):
        assert service._edit_previews._places.acquire(blocking=False)
    body = json.dumps({"clips": [clip.id], "operations": [{"op": "reverse"}]}).encode()
    messages = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"cookie", f"{COOKIE}={ME}".encode()), (b"x-kinora", b"1"), (b"host", b"here")]
    scope = {
        "type": "http", "method": "POST", "path": f"{HERE}/preview", "raw_path": b"",
        "query_string": b"", "headers": headers, "scheme": "http", "root_path": "",
        "server": ("here", 80), "client": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip
    began = time.monotonic()
    anyio.run(site, scope, receive, send)
    assert time.monotonic() - began < WAIT_S / 2
    assert json.loads(sent[-1]["body"])["error"] == "cancelled"
