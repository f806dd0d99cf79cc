"""Our routes, around a service whose worker never starts: jobs wait and can be looked at."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator

import imageio_ffmpeg
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app import executor_for
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from pipelines.request import GenerationRequest
from settings import Settings
from ui.routes import PageRoutes
from web.identity import COOKIE, HEADER, VisitorCookie, owner_of

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
    routes = PageRoutes(service, tiny_settings).routes()
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
def job_id(service: JobService) -> str:
    return service.submit(GenerationRequest(prompt="a dog", seed=1), owner_of(ME)).id


def test_a_visitor_sees_their_own_clips_and_nobody_elses(
    me: TestClient, stranger: TestClient, job_id: str
) -> None:
    (job,) = me.get("/kinora/jobs").json()["jobs"]
    assert job["id"] == job_id
    assert job["line"].startswith("Waiting")
    assert stranger.get("/kinora/jobs").json()["jobs"] == []
    assert me.get(f"/kinora/jobs/{job_id}").status_code == 200
    assert stranger.get(f"/kinora/jobs/{job_id}").status_code == 404


def test_a_waiting_clip_can_be_discarded_and_is_gone(me: TestClient, job_id: str) -> None:
    assert me.post(f"/kinora/jobs/{job_id}/discard", headers=OURS).status_code == 204
    assert me.get("/kinora/jobs").json()["jobs"] == []
    with me.stream("GET", f"/kinora/jobs/{job_id}/live") as stream:
        text = "".join(stream.iter_text())
    first = json.loads(text.split("data: ")[1].split("\n")[0])
    assert first["state"] == "cancelled"
    assert "event: end" in text


def test_finish_now_before_the_start_is_a_kind_refusal(me: TestClient, job_id: str) -> None:
    answer = me.post(f"/kinora/jobs/{job_id}/finish", headers=OURS)
    assert answer.status_code == 409
    assert "nothing to keep yet" in answer.json()["shown"]["message"]


def test_files_that_are_not_there_yet_are_not_found(me: TestClient, job_id: str) -> None:
    for what in ("clip", "poster", "last", "preview", "result.json", "..%2F..%2Fkinora.db"):
        assert me.get(f"/kinora/jobs/{job_id}/{what}").status_code == 404


def test_other_sites_cannot_ask_in_a_visitors_name(me: TestClient, job_id: str) -> None:
    foreign = {"Origin": "https://evil.test"}
    assert me.get("/kinora/jobs", headers=foreign).status_code == 404
    assert me.post(f"/kinora/jobs/{job_id}/discard", headers=OURS | foreign).status_code == 404
    assert me.post(f"/kinora/jobs/{job_id}/discard").status_code == 422, "a plain form cannot"
    assert me.get(f"/kinora/jobs/{job_id}").json()["state"] == "queued"


def test_a_picture_goes_in_and_comes_back_clean_to_its_giver_alone(
    me: TestClient, stranger: TestClient
) -> None:
    raw = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(raw, "JPEG", comment=b"where I live")
    stored = me.post("/kinora/pictures", content=raw.getvalue(), headers=OURS).json()
    assert (stored["width"], stored["height"]) == (60, 40)
    back = me.get(f"/kinora/pictures/{stored['id']}")
    assert back.headers["content-type"] == "image/png"
    assert back.headers["x-content-type-options"] == "nosniff"
    assert b"where I live" not in back.content
    again = me.get(
        f"/kinora/pictures/{stored['id']}", headers={"If-None-Match": back.headers["etag"]}
    )
    assert again.status_code == 304
    beyond = me.get(f"/kinora/pictures/{stored['id']}", headers={"Range": "bytes=9999999-"})
    assert beyond.status_code == 416, "as the API answers"
    assert stranger.get(f"/kinora/pictures/{stored['id']}").status_code == 404
    assert stranger.post("/kinora/pictures", content=raw.getvalue(), headers=OURS).is_success
    assert stranger.get(f"/kinora/pictures/{stored['id']}").is_success, "now it is theirs too"


@pytest.mark.parametrize("name", ["x", "..%2Fkinora.db", "g" * 64, "a" * 63, "a" * 64])
def test_a_picture_that_is_none_is_not_found(me: TestClient, name: str) -> None:
    assert me.get(f"/kinora/pictures/{name}").status_code == 404


def test_what_is_no_picture_or_too_much_is_refused(
    site: Starlette, service: JobService, me: TestClient, tiny_settings: Settings
) -> None:
    refused = me.post("/kinora/pictures", content=b"<svg onload=alert(1)>", headers=OURS)
    assert refused.status_code == 422
    assert refused.json()["error"] == "invalid_image"
    small = tiny_settings.model_copy(update={"max_image_mb": 0.001})
    with TestClient(
        Starlette(
            routes=PageRoutes(service, small).routes(), middleware=[Middleware(VisitorCookie)]
        )
    ) as strict:

        def trickle() -> Iterator[bytes]:  # no Content-Length to go by
            yield from [b"x" * 400] * 4

        assert strict.post("/kinora/pictures", content=trickle(), headers=OURS).status_code == 413
        assert strict.post("/kinora/pictures", content=b"x" * 1600, headers=OURS).status_code == 413


def test_a_deleted_clip_is_gone(me: TestClient, stranger: TestClient, job_id: str) -> None:
    assert stranger.delete(f"/kinora/jobs/{job_id}", headers=OURS).status_code == 404
    assert me.delete(f"/kinora/jobs/{job_id}", headers=OURS).status_code == 204
    assert me.get(f"/kinora/jobs/{job_id}").status_code == 404


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "card.mp4"
    card = "testsrc=size=96x64:rate=8:duration=1"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "lavfi", "-i"]
    subprocess.run([*command, card, "-pix_fmt", "yuv420p", path], check=True)
    return path.read_bytes()


def test_a_clip_to_work_over_goes_in_and_plays_for_its_giver_alone(
    me: TestClient, stranger: TestClient, clip: bytes
) -> None:
    stored = me.post("/kinora/videos", content=clip, headers=OURS).json()
    assert (stored["width"], stored["height"], stored["seconds"]) == (96, 64, 1.0)
    back = me.get(f"/kinora/pictures/{stored['id']}", headers={"Range": "bytes=4-7"})
    assert (back.status_code, back.content) == (206, b"ftyp")
    assert back.headers["content-type"] == "video/mp4"
    assert stranger.get(f"/kinora/pictures/{stored['id']}").status_code == 404


def test_what_is_no_clip_or_too_much_of_one_is_refused(
    me: TestClient, service: JobService, tiny_settings: Settings, clip: bytes
) -> None:
    refused = me.post("/kinora/videos", content=b"#EXTM3U\nhttp://127.0.0.1/", headers=OURS)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_video")
    assert me.post("/kinora/videos", content=clip).status_code == 422, "a plain form cannot"
    small = tiny_settings.model_copy(update={"max_video_upload_mb": 0.001})
    pages = PageRoutes(service, small).routes()
    with TestClient(Starlette(routes=pages, middleware=[Middleware(VisitorCookie)])) as strict:

        def trickle() -> Iterator[bytes]:
            yield from [b"x" * 400] * 4

        assert strict.post("/kinora/videos", content=trickle(), headers=OURS).status_code == 413
        assert strict.post("/kinora/videos", content=clip, headers=OURS).status_code == 413
    assert not list(service._artifacts.uploads_folder.glob("*.mp4"))


def test_the_picker_asks_for_the_models_of_its_tab(me: TestClient) -> None:
    offer = me.get("/kinora/models?task=i2v").json()
    (model,) = offer["models"]
    assert (model["id"], model["level"], model["download_gb"]) == ("pocket", "runs", None)
    assert offer["any"] is True
    assert me.get("/kinora/models?task=v2v").json()["models"] == []
    assert me.get("/kinora/models?task=x").status_code == 422


# -- where the browser keeps no cookie -----------------------------------------------------------


def test_a_page_is_told_whether_the_cookie_came_and_else_who_it_is(site: Starlette) -> None:
    with TestClient(site) as page:
        first = page.get("/kinora/visitor").json()
        assert not first["kept"]
        assert page.get("/kinora/visitor").json()["kept"], "asked again, it shows the cookie"
        page.cookies.clear()  # what a browser that blocks cookies does with it
        again = page.get("/kinora/visitor", headers={HEADER: first["visitor"]}).json()
        assert again == first, "a reload that remembers the name stays the same visitor"
    with TestClient(site, cookies={COOKIE: ME}) as page:
        assert page.get("/kinora/visitor").json() == {"kept": True, "visitor": None}, (
            "a name in a cookie is out of scripts' reach"
        )


def test_the_name_in_the_header_opens_what_the_cookie_opens(site: Starlette, job_id: str) -> None:
    name = {HEADER: ME}
    with TestClient(site) as page:
        assert [job["id"] for job in page.get("/kinora/jobs", headers=name).json()["jobs"]] == [
            job_id
        ]
        page.cookies.clear()
        foreign = name | {"Origin": "https://evil.test"}
        assert page.get("/kinora/jobs", headers=foreign).status_code == 404
        assert page.post(f"/kinora/jobs/{job_id}/discard", headers=name | OURS).is_success


def test_a_signed_address_opens_the_clips_files_to_anyone_and_nothing_else(
    me: TestClient, stranger: TestClient, job_id: str
) -> None:
    signed = me.get(f"/kinora/jobs/{job_id}").json()["signed"]
    (listed,) = me.get("/kinora/jobs").json()["jobs"]
    assert listed["signed"] == signed, "one address for some hours, so that files stay cached"
    live = f"/kinora/jobs/{job_id}/live"
    assert me.post(f"/kinora/jobs/{job_id}/discard", headers=OURS).is_success  # ends the stream
    elsewhere = {"Sec-Fetch-Site": "cross-site"}  # a link that was followed from another page
    assert "cancelled" in stranger.get(f"{live}?{signed}", headers=elsewhere).text
    assert stranger.get(live).status_code == 404
    for more in ("", "/discard", "/finish", "/redo-part"):
        path = f"/kinora/jobs/{job_id}{more}?{signed}"
        assert stranger.post(path, headers=OURS).status_code in (404, 405)
    assert stranger.get(f"/kinora/jobs/{job_id}?{signed}").status_code == 404
    assert stranger.delete(f"/kinora/jobs/{job_id}?{signed}", headers=OURS).status_code == 404
    assert stranger.get(f"/kinora/jobs?{signed}").json()["jobs"] == []


def test_a_signature_is_good_for_its_own_clip_only(
    me: TestClient, stranger: TestClient, service: JobService, job_id: str
) -> None:
    other = service.submit(GenerationRequest(prompt="a cat", seed=1), owner_of(ME)).id
    signed = me.get(f"/kinora/jobs/{other}").json()["signed"]
    assert stranger.get(f"/kinora/jobs/{job_id}/live?{signed}").status_code == 404
    assert stranger.get(f"/kinora/jobs/{'0' * 32}/live?{signed}").status_code == 404
