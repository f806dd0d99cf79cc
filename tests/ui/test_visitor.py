"""The visitor's cookie, and who counts as the page itself."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui.visitor import VisitorCookie, is_same_origin


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


@pytest.mark.parametrize("how", ["scheme", "proxy"])
def test_over_https_it_works_inside_a_frame(app: Starlette, how: str) -> None:
    base = "https://kinora.test" if how == "scheme" else "http://kinora.test"
    with TestClient(app, base_url=base) as visitor:
        headers = {"X-Forwarded-Proto": "https"} if how == "proxy" else {}
        cookie = visitor.get("/", headers=headers).headers["set-cookie"]
    assert "SameSite=None; Secure; Partitioned" in cookie


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
