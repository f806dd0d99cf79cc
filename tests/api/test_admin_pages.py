"""Reports and the operator's pages at the door: no stranger gets in, no other site acts for the
operator, and no word of a prompt or a report becomes part of a page.

The service is real; its worker never starts, and the clips are finished already.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from api.admin_pages import AdminPages
from api.core import ApiContext
from api.site import build, is_ours
from app import executor_for
from errors import KinoraError
from jobs.moderation import ClipCase
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from settings import Settings
from tests.api import leaks
from tests.api.conftest import is_error
from tests.api.test_share_links import HOSTILE, Structure
from tests.finished import add_finished_clip
from web import admin_page, report_page
from web.admin_access import (
    COOKIE,
    FAILURES_S,
    HEADER,
    MOST_FAILURES,
    MOST_FAILURES_OF_ALL,
    SESSION_S,
    AdminAccess,
)
from web.guard import Guard
from web.metrics import Metrics

KEY = "the-operators-key-0123456789"
leaks.SECRETS |= {KEY}
MAKER = "visitor:maker"
ADDRESS = "http://kinora.test"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Site:
    service: JobService
    guard: Guard
    metrics: Metrics

    def client(self, **headers: str) -> TestClient:
        return TestClient(self.guard, base_url=ADDRESS, headers=headers, follow_redirects=False)

    def clip(self, **request: Any) -> tuple[str, str]:
        """(job, link) of a shared clip."""
        job = add_finished_clip(self.service, MAKER, **request)
        return job.id, self.service.shares.put(job.id, MAKER, {}).id


def site_at(folder: Path, models_dir: Path, cards: dict[str, ModelCard], **more: Any) -> Site:
    here = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        models_dir=models_dir,
        **more,
    )
    service = JobService(JobStore(here.database_url), executor_for(here), cards, here)
    metrics = Metrics(service)
    page = Starlette(routes=[Route("/{path:path}", lambda _: PlainTextResponse("the page"))])
    return Site(
        service, Guard(page, build(service, here, metrics), is_ours, here, metrics), metrics
    )


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_models_dir: Path,
    tiny_cards: dict[str, ModelCard],
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("admin")
    more = {"admin_key": KEY, "reports_per_hour": 1_000, "cors_origins": "*"}
    made = site_at(folder, tiny_models_dir, tiny_cards, **more)
    yield made
    made.service.close()


@pytest.fixture
def operator(site: Site) -> TestClient:
    client = site.client()
    answer = client.post("/admin/login", data={"key": KEY})
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
    return client


def form_token(page: str) -> str:
    found = set(re.findall(r'name="form_token" value="([^"]+)"', page))
    assert len(found) == 1
    return found.pop()


def do(client: TestClient, path: str, action: str, **fields: str) -> Any:
    token = form_token(client.get("/admin").text)
    return client.post(path, data={"form_token": token, "action": action, **fields})


# -- reports ---------------------------------------------------------------------------------------


def test_anyone_reports_a_shared_clip_by_a_plain_form(site: Site) -> None:
    job_id, link = site.clip(prompt="a <b>dog</b>")
    anyone = site.client()
    page = anyone.get(f"/c/{link}").text
    assert f'href="/c/{link}/report"' in page
    form = anyone.get(f"/c/{link}/report")
    assert "<script" not in form.text and "a &lt;b&gt;dog" in form.text
    policy = form.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy
    # with no-referrer, a browser would send `Origin: null` with the form
    assert form.headers["referrer-policy"] == "same-origin"
    sent = anyone.post(
        f"/c/{link}/report",
        data={"reason": "person", "note": "It shows <me>"},
        headers={"Origin": ADDRESS},
    )
    assert sent.status_code == 200 and "Thank you" in sent.text
    assert not anyone.cookies
    (found,) = site.service.moderation.case(job_id).reports
    assert (found.reason, found.note, found.share_id) == ("person", "It shows <me>", link)
    again = anyone.post(f"/c/{link}/report", data={"reason": "no", "note": "<kept>"})
    assert again.status_code == 422
    assert "&lt;kept&gt;" in again.text and 'role="alert"' in again.text
    nowhere = anyone.post(f"/c/{'x' * 22}/report", data={"reason": "other"})
    assert nowhere.status_code == 404
    assert nowhere.content == anyone.get(f"/c/{'x' * 22}").content


def test_reports_are_limited_by_address(
    tmp_path: Path, tiny_models_dir: Path, tiny_cards: dict[str, ModelCard]
) -> None:
    site = site_at(tmp_path, tiny_models_dir, tiny_cards, reports_per_hour=2)
    try:
        job_id, link = site.clip()
        anyone = site.client()
        sent = [anyone.post(f"/c/{link}/report", data={"reason": "other"}) for _ in range(3)]
        assert [each.status_code for each in sent] == [200, 200, 429]
        assert 3_000 < int(sent[2].headers["retry-after"]) <= 3_601
        assert len(site.service.moderation.case(job_id).reports) == 1
        # without a key there is no operator's page, whatever is sent
        for path in ("/admin", "/admin/log", "/admin/clips/" + job_id, "/admin/blocks"):
            for headers in ({}, {HEADER: ""}, {HEADER: KEY}, {"Cookie": f"{COOKIE}=1.2.3"}):
                is_error(anyone.get(path, headers=headers), 404, "not_found")
        is_error(anyone.post("/admin/login", data={"key": ""}), 404, "not_found")
    finally:
        site.service.close()


# -- the operator's work ---------------------------------------------------------------------------


def test_the_operator_removes_blocks_and_restores(site: Site, operator: TestClient) -> None:
    job_id, link = site.clip(prompt="a dog in a boat")
    anyone = site.client()
    anyone.post(f"/c/{link}/report", data={"reason": "illegal", "note": "look at this"})
    here = f"/admin/clips/{job_id}"
    assert here in operator.get("/admin").text
    page = operator.get(here)
    assert "look at this" in page.text and "a dog in a boat" in page.text
    assert "<script" not in page.text and page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert operator.get(f"{here}/clip").headers["content-type"] == "video/mp4"
    answer = do(operator, here, "remove", note="unlawful")
    assert (answer.status_code, answer.headers["location"]) == (303, here)
    assert anyone.get(f"/c/{link}").status_code == 404
    assert here not in operator.get("/admin").text
    assert operator.get(f"{here}/clip", headers={"Range": "bytes=4-7"}).content == b"ftyp"
    assert operator.get(f"{here}/poster").headers["content-type"] == "image/jpeg"
    assert do(operator, here, "block-file").status_code == 303
    assert "unlawful" in operator.get("/admin/blocks").text
    maker = site.service.moderation.case(job_id).maker
    assert do(operator, here, "block-caller", caller=maker or "", days="3").status_code == 303
    page = operator.get(here).text
    assert "are blocked" in page and "The maker is blocked until" in page
    for action, more in (("unblock-file", {"job": job_id}), ("unblock-caller", {"caller": maker})):
        assert do(operator, "/admin", action, **more).status_code == 303  # type: ignore[arg-type]
    assert do(operator, here, "restore").status_code == 303
    assert anyone.get(f"/c/{link}").status_code == 200
    refused = do(operator, here, "restore")
    assert refused.status_code == 409 and "was not removed" in refused.text
    log = operator.get("/admin/log").text
    for action in ("reported", "removed", "file_blocked", "caller_blocked", "restored", "login"):
        assert f"{action} (" in log
    text = site.metrics.text().decode()
    assert 'kinora_moderation_events_total{action="removed"} 1.0' in text
    assert "kinora_reports_open" in text and "kinora_audit_failures_total 0.0" in text


def test_a_program_sends_the_key_and_gets_json(site: Site) -> None:
    job_id, link = site.clip()
    program = site.client(**{HEADER: KEY})
    program.post(f"/c/{link}/report", data={"reason": "other"})
    assert job_id in [clip["job_id"] for clip in program.get("/admin").json()["clips"]]
    case = program.get(f"/admin/clips/{job_id}").json()
    assert case["reports"][0]["reason"] == "other" and case["has_files"]
    assert MAKER not in str(case)
    here = f"/admin/clips/{job_id}"
    assert program.post(here, json={"action": "remove"}).json() == {"done": True}
    assert program.get("/admin/blocks").json()["removed"][0]["job_id"] == job_id
    assert program.get("/admin/log").json()["entries"][0]["action"] == "removed"
    is_error(program.post(here, json={"action": "explode"}), 422, "invalid_input")
    is_error(program.post(here, content=b"[1"), 422, "invalid_input")
    is_error(program.get(f"/admin/clips/{'0' * 32}"), 404, "not_found")
    is_error(program.get("/admin/clips/..%2f..%2fsecret"), 404, "not_found")


# -- who gets in -----------------------------------------------------------------------------------

PATHS = ("/admin", "/admin/blocks", "/admin/log", "/admin/clips/{job}", "/admin/clips/{job}/clip")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PATHS),
    st.one_of(
        st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=90),
        st.from_regex(r"[0-9]{10}\.[0-9a-f]{32}\.[0-9a-f]{64}", fullmatch=True),
    ),
)
@example("/admin", "")
def test_no_made_up_cookie_opens_a_page(site: Site, path: str, cookie: str) -> None:
    job_id = _known_clip(site)
    headers = {"Cookie": f"{COOKIE}={cookie}".encode("latin-1")}
    answer = site.client().get(path.replace("{job}", job_id), headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert "Log in" in answer.text and job_id not in answer.text
    assert "set-cookie" not in answer.headers


def test_a_session_that_was_changed_ended_or_has_expired_is_none() -> None:
    access = AdminAccess(Settings(admin_key=KEY))  # type: ignore[arg-type]
    now = time.time()
    token = access.new_session(now)
    assert access.is_session(token, now) and access.is_session(token, now + SESSION_S - 1)
    assert not access.is_session(token, now + SESSION_S)
    for place in range(len(token)):
        changed = token[:place] + ("0" if token[place] != "0" else "1") + token[place + 1 :]
        assert not access.is_session(changed, now)
    other = AdminAccess(Settings(admin_key=KEY + "x"))  # type: ignore[arg-type]
    assert not other.is_session(token, now)
    assert AdminAccess(Settings(admin_key=KEY)).is_session(token)  # type: ignore[arg-type]
    assert not access.is_form_token(token, access.form_token(access.new_session()))
    access.end_session(token)
    assert not access.is_session(token)
    off = AdminAccess(Settings())
    assert not off.is_session(off.new_session())


def test_wrong_keys_lock_their_address_and_at_last_all() -> None:
    access = AdminAccess(Settings(admin_key=KEY))  # type: ignore[arg-type]

    def code(key: str, address: str, at: float) -> str:
        try:
            access.check_key(key, address, at)
        except KinoraError as error:
            return error.code.value
        return "right"

    assert [code("wrong", "a", n) for n in range(MOST_FAILURES)] == ["unauthorized"] * 5
    assert code(KEY, "a", 10.0) == "rate_limited", "else guessing would go on"
    assert code(KEY, "b", 10.0) == "right"
    assert code(KEY, "a", FAILURES_S + 10) == "right"
    for number in range(MOST_FAILURES_OF_ALL):
        code("wrong", f"address {number}", 5_000.0)
    assert code(KEY, "b", 5_001.0) == "rate_limited"
    assert code(KEY, "b", 5_001.0 + FAILURES_S) == "right"


def test_a_login_sets_a_strict_cookie_and_guessing_is_locked_out(
    tmp_path: Path, tiny_models_dir: Path, tiny_cards: dict[str, ModelCard]
) -> None:
    site = site_at(
        tmp_path, tiny_models_dir, tiny_cards, admin_key=KEY, trusted_proxies="0.0.0.0/0"
    )
    try:
        client = site.client()
        page = client.get("/admin")
        assert page.status_code == 401 and 'type="password"' in page.text
        secure = site.client(**{"X-Forwarded-Proto": "https"})
        line = secure.post("/admin/login", data={"key": KEY}).headers["set-cookie"]
        for part in ("HttpOnly", "SameSite=Strict", "Secure", "Path=/admin;"):
            assert part in line
        opened = site.client()
        opened.post("/admin/login", data={"key": KEY})
        for number in range(MOST_FAILURES):
            wrong = client.post("/admin/login", data={"key": f"guess {number}"})
            assert wrong.status_code == 401 and "set-cookie" not in wrong.headers
        assert client.post("/admin/login", data={"key": KEY}).status_code == 429
        is_error(client.get("/admin", headers={HEADER: KEY}), 429, "rate_limited")
        assert opened.get("/admin").status_code == 200, "an open session stays open"
        assert do(opened, "/admin/login", "logout").status_code == 303
        assert opened.get("/admin").status_code == 401
        entries = site.service.moderation.log(50)
        assert [e["action"] for e in entries].count("login_failed") == MOST_FAILURES + 2
        assert "guess" not in str(entries)
    finally:
        site.service.close()


# -- other sites -----------------------------------------------------------------------------------

ACTIONS = ("remove", "restore", "dismiss", "block-file", "unblock-file", "block-caller", "")


@settings(max_examples=40, deadline=None)
@given(
    action=st.sampled_from(ACTIONS),
    token=st.one_of(st.none(), st.text(max_size=70), st.from_regex("[0-9a-f]{64}", fullmatch=True)),
    origin=st.sampled_from([None, ADDRESS, "https://evil.test", "null"]),
)
@example(action="remove", token=None, origin=ADDRESS)
def test_without_the_token_of_its_session_no_form_does_anything(
    site: Site, action: str, token: str | None, origin: str | None
) -> None:
    job_id = _known_clip(site)
    client = site.client()
    client.cookies.set(COOKIE, _access(site).new_session())
    fields = {"action": action} | ({} if token is None else {"form_token": token})
    headers = {} if origin is None else {"Origin": origin}
    before = site.service.moderation.log(1)
    for path in (f"/admin/clips/{job_id}", "/admin", "/admin/login"):
        if path != "/admin/login" or action:
            fields = fields | ({"action": "logout"} if path == "/admin/login" else {})
            assert client.post(path, data=fields, headers=headers).status_code in (401, 403)
    assert site.service.moderation.log(1) == before
    assert site.service.moderation.case(job_id).takedown is None


def test_another_sites_page_has_no_session_even_where_it_may_call_the_api(site: Site) -> None:
    """`cors_origins` is * here."""
    client = site.client()
    client.cookies.set(COOKIE, _access(site).new_session())
    assert client.get("/admin").status_code == 200
    assert client.get("/admin", headers={"Origin": "https://evil.test"}).status_code == 401
    assert client.get("/admin", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 401


# -- hostile words ---------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(prompt=HOSTILE.filter(str.strip), note=HOSTILE)
@example(prompt="</title><script>alert(1)</script>", note='"><img src=x onerror=alert(1)>')
def test_no_word_of_a_prompt_or_a_report_becomes_part_of_a_page(
    site: Site, prompt: str, note: str
) -> None:
    shown = site.service.moderation.case(_known_clip(site))
    frame = admin_page.Frame("token")
    pages = [_pages_of(shown, frame, *words) for words in (("b", "b"), (prompt, note or "b"))]
    for plain, hostile in zip(*pages, strict=True):
        assert Structure(hostile).elements == Structure(plain).elements
        assert "<script" not in hostile
    assert note in "".join(Structure(pages[1][0]).texts)
    assert prompt in "".join(Structure(pages[1][0]).texts)


def _pages_of(case: ClipCase, frame: admin_page.Frame, prompt: str, note: str) -> list[str]:
    assert case.job and case.share
    fitted = case.job.fitted.model_copy(update={"prompt": prompt, "negative_prompt": prompt})
    changed = ClipCase(
        **vars(case)
        | {
            "job": case.job.model_copy(update={"fitted": fitted}),
            "reports": [each.model_copy(update={"note": note}) for each in case.reports],
        }
    )
    entry = {"at": "2026", "action": "removed", "rule": note, "note": note, "prompt": prompt}
    return [
        admin_page.render_case(frame, changed, True),
        admin_page.render_log(frame, [entry]),
        admin_page.render_login(note),
        admin_page.render_error(admin_page.Frame("token", note)),
    ]


def test_a_report_of_hostile_words_is_shown_as_text(site: Site, operator: TestClient) -> None:
    words = "</textarea></dl><script>alert(1)</script>\"'><svg onload=alert(1)>"
    job_id, link = site.clip(prompt=words)
    site.client().post(f"/c/{link}/report", data={"reason": "other", "note": words})
    again = site.client().post(f"/c/{link}/report", data={"reason": words, "note": words})
    page = operator.get(f"/admin/clips/{job_id}")
    for html in (again.text, page.text):
        assert "<script" not in html and "<svg" not in html
        assert words in "".join(Structure(html).texts)
    shared = site.service.shares.find(link)
    plain = report_page.render_form(shared, reason="other", note="b", error="b")
    hostile = report_page.render_form(shared, reason="other", note=words, error=words)
    assert Structure(plain).elements == Structure(hostile).elements


def _known_clip(site: Site) -> str:
    """The id of one clip with a report, made the first time."""
    clips = site.service.moderation.queue()
    if clips:
        return clips[0].job_id
    job_id, link = site.clip()
    site.service.moderation.report(link, "other", "a note", "anyone:x")
    return job_id


def _access(site: Site) -> AdminAccess:
    return AdminPages(ApiContext(site.service, None))._access  # type: ignore[arg-type]
