"""The page's routes for batches, around a service whose worker never starts."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app import executor_for
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from pipelines.models.comparison import parse_settings
from pipelines.request import GenerationRequest
from settings import Settings
from ui.batch_routes import BatchRoutes
from ui.routes import PageRoutes
from web.identity import COOKIE, VisitorCookie, owner_of

ME, STRANGER = "a" * 32, "b" * 32
OURS = {"X-Kinora": "1"}
DOG = GenerationRequest(prompt="a dog", seed=1)


@pytest.fixture
def service(tiny_settings: Settings, tiny_cards: dict[str, ModelCard]) -> Iterator[JobService]:
    store = JobStore(tiny_settings.database_url)
    idle = JobService(store, executor_for(tiny_settings), tiny_cards, tiny_settings)
    yield idle
    idle.close()


@pytest.fixture
def site(service: JobService, tiny_settings: Settings) -> Starlette:
    page = PageRoutes(service, tiny_settings)
    batches = BatchRoutes(service, page.models, page.signatures)
    routes = [*batches.routes(), *page.routes()]
    return Starlette(routes=routes, middleware=[Middleware(VisitorCookie)])


@pytest.fixture
def me(site: Starlette) -> Iterator[TestClient]:
    with TestClient(site, cookies={COOKIE: ME}) as client:
        yield client


@pytest.fixture
def stranger(site: Starlette) -> Iterator[TestClient]:
    with TestClient(site, cookies={COOKIE: STRANGER}) as client:
        yield client


@pytest.fixture
def batch(service: JobService) -> str:
    """Three drafts."""
    plan = service.plans.drafts(DOG, 3, owner_of(ME))
    return service.submit_plan(plan, owner_of(ME))[0].batch or ""


def test_a_visitor_sees_their_own_batches_and_nobody_elses(
    me: TestClient, stranger: TestClient, batch: str
) -> None:
    (listed,) = me.get("/kinora/batches").json()["batches"]
    assert (listed["id"], listed["kind"], listed["task"]) == (batch, "drafts", "t2v")
    shown = me.get(f"/kinora/batches/{batch}").json()
    assert [cell["job"]["state"] for cell in shown["cells"]] == ["queued"] * 3
    assert shown["line"].startswith("0 of 3 drafts ready, about")
    assert stranger.get("/kinora/batches").json()["batches"] == []
    for what in ("", "/live", "/sheet.png", "/grid.mp4", "/clips.zip"):
        assert stranger.get(f"/kinora/batches/{batch}{what}").status_code == 404
    refused = stranger.post(f"/kinora/batches/{batch}/discard", headers=OURS)
    assert refused.status_code == 404
    draft = shown["cells"][0]["job"]["id"]
    assert stranger.get(f"/kinora/jobs/{draft}/full").status_code == 404


def test_a_batch_is_stopped_as_a_whole_and_its_stream_ends(me: TestClient, batch: str) -> None:
    assert me.post(f"/kinora/batches/{batch}/discard", headers=OURS).status_code == 204
    with me.stream("GET", f"/kinora/batches/{batch}/live") as stream:
        text = "".join(stream.iter_text())
    state = json.loads(text.split("data: ")[1].split("\n")[0])
    assert state["ended"]
    assert state["line"] == "0 of 3 drafts ready, 3 discarded"
    assert "event: end" in text


def test_a_batch_is_deleted_as_a_whole_by_its_visitor(
    me: TestClient, stranger: TestClient, batch: str, job: str
) -> None:
    assert stranger.delete(f"/kinora/batches/{batch}", headers=OURS).status_code == 404
    assert me.delete(f"/kinora/batches/{batch}").status_code == 422, "another site's form"
    assert me.delete(f"/kinora/batches/{batch}", headers=OURS).status_code == 204
    assert me.get(f"/kinora/batches/{batch}").status_code == 404
    assert [each["id"] for each in me.get("/kinora/jobs").json()["jobs"]] == [job]


def test_the_list_goes_on_beyond_a_batch_however_long_it_is(
    me: TestClient, service: JobService, job: str
) -> None:
    many = service.submit_batch([DOG] * 30, owner_of(ME))
    page = me.get("/kinora/jobs").json()
    assert {each["batch"] for each in page["jobs"]} == {many[0].batch}
    assert len(page["jobs"]) < len(many)
    rest = me.get(f"/kinora/jobs?before={page['last']}").json()
    assert [each["id"] for each in rest["jobs"]] == [job]
    assert rest["last"] is None


def test_signed_addresses_need_no_cookie(
    me: TestClient, stranger: TestClient, service: JobService, batch: str
) -> None:
    signed = me.get(f"/kinora/batches/{batch}").json()["signed"]
    assert stranger.get(f"/kinora/batches/{batch}/sheet.png?{signed}").is_success
    me.post(f"/kinora/batches/{batch}/discard", headers=OURS)
    other = service.submit_batch([DOG, DOG], owner_of(ME))[0].batch
    assert stranger.get(f"/kinora/batches/{other}/sheet.png?{signed}").status_code == 404
    assert me.get(f"/kinora/batches/{batch}/clips.zip").status_code == 409, "no clip is ready"
    assert me.get(f"/kinora/batches/{batch}/other.png").status_code == 404


def test_a_draft_says_what_its_full_clip_takes(me: TestClient, batch: str, job: str) -> None:
    draft = me.get(f"/kinora/batches/{batch}").json()["cells"][0]["job"]["id"]
    assert me.get(f"/kinora/jobs/{draft}").json()["is_draft"]
    full = me.get(f"/kinora/jobs/{draft}/full").json()
    assert full["line"].startswith("In full: about")
    assert me.get(f"/kinora/jobs/{job}/full").status_code == 409, "it is a full clip"


@pytest.fixture
def job(service: JobService) -> str:
    return service.submit(DOG, owner_of(ME)).id


def test_a_comparison_has_its_axes_and_its_problems(me: TestClient, service: JobService) -> None:
    settings = parse_settings(["guidance_scale=2,4", "prompt=dog=>cat,a dog=>"])
    plan = service.plans.comparison(DOG, settings, owner_of(ME))
    made = service.submit_plan(plan, owner_of(ME))[0].batch
    shown = me.get(f"/kinora/batches/{made}").json()
    assert [axis["label"] for axis in shown["axes"]] == ["Guidance", "Prompt"]
    assert [bool(cell["problem"]) for cell in shown["cells"]] == [False, False, True, True]
    assert shown["cells"][1]["labels"] == ["4", "dog → cat"]


def test_a_compared_style_has_the_name_that_it_was_chosen_by(
    me: TestClient, service: JobService
) -> None:
    plan = service.plans.comparison(DOG, parse_settings("style=,film-noir"), owner_of(ME))
    made = service.submit_plan(plan, owner_of(ME))[0].batch
    shown = me.get(f"/kinora/batches/{made}").json()
    assert shown["axes"] == [{"label": "Style", "values": ["the prompt as it is", "Film noir"]}]
    assert [cell["labels"] for cell in shown["cells"]] == [["the prompt as it is"], ["Film noir"]]


def test_what_can_be_compared_is_what_the_model_has(me: TestClient) -> None:
    found = me.get("/kinora/comparable?task=t2v&model=pocket").json()["settings"]
    by_name = {each["field"]: each for each in found}
    assert {"num_inference_steps", "guidance_scale", "style", "prompt"} <= set(by_name)
    assert by_name["num_inference_steps"]["values"] == [2, 4, 8]
    assert ["film-noir", "Film noir"] in by_name["style"]["choices"]
    assert me.get("/kinora/comparable?task=t2v&model=nobody").is_client_error
    assert me.get("/kinora/comparable?task=x&model=pocket").status_code == 422


def test_the_pictures_of_a_zip_are_stored_and_a_bad_one_is_named(me: TestClient) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(picture, "PNG")
    sent = zipped({"2.png": picture.getvalue(), "10.png": picture.getvalue()})
    stored = me.post("/kinora/zips", content=sent, headers=OURS).json()["pictures"]
    assert [each["name"] for each in stored] == ["2.png", "10.png"]
    assert me.get(f"/kinora/pictures/{stored[0]['id']}").is_success
    refused = me.post("/kinora/zips", content=zipped({"x.png": b"none"}), headers=OURS)
    assert "“x.png”" in refused.json()["shown"]["message"]
    assert me.post("/kinora/zips", content=b"none", headers=OURS).status_code == 422


def zipped(files: dict[str, bytes]) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return kept.getvalue()
