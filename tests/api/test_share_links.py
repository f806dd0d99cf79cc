"""Share links at the door: who makes them, what their holder gets, and what nobody gets.

The service is real; its worker never starts, and the clips are finished already.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from api.share_pages import CACHE_S
from api.site import build, is_ours
from app import executor_for
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.field_types import MAX_PROMPT
from pipelines.models.cards import ModelCard
from settings import Settings
from tests.api.conftest import is_error
from tests.finished import add_finished_clip
from web import share_page
from web.guard import Guard
from web.identity import Callers, VisitorCookie
from web.metrics import Metrics

SECRET, OTHER = "a-maker-of-clips-0123456789", "somebody-else-0123456789ab"
HIDDEN_WORDS = "a secret dog nobody may read about"


@dataclass
class Maker:
    """A program that has made clips, at its door."""

    service: JobService
    http: TestClient
    owner: str

    def clip(self, **request: Any) -> str:
        return add_finished_clip(self.service, self.owner, **request).id

    def share(self, job_id: str, **options: Any) -> dict[str, Any]:
        answer = self.http.put(f"/api/jobs/{job_id}/share", json=options)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def maker(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_models_dir: Path,
    tiny_cards: dict[str, ModelCard],
) -> Iterator[Maker]:
    here = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path_factory.mktemp("shares") / "data",
        models_dir=tiny_models_dir,
    )
    service = JobService(JobStore(here.database_url), executor_for(here), tiny_cards, here)
    metrics = Metrics(service)
    page = Starlette(
        routes=[Route("/{path:path}", lambda _: PlainTextResponse("the page"))],
        middleware=[Middleware(VisitorCookie)],
    )
    guard = Guard(page, build(service, here, metrics), is_ours, here, metrics)
    owner = f"secret:{Callers(here)._hashed(SECRET)}"
    yield Maker(service, caller(guard, SECRET), owner)
    service.close()


def caller(guard: Any, secret: str | None = None) -> TestClient:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return TestClient(guard, base_url="http://kinora.test", headers=headers)


@pytest.fixture
def anyone(maker: Maker) -> TestClient:
    return caller(maker.http.app)


def test_a_link_leads_to_a_page_with_the_clip_and_no_script_and_no_cookie(
    maker: Maker, anyone: TestClient
) -> None:
    job_id = maker.clip(prompt="a dog <b>in</b> the snow", seed=7)
    shared = maker.share(job_id)
    assert shared["url"] == f"http://kinora.test/c/{shared['id']}"
    assert maker.http.get(f"/api/jobs/{job_id}/share").json() == shared
    assert maker.http.get("/api/shares").json() == {"shares": [shared], "next": None}
    assert maker.http.get("/api/shares?limit=1").json()["next"] == shared["created_at"]
    page = anyone.get(f"/c/{shared['id']}")
    assert page.status_code == 200
    assert "a dog &lt;b&gt;in&lt;/b&gt; the snow" in page.text
    assert "<script" not in page.text
    assert job_id not in page.text and job_id[:8] not in page.text
    assert not anyone.cookies and "set-cookie" not in page.headers
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script" not in policy and "unsafe" not in policy
    assert page.headers["cache-control"] == f"public, max-age={CACHE_S}, must-revalidate"
    assert anyone.head(f"/c/{shared['id']}").headers["content-length"] == str(len(page.content))


def test_the_files_behind_a_link_are_sent_in_parts_too(maker: Maker, anyone: TestClient) -> None:
    job_id = maker.clip()
    shared = maker.share(job_id)
    whole = anyone.get(f"/c/{shared['id']}/clip.mp4")
    assert whole.content == maker.service.clip_path(job_id).read_bytes()
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["cross-origin-resource-policy"] == "cross-origin"
    assert whole.headers["cache-control"] == f"public, max-age={CACHE_S}, must-revalidate"
    assert job_id[:8] not in str(whole.headers)
    part = anyone.get(f"/c/{shared['id']}/clip.mp4", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    known = {"If-None-Match": whole.headers["etag"]}
    assert anyone.get(f"/c/{shared['id']}/clip.mp4", headers=known).status_code == 304
    download = anyone.get(f"/c/{shared['id']}/clip.mp4?download")
    assert download.headers["content-disposition"].startswith("attachment")
    assert anyone.get(f"/c/{shared['id']}/poster.jpg").content[:2] == b"\xff\xd8"


def test_a_link_that_leads_nowhere_says_nothing(maker: Maker, anyone: TestClient) -> None:
    """Revoked, expired, gone or guessed: the same answer to the last byte."""
    revoked, expired, deleted = (maker.share(maker.clip()) for _ in range(3))
    assert maker.http.delete(f"/api/jobs/{revoked['job_id']}/share").status_code == 204
    rows = maker.service.shares._rows
    row = rows.find_valid(expired["id"], time.time())
    assert row and rows.change(row.model_copy(update={"expires_at": time.time() - 1}))
    maker.service.delete(deleted["job_id"])
    links = ["x" * 22, "x", "%00", revoked["id"], expired["id"], deleted["id"]]
    for path in ("", "/embed", "/clip.mp4", "/clip.webm", "/poster.jpg", "/result.json"):
        answers = [anyone.get(f"/c/{link}{path}") for link in links]
        said = {(a.status_code, a.content, str(without_id(a.headers))) for a in answers}
        assert len(said) == 1, path
        assert answers[0].status_code == 404
        assert answers[0].headers["cache-control"] == "no-store"
    here = "http://kinora.test/c/"
    refused = [
        anyone.get("/oembed", params={"url": url})
        for url in (*(here + link for link in links), "https://elsewhere.test/c/" + "x" * 22, "")
    ]
    assert {(a.status_code, a.json()["message"]) for a in refused} == {
        (404, is_error(refused[0], 404, "not_found")["message"])
    }


def without_id(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "x-request-id"}


def test_only_the_maker_makes_changes_and_revokes(maker: Maker, anyone: TestClient) -> None:
    job_id = maker.clip()
    path = f"/api/jobs/{job_id}/share"
    other = caller(maker.http.app, OTHER)
    is_error(other.put(path, json={}), 404, "not_found")
    is_error(anyone.put(path, json={}), 401, "unauthorized")
    is_error(maker.http.get(path), 404, "not_found")
    shared = maker.share(job_id)
    for answer in (other.delete(path), other.get(path), other.get(f"{path}/qr.svg")):
        is_error(answer, 404, "not_found")
    assert other.get("/api/shares").json()["shares"] == []
    assert anyone.get(f"/c/{shared['id']}").status_code == 200


def test_what_is_hidden_is_in_no_answer(maker: Maker, anyone: TestClient) -> None:
    job_id = maker.clip(prompt=HIDDEN_WORDS, seed=424242)
    shared = maker.share(job_id, hide_prompt=True)
    link = f"http://kinora.test/c/{shared['id']}"
    answers = [
        anyone.get(f"/c/{shared['id']}{path}")
        for path in ("", "/embed", "/clip.mp4", "/poster.jpg")
    ]
    answers.append(anyone.get("/oembed", params={"url": link}))
    for answer in answers:
        assert answer.status_code == 200
        assert HIDDEN_WORDS.encode() not in answer.content
        assert HIDDEN_WORDS not in str(answer.headers)
    assert "424242" in answers[0].text
    maker.share(job_id, hide_settings=True, title="My dog")
    page = anyone.get(f"/c/{shared['id']}").text
    assert "424242" not in page and HIDDEN_WORDS in page and '<h1 dir="auto">My dog</h1>' in page
    assert b"424242" not in anyone.get(f"/c/{shared['id']}/clip.mp4").content


def test_previews_of_other_sites_get_a_player_with_absolute_addresses(
    maker: Maker, anyone: TestClient
) -> None:
    shared = maker.share(maker.clip(prompt="a dog"), title="My dog")
    page = anyone.get(f"/c/{shared['id']}").text
    meta = dict(re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)">', page))
    assert meta["og:title"] == meta["twitter:title"] == "My dog"
    assert meta["og:description"] == "a dog"
    assert meta["og:video"] == f"{shared['url']}/clip.mp4"
    assert meta["og:image"] == f"{shared['url']}/poster.jpg"
    assert (meta["twitter:card"], meta["twitter:player"]) == ("player", shared["embed_url"])
    assert (meta["og:video:width"], meta["og:video:type"]) == ("64", "video/mp4")
    assert meta["robots"] == "noindex"
    (found,) = re.findall(r'type="application/json\+oembed" href="([^"]+)"', page)
    described = anyone.get(found.replace("&amp;", "&"))
    body = described.json()
    assert (body["version"], body["type"], body["title"]) == ("1.0", "video", "My dog")
    assert (body["width"], body["height"]) == (64, 64)
    assert f'src="{shared["embed_url"]}"' in body["html"]
    small = anyone.get("/oembed", params={"url": shared["url"], "maxwidth": 32}).json()
    assert (small["width"], small["height"]) == (32, 32)
    embed = anyone.get(f"/c/{shared['id']}/embed")
    assert embed.headers["content-security-policy"].endswith("frame-ancestors *")
    assert (
        "frame-ancestors 'self'"
        in anyone.get(f"/c/{shared['id']}").headers["content-security-policy"]
    )


def test_a_page_with_an_address_that_one_client_sent_is_in_no_cache(
    maker: Maker, anyone: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = maker.share(maker.clip())
    foreign = {"X-Forwarded-Host": "evil.test"}
    for path in (f"/c/{shared['id']}", f"/oembed?url={quote('http://evil.test/c/')}{shared['id']}"):
        assert anyone.get(path, headers=foreign).headers["cache-control"] == "no-store"
    same = {"X-Forwarded-Host": "kinora.test"}
    assert "public" in anyone.get(f"/c/{shared['id']}", headers=same).headers["cache-control"]
    monkeypatch.setenv("GRADIO_ROOT_PATH", "https://example.org/kinora")
    page = anyone.get(f"/c/{shared['id']}", headers=foreign)
    assert "evil.test" not in page.text and "https://example.org/kinora/c/" in page.text
    assert "public" in page.headers["cache-control"]


def test_caches_keep_a_clip_for_no_longer_than_its_link_is_valid(
    maker: Maker, anyone: TestClient
) -> None:
    shared = maker.share(maker.clip(), expires_in_s=100)
    assert shared["expires_at"] == pytest.approx(time.time() + 100, abs=5)
    for path in ("", "/clip.mp4"):
        kept = anyone.get(f"/c/{shared['id']}{path}").headers["cache-control"]
        assert 80 < int(re.findall(r"max-age=(\d+)", kept)[0]) <= 100


def test_wrong_options_are_named(maker: Maker) -> None:
    job_id = maker.clip()
    for body in (
        {"expires_in_s": 0}, {"expires_in_s": "soon"}, {"expires_in_s": True},
        {"expires_in_s": 5, "expires_at": 9e9}, {"expires_in_s": 1e300}, {"public": True},
        {"title": "a\nb"}, {"titel": "a"}, {"hide_prompt": []},
    ):  # fmt: skip
        answer = maker.http.put(f"/api/jobs/{job_id}/share", json=body)
        assert is_error(answer, 422, "invalid_input")["details"]["field"] in body, body


def test_the_qr_code_is_drawn_here(maker: Maker) -> None:
    shared = maker.share(maker.clip())
    drawn = maker.http.get(f"/api/jobs/{shared['job_id']}/share/qr.svg")
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.text.count("http") == 1  # the name space
    assert "<script" not in drawn.text


def test_a_gallery_is_there_only_where_the_operator_has_turned_it_on(
    maker: Maker, anyone: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anyone.get("/c").content == anyone.get(f"/c/{'x' * 22}").content
    on = maker.service.settings.model_copy(update={"public_gallery": True})
    monkeypatch.setattr(maker.service.shares, "_settings", on)
    shown = maker.share(maker.clip(prompt="a dog & a cat"), public=True)
    hidden = maker.share(maker.clip(prompt=HIDDEN_WORDS), public=True, hide_prompt=True)
    kept = maker.share(maker.clip())
    page = anyone.get("/c")
    assert "a dog &amp; a cat" in page.text and f"/c/{shown['id']}" in page.text
    assert hidden["id"] in page.text and HIDDEN_WORDS not in page.text
    assert kept["id"] not in page.text
    assert "noindex" not in anyone.get(f"/c/{shown['id']}").text
    maker.share(shown["job_id"], public=False)
    assert shown["id"] not in anyone.get("/c").text


# ---- hostile words

PROMPTS = ("prompt", "negative_prompt")


class Structure(HTMLParser):
    """The elements and attributes of a page, without their texts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Any] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, [name for name, _ in attrs]))
        self.texts += [value for _, value in attrs if value]

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(f"/{tag}")

    def handle_comment(self, data: str) -> None:
        self.elements.append("comment")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def is_typed(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cs")


PIECES = st.sampled_from([
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title><script>", "' onload='",
    "<!--", "-->", "]]>", "</style>", "</textarea>", "javascript:alert(1)", "&lt;", "&#60;",
    "{{7*7}}", "${7}", "%0d%0aSet-Cookie: a=b", "\u202e", "\u2028", "\ufeff", "🦊", "a" * 300,
])  # fmt: skip
LETTERS = st.characters(exclude_categories=["Cc", "Cs"])
HOSTILE = st.lists(st.one_of(PIECES, st.text(LETTERS, max_size=20)), min_size=1, max_size=6).map(
    "".join
)


@settings(max_examples=40, deadline=None)
@given(prompt=HOSTILE.filter(str.strip), title=HOSTILE)
@example(prompt="</title><script>alert(1)</script>", title='"><script>alert(1)</script>')
def test_no_word_becomes_part_of_the_page(maker: Maker, prompt: str, title: str) -> None:
    prompt, title = prompt[:MAX_PROMPT], title.strip()[:120].replace("\u2028", " ").strip()
    assume(prompt not in (title, "a"))  # then it is shown once
    first = maker.service.list(maker.owner, oldest_first=True)
    job = first[0] if first else maker.service.get(maker.clip())
    fitted = job.fitted.model_copy(update={"prompt": prompt, "negative_prompt": prompt})
    shared = maker.service.shares.find(
        maker.service.shares.put(job.id, maker.owner, {"title": title}).id
    )
    plain, hostile = (
        type(shared)(
            shared.share.model_copy(update={"title": words}),
            shared.job.model_copy(
                update={"fitted": fitted.model_copy(update=dict.fromkeys(PROMPTS, text))}
            ),
            shared.result,
        )
        for words, text in (("a", "b"), (title or "a", prompt))
    )
    for render in (
        lambda each: share_page.render_clip(each, "https://kinora.test"),
        share_page.render_embed,
        lambda each: share_page.render_gallery([each], None),
    ):
        drawn = Structure(render(hostile))
        assert drawn.elements == Structure(render(plain)).elements
    assert prompt in "".join(Structure(share_page.render_clip(hostile, "https://a.test")).texts)
    answer = maker.http.get(f"/c/{shared.share.id}/clip.mp4")
    assert all(name.isascii() and value.isascii() for name, value in answer.headers.items())
    assert "set-cookie" not in answer.headers
