"""Files are sent in the same way wherever they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from web.files import send_file

CONTENT = bytes(range(100))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    path = tmp_path / "clip.mp4"
    path.write_bytes(CONTENT)

    async def named(request: Request) -> Response:
        return send_file(request, path, "kinora-1")

    async def nameless(request: Request) -> Response:
        return send_file(request, path)

    routes = [Route("/named", named), Route("/nameless", nameless)]
    with TestClient(Starlette(routes=routes)) as client:
        yield client


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("bytes=0-9", CONTENT[:10]),
        ("bytes=90-", CONTENT[90:]),
        ("bytes=-5", CONTENT[-5:]),
        ("bytes=95-1000", CONTENT[95:]),
    ],
)
def test_a_part_is_sent_alone(client: TestClient, asked: str, sent: bytes) -> None:
    part = client.get("/named", headers={"Range": asked})
    assert (part.status_code, part.content) == (206, sent)
    assert part.headers["content-range"].endswith("/100")


@pytest.mark.parametrize("asked", ["bytes=9-2", "bytes=x", "lines=1-2", "bytes=" + "1-1," * 500])
def test_a_range_that_cannot_be_understood_is_ignored(client: TestClient, asked: str) -> None:
    whole = client.get("/named", headers={"Range": asked})
    assert (whole.status_code, whole.content) == (200, CONTENT)


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=200-300", "bytes=-0"])
def test_a_part_beyond_the_end_is_refused_with_the_size(client: TestClient, asked: str) -> None:
    refused = client.get("/named", headers={"Range": asked})
    assert refused.status_code == 416
    assert refused.headers["content-range"] == "bytes */100"
    assert refused.json()["error"] == "invalid_input"
    german = client.get("/named", headers={"Range": asked, "Accept-Language": "de"})
    assert (german.status_code, german.headers["content-language"]) == (416, "de")
    assert german.json()["message"].startswith("Die Datei hat 100 Bytes")


def test_what_the_browser_has_already_is_not_sent_again(client: TestClient) -> None:
    etag = client.get("/named").headers["etag"]
    for known in (etag, f"W/{etag}", f'"another", {etag}', "*"):
        again = client.get("/named", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    assert client.get("/named", headers={"If-None-Match": '"another"'}).status_code == 200


def test_head_says_how_large_it_is_and_sends_nothing(client: TestClient) -> None:
    head = client.head("/named")
    assert (head.status_code, head.content) == (200, b"")
    assert (head.headers["content-length"], head.headers["content-type"]) == ("100", "video/mp4")


def test_only_a_download_is_an_attachment(client: TestClient) -> None:
    shown = client.get("/named").headers["content-disposition"]
    assert shown == 'inline; filename="kinora-1.mp4"'
    saved = client.get("/named?download").headers["content-disposition"]
    assert saved == 'attachment; filename="kinora-1.mp4"'
    assert "content-disposition" not in client.get("/nameless").headers
