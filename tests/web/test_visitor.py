"""The visitor's cookie, and who counts as the page itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from settings import Settings
from web.identity import HEADER, VisitorCookie, is_same_origin


async def who(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.state.visitor)


@pytest.fixture
def app() -> Starlette:
    return Starlette(routes=[Route("/", who)], middleware=[Middleware(VisitorCookie)])


def test_a_visitor_gets_128_random_bits_and_keeps_them(app: Starlette) -> None:
    with TestClient(app) as visitor, TestClient(app) as stranger:
        name = visitor.get("/").text
        assert re.fullmatch(r"[0-9a-f]{32}", name)
        second = visitor.get("/")
        assert second.text == name
        assert "set-cookie" not in second.headers
        assert stranger.get("/").text != name


def test_the_cookie_is_out_of_scripts_reach_and_lax_over_http(app: Starlette) -> None:
    with TestClient(app) as visitor:
        cookie = visitor.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


SPACE, EMBEDDED = {"space_id": "you/kinora"}, {"embed_origins": ("https://example.org",)}


@pytest.mark.parametrize("https", ["", "scheme", "proxy"])
@pytest.mark.parametrize("space", [{}, SPACE])
@pytest.mark.parametrize("embedded", [{}, EMBEDDED])
def test_the_cookie_works_in_a_frame_where_there_may_be_one_and_nowhere_else(
    tiny_settings: Settings, https: str, space: dict[str, Any], embedded: dict[str, Any]
) -> None:
    settings = tiny_settings.model_copy(update=space | embedded)
    app = Starlette(
        routes=[Route("/", who)],
        middleware=[Middleware(VisitorCookie, framed=settings.may_be_framed)],
    )
    base = "https://kinora.test" if https == "scheme" else "http://kinora.test"
    headers = {"X-Forwarded-Proto": "https"} if https == "proxy" else {}
    with TestClient(app, base_url=base) as visitor:
        line = visitor.get("/", headers=headers).headers["set-cookie"]
    said = {part.strip() for part in line.split(";")[1:]}
    assert {"HttpOnly", "Path=/", "Max-Age=31536000"} <= said
    place = {part for part in said if part.startswith(("SameSite", "Secure", "Partitioned"))}
    if not https:
        assert place == {"SameSite=Lax"}, "None without Secure is kept by no browser"
    elif space or embedded:
        assert place == {"SameSite=None", "Secure", "Partitioned"}
    else:
        assert place == {"SameSite=Lax", "Secure"}


def test_a_page_whose_browser_keeps_no_cookie_is_the_visitor_that_it_says(app: Starlette) -> None:
    with TestClient(app) as page:
        answer = page.get("/", headers={HEADER: "c" * 32})
    assert answer.text == "c" * 32
    assert f"kinora_visitor={'c' * 32};" in answer.headers["set-cookie"], "should it be kept now"


def test_a_page_that_began_without_a_cookie_stays_the_same_visitor(app: Starlette) -> None:
    with TestClient(app, cookies={"kinora_visitor": "d" * 32}) as page:
        assert page.get("/", headers={HEADER: "c" * 32}).text == "c" * 32
        assert page.get("/").text == "d" * 32


@pytest.mark.parametrize("forged", ["", "admin", "../x", "A" * 32, "a" * 33])
def test_a_made_up_name_in_the_header_is_no_name(app: Starlette, forged: str) -> None:
    with TestClient(app, cookies={"kinora_visitor": "d" * 32}) as page:
        assert page.get("/", headers={HEADER: forged}).text == "d" * 32


@pytest.mark.parametrize("forged", ["", "admin", "../x", "A" * 32, "a" * 33, "a" * 32 + "\n"])
def test_a_made_up_name_is_replaced(app: Starlette, forged: str) -> None:
    with TestClient(app) as visitor:
        answer = visitor.get("/", headers={"Cookie": f"kinora_visitor={forged!r}"})
    assert answer.text != forged
    assert "set-cookie" in answer.headers


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({}, True),
        ({"origin": "http://kinora.test", "host": "kinora.test"}, True),
        ({"origin": "http://evil.test", "host": "kinora.test"}, False),
        ({"origin": "null", "host": "kinora.test"}, False),
        ({"origin": "https://me.hf.space", "host": "10.0.0.1", "x-forwarded-host": "me.hf.space"},
         True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-origin"}, True),
    ],
)  # fmt: skip
def test_other_sites_pages_are_recognised(headers: dict[str, str], same: bool) -> None:
    assert is_same_origin(Headers(headers)) is same
