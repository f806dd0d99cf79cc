"""Who is who, how much they may ask, who may ask from another site: the doors without a worker.

The service is real; its worker never starts, so jobs wait and can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from api.site import build, is_ours
from app import executor_for
from errors import KinoraError
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from settings import Settings
from tests.api.conftest import is_error
from web.guard import Guard
from web.identity import COOKIE, Callers, VisitorCookie
from web.limits import ClipLimits
from web.metrics import Metrics

KEYS = {"ci": SecretStr("ci-key-0123456789"), "lab": SecretStr("lab-key-0123456789")}
CAT = {"prompt": "a cat"}
Site = Callable[..., Guard]


@pytest.fixture
def site(tiny_settings: Settings, tiny_cards: dict[str, ModelCard]) -> Iterator[Site]:
    """The doors in front of a stand-in for the page, with changed settings."""
    services: list[JobService] = []

    def site(**changes: Any) -> Guard:
        settings = tiny_settings.model_copy(update={"max_jobs_per_visitor": 100} | changes)
        store = JobStore(settings.database_url)
        service = JobService(store, executor_for(settings), tiny_cards, settings)
        services.append(service)
        metrics = Metrics(service)
        page = Starlette(
            routes=[Route("/{path:path}", lambda _: PlainTextResponse("the page"))],
            middleware=[Middleware(VisitorCookie)],
        )
        return Guard(page, build(service, settings, metrics), is_ours, settings, metrics)

    yield site
    for service in services:
        service.close()


def caller(
    site: Guard, secret: str | None = None, address: str = "198.51.100.7", **options: Any
) -> TestClient:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return TestClient(site, headers=headers, client=(address, 5), **options)


def ask(client: TestClient, **headers: str) -> str:
    answer = client.post("/api/generate", json=CAT, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


# -- names ---------------------------------------------------------------------------------------


def test_keys_when_set_are_wanted_and_each_has_its_own_clips(site: Site) -> None:
    doors = site(api_keys=KEYS)
    ci, lab = caller(doors, "ci-key-0123456789"), caller(doors, "lab-key-0123456789")
    job_id = ask(ci)
    assert ci.get(f"/api/jobs/{job_id}").status_code == 200
    is_error(lab.get(f"/api/jobs/{job_id}"), 404, "not_found")
    for stranger in (caller(doors), caller(doors, "ci-key-0123456788"), caller(doors, "x" * 40)):
        refused = stranger.post("/api/generate", json=CAT)
        is_error(refused, 401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
        is_error(stranger.get(f"/api/jobs/{job_id}"), 401, "unauthorized")
    assert caller(doors).get("/health").status_code == 200, "a load balancer has no key"
    also = TestClient(doors, headers={"X-Api-Key": "ci-key-0123456789"})
    assert also.get("/api/jobs").json()["jobs"][0]["job_id"] == job_id


def test_the_visitor_of_the_page_is_the_same_here(site: Site) -> None:
    doors = site()
    visitor = caller(doors, cookies={COOKIE: "a" * 32})
    job_id = ask(visitor)
    assert [job["job_id"] for job in visitor.get("/api/jobs").json()["jobs"]] == [job_id]
    is_error(caller(doors, cookies={COOKIE: "b" * 32}).get(f"/api/jobs/{job_id}"), 404, "not_found")
    is_error(caller(doors).get(f"/api/jobs/{job_id}"), 404, "not_found")


def test_a_secret_too_short_to_be_one_is_no_name(site: Site) -> None:
    doors = site()
    job_id = ask(caller(doors, "test"))
    is_error(caller(doors, "test").get("/api/jobs"), 401, "unauthorized")
    assert caller(doors, address="203.0.113.9").get(f"/api/jobs/{job_id}").status_code == 200


def test_neither_addresses_nor_secrets_are_kept_as_they_are(site: Site) -> None:
    doors = site()
    ask(caller(doors, "a-secret-to-be-remembered"))
    ask(caller(doors))
    data = doors.settings.data_dir
    kept = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert b"a-secret-to-be-remembered" not in kept
    assert b"198.51.100.7" not in kept


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "same_as"),
    [
        ("198.51.100.7", "203.0.113.1", "198.51.100.7"),  # nobody we trust says so
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.1", "203.0.113.1"),  # the left part is the caller's own
        ("10.0.0.1", "1.1.1.1, 203.0.113.1, 10.0.0.2", "203.0.113.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
    ],
)
def test_forwarded_addresses_are_believed_only_behind_a_trusted_proxy(
    tiny_settings: Settings, peer: str, forwarded: str, same_as: str
) -> None:
    trusting = tiny_settings.model_copy(update={"trusted_proxies": ("10.0.0.0/8",)})
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"type": "http", "client": (peer, 5), "headers": headers}
    assert Callers(trusting).address(scope) == same_as
    assert Callers(tiny_settings).address(scope) == peer


def test_a_proxy_that_is_no_address_is_said_at_the_start(tiny_settings: Settings) -> None:
    wrong = tiny_settings.model_copy(update={"trusted_proxies": ("my-proxy",)})
    with pytest.raises(KinoraError, match="my-proxy is no address"):
        Callers(wrong)


# -- limits --------------------------------------------------------------------------------------


def test_who_goes_too_fast_is_told_how_long_to_wait(site: Site) -> None:
    doors = site(clips_per_minute=3)
    client = caller(doors)
    left = [client.post("/api/generate", json=CAT).headers["ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    for path in ("/api/generate", "/v1/videos", "/api/video/text-to-video"):
        answer = client.post(path, json=CAT)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "3 clips in a minute" in answer.json()["message"]
    assert client.get("/health").status_code == 200
    ask(caller(doors, address="203.0.113.50"))
    fresh_cookie = caller(doors, cookies={COOKIE: "c" * 32})
    assert fresh_cookie.post("/api/generate", json=CAT).status_code == 429, "cookies are cheap"


def test_a_window_slides_and_a_batch_counts_every_clip() -> None:
    limits = ClipLimits(per_minute=4, per_day=6)
    limits.take("me", 3, now=0)
    with pytest.raises(KinoraError) as refused:
        limits.take("me", 2, now=10)
    assert refused.value.details["retry_after_s"] == 50
    limits.take("me", 1, now=10)
    limits.take("me", 2, now=61)
    with pytest.raises(KinoraError, match="6 clips in 24 hours"):
        limits.take("me", 1, now=200)
    limits.take("me", 1, now=24 * 3600 + 1)
    with pytest.raises(KinoraError, match="5 clips at once"):
        limits.take("you", 5, now=0)


def test_a_full_queue_says_when_to_come_back(site: Site) -> None:
    client = caller(site(max_queue=1), "a-secret-of-my-very-own")
    ask(client)
    full = client.post("/api/generate", json=CAT)
    is_error(full, 429, "queue_full")
    assert int(full.headers["retry-after"]) > 0


def test_a_body_too_large_is_refused_while_it_comes(site: Site) -> None:
    client = caller(site(max_image_mb=0.1))
    sent = 0

    def trickle() -> Iterator[bytes]:  # no Content-Length to go by
        nonlocal sent
        for _ in range(100):
            sent += 100_000
            yield b"x" * 100_000

    kind = {"Content-Type": "application/json"}
    is_error(client.post("/api/generate", content=trickle(), headers=kind), 413, "too_large")
    for path in ("/api/generate", "/api/batches", "/generate", "/gradio_api/queue/join"):
        long = b"x" * (102_000_000 if "gradio" in path else 2_000_000)
        is_error(client.post(path, content=long, headers=kind), 413, "too_large")
    form = client.post("/api/generate", data=CAT, files={"image": ("a.png", b"x" * 500_000)})
    is_error(form, 413, "too_large")


# -- other sites ---------------------------------------------------------------------------------

FOREIGN = {"Origin": "https://app.example"}
PREFLIGHT = FOREIGN | {"Access-Control-Request-Method": "POST"}


def test_other_sites_pages_are_refused_unless_named(site: Site) -> None:
    doors = site()
    for answer in (
        caller(doors).post("/api/generate", json=CAT, headers=FOREIGN),
        caller(doors).get("/api/models", headers=FOREIGN),
        caller(doors).options("/api/generate", headers=PREFLIGHT),
        caller(doors).get("/api/models", headers={"Origin": "null"}),
    ):
        is_error(answer, 403, "forbidden")
        assert "access-control-allow-origin" not in answer.headers
    own = {"Origin": "http://testserver"}
    assert caller(doors).get("/api/models", headers=own).status_code == 200


def test_named_sites_may_ask_but_never_with_a_visitors_cookie(site: Site) -> None:
    doors = site(cors_origins=("https://app.example",))
    visitor = caller(doors, cookies={COOKIE: "a" * 32})
    mine = ask(visitor)
    preflight = visitor.options("/api/generate", headers=PREFLIGHT)
    assert preflight.status_code == 204
    assert "Idempotency-Key" in preflight.headers["access-control-allow-headers"]
    answer = visitor.post("/api/generate", json=CAT, headers=FOREIGN)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "Location" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    is_error(visitor.get(f"/api/jobs/{mine}", headers=FOREIGN), 404, "not_found")
    other = visitor.get("/api/models", headers={"Origin": "https://evil.example"})
    is_error(other, 403, "forbidden")
    anywhere = caller(site(cors_origins=("*",))).get("/api/models", headers=FOREIGN)
    assert anywhere.headers["access-control-allow-origin"] == "*"


def test_a_cookie_sent_from_another_sites_picture_tag_counts_for_nothing(site: Site) -> None:
    visitor = caller(site(), cookies={COOKIE: "a" * 32})
    mine = ask(visitor)
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    is_error(visitor.get(f"/api/jobs/{mine}", headers=embedded), 404, "not_found")


# -- headers -------------------------------------------------------------------------------------


def test_every_answer_has_its_security_headers(site: Site) -> None:
    client = caller(site())
    for path in ("/", "/api/models", "/api/nothing", "/health", "/v1/videos", "/api/docs"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
        assert "frame-ancestors" in headers["content-security-policy"]
        assert "strict-transport-security" not in headers
    assert "'none'" in client.get("/api/models").headers["content-security-policy"]
    https = {"X-Forwarded-Proto": "https"}
    assert "strict-transport-security" in client.get("/health", headers=https).headers
    on_space = caller(site(space_id="me/kinora")).get("/").headers["content-security-policy"]
    assert "https://huggingface.co" in on_space


def directives(site: Guard) -> dict[str, list[str]]:
    policy = caller(site).get("/").headers["content-security-policy"]
    words = [part.split() for part in policy.split(";")]
    assert len({first for first, *_ in words}) == len(words), "a directive said twice counts once"
    return {first: rest for first, *rest in words}


EMBEDDERS = ("https://example.org", "https://*.example.net:8443")


@pytest.mark.parametrize("space", [None, "me/kinora"])
@pytest.mark.parametrize("embedders", [(), EMBEDDERS, ("*",)])
def test_who_may_show_the_page_in_a_frame(
    site: Site, space: str | None, embedders: tuple[str, ...]
) -> None:
    said = directives(site(space_id=space, embed_origins=embedders))["frame-ancestors"]
    hub = ["https://huggingface.co", "https://*.hf.space"] if space else []
    assert said == ["'self'", *hub, *embedders]


def test_on_a_space_the_page_may_ask_the_hub_and_elsewhere_nobody(site: Site) -> None:
    """`https://huggingface.co/api/spaces/by-subdomain/...`: Gradio's page asks for the Space's
    state; at the Space's own address it draws the Hub's header."""
    own = directives(site())
    assert not any("//" in source for rest in own.values() for source in rest)
    space = directives(site(space_id="me/kinora"))
    for kind in ("connect-src", "img-src"):
        assert {"'self'", "data:", "blob:", "https://huggingface.co/api/spaces/"} <= set(
            space[kind]
        )
    assert "https://huggingface.co" not in space["connect-src"], "not all of the Hub"
    assert space["script-src"] == own["script-src"], "no script of anybody else"


def test_to_be_shown_elsewhere_is_not_to_be_used_from_there(site: Site) -> None:
    """A site that may show the page still has no say in a visitor's name: that is CORS' matter."""
    doors = site(embed_origins=("https://app.example",))
    is_error(caller(doors).post("/api/generate", json=CAT, headers=FOREIGN), 403, "forbidden")
    is_error(caller(doors).post("/gradio_api/queue/join", headers=FOREIGN), 403, "forbidden")


def test_what_is_not_ours_is_the_pages(site: Site) -> None:
    client = caller(site())
    for path in ("/", "/gradio_api/info", "/apis", "/v1x", "/healthy", "/kinora/jobs"):
        assert client.get(path).text == "the page"


def test_a_scene_of_the_operators_is_the_one_other_host_and_has_a_frame_only(site: Site) -> None:
    own = directives(site())
    assert not any("//" in source for rest in own.values() for source in rest)
    scene = directives(site(spline_scene="https://my.spline.design/a-scene-1a2b/"))
    assert scene.pop("frame-src") == ["'self'", "https://my.spline.design"]
    assert scene == own


# -- languages -------------------------------------------------------------------------------------


def test_an_upload_that_is_too_large_is_refused_in_the_language_of_its_sender(site: Site) -> None:
    client = caller(site(max_image_mb=0.1, max_video_upload_mb=0.1))
    files = {"image": ("a.png", b"x" * 2_000_000)}
    german = {"Accept-Language": "de-AT"}
    for path in ("/api/generate", "/gradio_api/upload"):
        refused = client.post(path, files=files, headers=german)
        is_error(refused, 413, "too_large")
        assert refused.headers["content-language"] == "de"
        assert refused.json()["message"].endswith("MB sind hier möglich.")
    french = german | {"Cookie": "kinora-language=fr"}
    chosen = client.post("/gradio_api/upload", files=files, headers=french)
    assert chosen.headers["content-language"] == "fr"
    # the page's script translates what it shows itself
    by_script = client.post("/gradio_api/upload", files=files, headers=german | {"X-Kinora": "1"})
    assert by_script.json()["message"].startswith("At most")
