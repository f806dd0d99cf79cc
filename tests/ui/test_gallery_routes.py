"""The page's routes for the gallery, around a service whose worker never starts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app import executor_for
from jobs.job import State
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.test_gallery_service import finished
from ui.gallery_routes import GalleryRoutes
from ui.routes import PageRoutes
from web.identity import COOKIE, VisitorCookie, owner_of

ME, STRANGER = "a" * 32, "b" * 32
OURS = {"X-Kinora": "1"}


@pytest.fixture
def service(tiny_settings: Settings, tiny_cards: dict[str, ModelCard]) -> Iterator[JobService]:
    store = JobStore(tiny_settings.database_url)
    idle = JobService(store, executor_for(tiny_settings), tiny_cards, tiny_settings)
    yield idle
    idle.close()


@pytest.fixture
def site(service: JobService, tiny_settings: Settings) -> Starlette:
    page = PageRoutes(service, tiny_settings)
    gallery = GalleryRoutes(service, page.view, page.signatures)
    return Starlette(
        routes=[*gallery.routes(), *page.routes()], middleware=[Middleware(VisitorCookie)]
    )


@pytest.fixture
def me(site: Starlette) -> Iterator[TestClient]:
    with TestClient(site, cookies={COOKIE: ME}, headers=OURS) as client:
        yield client


@pytest.fixture
def stranger(site: Starlette) -> Iterator[TestClient]:
    with TestClient(site, cookies={COOKIE: STRANGER}, headers=OURS) as client:
        yield client


@pytest.fixture
def clips(service: JobService) -> list[str]:
    """Two finished ones and one that waits, newest first."""
    ids = []
    for n in range(3):
        request = GenerationRequest(prompt=f"a dog {n}", seed=n)
        job = service.submit(request, owner_of(ME))
        if n < 2:
            assert service._lifecycle.cancel_queued(job.id)
            assert service._store.delete(job.id)
            job = finished(service, job.model_copy(update={"state": State.QUEUED}))
        ids.append(job.id)
    return ids[::-1]


def shown(client: TestClient, **query: str | int) -> list[str]:
    answer = client.get("/kinora/gallery", params=query)
    assert answer.status_code == 200, answer.text
    return [clip["id"] for clip in answer.json()["clips"]]


def test_pages_of_tiles(me: TestClient, stranger: TestClient, clips: list[str]) -> None:
    first = me.get("/kinora/gallery?limit=2").json()
    assert [each["id"] for each in first["clips"]] == clips[:2]
    assert (first["total"], first["deleted"]) == (3, None)
    waiting, ready = first["clips"]
    assert waiting["state"] == "queued"
    assert waiting["line"].startswith("Waiting")
    assert (ready["state"], ready["prompt"], ready["duration_s"]) == ("succeeded", "a dog 1", 1.125)
    assert me.get(f"/kinora/jobs/{ready['id']}/clip?{ready['signed']}").status_code == 200
    second = me.get("/kinora/gallery", params={"limit": 2, "cursor": first["next"]}).json()
    assert [each["id"] for each in second["clips"]] == clips[2:]
    assert (second["next"], second["total"]) == (None, None)
    assert shown(me, search='"DOG 1"') == [clips[1]]
    assert shown(me, status="running", starred="") == [clips[0]]
    assert me.get("/kinora/gallery/ids?status=ready").json()["ids"] == clips[1:]
    again = me.get("/kinora/gallery/clips", params={"ids": f"{clips[0]},nonsense"}).json()
    assert [each["id"] for each in again["clips"]] == clips[:1]
    assert shown(stranger) == []
    assert stranger.get(f"/kinora/gallery/clips/{clips[0]}").status_code == 404


@pytest.mark.parametrize(
    "query",
    ["sort=best", "size=big", "task=x", "limit=0", "limit=201", "limit=²", "since=nan", "until=x",
     "starred=perhaps", "status=gone", "cursor=x", "search=%00", "model=%00", "nonsense=1",
     "search=" + "x" * 201],
)  # fmt: skip
def test_a_query_that_means_nothing_is_refused_with_a_sentence(me: TestClient, query: str) -> None:
    refused = me.get(f"/kinora/gallery?{query}")
    assert refused.status_code == 422, refused.text
    assert refused.json()["details"]["field"] == query.partition("=")[0]
    assert refused.json()["shown"]["message"].endswith(".")


def test_one_clip_has_all_its_settings_a_title_a_star_and_a_family(
    me: TestClient, stranger: TestClient, service: JobService, clips: list[str]
) -> None:
    one = clips[1]
    again = service.submit(GenerationRequest(prompt="again"), owner_of(ME), parent=one)
    assert me.patch(f"/kinora/gallery/clips/{one}", json={"title": " My  dog "}).json() == {
        "title": "My dog"
    }
    assert me.post("/kinora/gallery/star", json={"ids": [one], "starred": True}).status_code == 204
    found = me.get(f"/kinora/gallery/clips/{one}").json()
    assert (found["clip"]["title"], found["clip"]["starred"]) == ("My dog", True)
    assert ["Seed", "1"] in found["clip"]["settings"]
    assert [(each["relation"], each["clip"]["id"]) for each in found["family"]] == [
        ("variation", again.id)
    ]
    assert shown(me, starred="true") == [one]
    for refused in (
        stranger.patch(f"/kinora/gallery/clips/{one}", json={"title": "x"}),
        me.patch(f"/kinora/gallery/clips/{one}", json={"title": 3}),
        me.patch(f"/kinora/gallery/clips/{one}", content=b"[1]"),
        me.patch(f"/kinora/gallery/clips/{one}", content=b"[" * 100_000),
        me.post("/kinora/gallery/star", json={"ids": "x"}),
        me.post("/kinora/gallery/star", content=b'{"ids": ["\\ud800"]}'),
        me.post("/kinora/gallery/star", content=b"x" * 1_100_000),
    ):
        assert refused.status_code in (404, 413, 422), refused.text
    assert stranger.post("/kinora/gallery/star", json={"ids": [one], "starred": False}).is_success
    assert shown(me, starred="true") == [one]


def test_deleting_many_can_be_undone_also_after_a_reload(
    me: TestClient, stranger: TestClient, clips: list[str]
) -> None:
    answer = me.post("/kinora/gallery/delete", json={"ids": clips}).json()
    assert set(answer["ids"]) == set(clips[1:])
    assert answer["unfinished"] == clips[:1]
    assert shown(me) == clips[:1]
    assert [job["id"] for job in me.get("/kinora/jobs").json()["jobs"]] == clips[:1]
    reloaded = me.get("/kinora/gallery").json()["deleted"]
    assert set(reloaded["ids"]) == set(clips[1:])
    assert 0 < reloaded["left_s"] <= 10
    assert stranger.post("/kinora/gallery/restore", json={"ids": clips}).status_code == 410
    assert set(me.post("/kinora/gallery/restore", json={"ids": clips}).json()["ids"]) == set(
        clips[1:]
    )
    assert shown(me) == clips


def test_collections_are_made_filled_renamed_and_deleted(
    me: TestClient, stranger: TestClient, clips: list[str]
) -> None:
    made = me.post("/kinora/gallery/collections", json={"name": "Dogs", "ids": clips[:2]}).json()
    assert (made["name"], made["clips"]) == ("Dogs", 2)
    here = f"/kinora/gallery/collections/{made['id']}"
    assert me.post(f"{here}/clips", json={"add": clips[2:], "remove": clips[:1]}).is_success
    assert shown(me, collection=made["id"]) == clips[1:]
    assert me.patch(here, json={"name": "Good dogs"}).is_success
    assert me.post("/kinora/gallery/collections", json={"name": "Good dogs"}).status_code == 409
    about = me.get("/kinora/gallery/about").json()
    assert about["collections"] == [{"id": made["id"], "name": "Good dogs", "clips": 2}]
    assert about["storage"]["clips"] == 2
    assert about["storage"]["bytes"] > 0
    assert about["models"][0][1] == 3
    for refused in (stranger.delete(here), stranger.post(f"{here}/clips", json={"add": []})):
        assert refused.status_code == 404
    assert me.delete(here).is_success
    assert me.get("/kinora/gallery/about").json()["collections"] == []


def test_a_zip_has_an_address_of_its_own_that_needs_no_cookie(
    me: TestClient, stranger: TestClient, clips: list[str], site: Starlette
) -> None:
    path = me.post("/kinora/gallery/zips", json={"ids": clips}).json()["path"]
    with TestClient(site) as anyone:
        answer = anyone.get(f"/kinora{path}")
        assert answer.headers["content-disposition"].startswith("attachment; ")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert len(archive.namelist()) == 3
        assert anyone.get(f"/kinora{path}x").status_code == 404
        assert anyone.get(f"/kinora{path.partition('?')[0]}").status_code == 404
    assert stranger.get(f"/kinora{path.partition('?')[0]}").status_code == 404
    assert me.post("/kinora/gallery/zips", json={"ids": clips[:1]}).status_code == 409
    assert me.get("/kinora/gallery/zips/nonsense").status_code == 404
