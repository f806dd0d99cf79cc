"""The page /verify and the route that takes its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from media.provenance.certificates import self_made_credentials
from media.provenance.signer import ClipSigner
from settings import Settings
from tests.media.provenance.test_signing_files import MAKING, made, signed
from ui.verify_page import VerifyPage
from web.identity import VisitorCookie
from web.languages import COOKIE as LANGUAGE

OURS = {"X-Kinora": "1"}


@pytest.fixture
def client(tiny_settings: Settings) -> TestClient:
    settings = tiny_settings.model_copy(update={"max_video_file_size_mb": 1})
    middleware = [Middleware(VisitorCookie, framed=False)]
    return TestClient(Starlette(routes=VerifyPage(settings).routes(), middleware=middleware))


def test_the_page_and_its_script_are_there(client: TestClient) -> None:
    page = client.get("/verify")
    assert page.headers["content-type"].startswith("text/html")
    (script,) = re.findall(r'<script type="module" src="([^"]+)"', page.text)
    assert not script.startswith("/"), "relative, for proxies that serve the app below a path"
    answer = client.get(f"/{script}")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "FileVerifier" in answer.text and "immutable" in answer.headers["cache-control"]


def test_a_clip_and_the_credentials_beside_it_are_verified(
    client: TestClient, tiny_settings: Settings, tmp_path: Path
) -> None:
    signer = ClipSigner(self_made_credentials(tiny_settings.data_dir / "signing"))
    clip = signed(signer, made(tmp_path)).read_bytes()
    answer = client.post("/kinora/verify", files={"file": ("a.mp4", clip)}, headers=OURS)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["report"]["state"] == "valid"
    assert answer.json()["report"]["signed_by"]["kind"] == "this_installation"
    assert answer.json()["settings"] == {}

    webm = made(tmp_path, "webm")
    sidecar = signer.sign_detached(webm, MAKING)
    files = {"file": ("a.webm", webm.read_bytes()), "credentials": ("a.webm.c2pa", sidecar)}
    answer = client.post("/kinora/verify", files=files, headers=OURS)
    assert answer.json()["report"]["state"] == "valid"


def test_what_cannot_be_verified_is_refused_with_a_sentence(client: TestClient) -> None:
    no_file = client.post("/kinora/verify", files={"other": ("a.mp4", b"x")}, headers=OURS)
    assert (no_file.status_code, no_file.json()["message"]) == (422, "Send the clip as “file”.")
    other_site = client.post("/kinora/verify", files={"file": ("a.mp4", b"x")})
    assert other_site.status_code == 422
    large = {"file": ("a.mp4", b"\0" * 1_200_000)}
    too_large = client.post("/kinora/verify", files=large, headers=OURS)
    assert too_large.status_code == 413 and too_large.json()["message"]
    many = [("file", (f"{n}.mp4", b"x")) for n in range(5)]
    assert client.post("/kinora/verify", files=many, headers=OURS).status_code == 400


def test_the_page_is_in_the_language_of_its_reader(tiny_settings: Settings) -> None:
    settings = tiny_settings.model_copy(update={"terms_url": "https://example.org/terms"})
    client = TestClient(Starlette(routes=VerifyPage(settings).routes()))
    arabic = client.get("/verify", headers={"Accept-Language": "ar"})
    assert '<html lang="ar" dir="rtl">' in arabic.text
    assert "Who signed it" not in arabic.text
    assert "Accept-Language" in arabic.headers["vary"]
    assert "/ar.json" in arabic.headers["link"]
    chosen = client.get("/verify", headers={"Accept-Language": "ar", "Cookie": f"{LANGUAGE}=de"})
    assert "<title>Clip prüfen - Kinora</title>" in chosen.text
    assert '[["Terms", "https://example.org/terms"]]' in chosen.text
    english = client.get("/verify", headers={"Accept-Language": "nl"})
    assert "<h1>Verify a clip</h1>" in english.text and "link" not in english.headers
