"""The nginx configuration of docs/deploy.md, taken from there and run with a real nginx."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from settings import ROOT
from tests import programs
from tests.api.conftest import SECRET, ApiServer
from tests.jobs.fake_engine_app import FakeEngineApp
from tests.ports import free_port

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
WHOLE, PART = re.findall(r"^```nginx\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MAX_BYTES = 100_000_000


class Proxy:
    """One nginx before one server."""

    def __init__(self, folder: Path, config: str, behind: str) -> None:
        folder.mkdir(parents=True)
        key, certificate = folder / "privkey.pem", folder / "fullchain.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.context = ssl.create_default_context(cafile=str(certificate))
        port, plain = free_port(), free_port()
        self.url, self.plain_url = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{plain}"
        site = config.replace("/etc/letsencrypt/live/kinora.example.org", str(folder))
        for before, after in (
            ("listen 443", f"listen 127.0.0.1:{port}"),
            ("listen 80;", f"listen 127.0.0.1:{plain};"),
            ("http://127.0.0.1:7860", behind),
        ):
            assert before in site
            site = site.replace(before, after)
        temporary = "".join(
            f"{kind}_temp_path {folder / kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        whole = f"{user} daemon off; pid {folder / 'pid'}; events {{}}\nhttp {{ access_log off;\n"
        (folder / "nginx.conf").write_text(f"{whole}{temporary}{site}}}\n")
        command = [
            programs.program("nginx"),
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-e",
            "stderr",
        ]
        subprocess.run([*command, "-t", "-q"], check=True)
        self.process = subprocess.Popen(command)
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            try:
                if httpx.get(self.plain_url, trust_env=False).is_redirect:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        self.close()
        raise AssertionError("nginx does not answer")

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, verify=self.context, headers=headers, timeout=120, trust_env=False
        )

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, server: ApiServer) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path_factory.mktemp("nginx") / "whole", WHOLE, server.url)
    yield proxy
    proxy.close()


@pytest.fixture
def page(proxy: Proxy) -> Iterator[httpx.Client]:
    """As the page in a browser asks."""
    with proxy.client(**{"X-Kinora": "1", "Origin": proxy.url}) as client:
        yield client


@pytest.fixture
def program(proxy: Proxy) -> Iterator[httpx.Client]:
    with proxy.client(Authorization=f"Bearer {SECRET}") as client:
        yield client


def picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 60)).save(file, "png")
    return file.getvalue()


def test_the_page_comes_over_https_with_its_own_address(proxy: Proxy, page: httpx.Client) -> None:
    answer = page.get("/", headers={"Accept": "text/html"})
    assert answer.status_code == 200 and "Kinora" in answer.text
    assert proxy.url in answer.text, "Gradio calls itself by the address that was asked for"
    assert answer.headers["strict-transport-security"]
    cookie = answer.headers["set-cookie"]
    assert "Secure" in cookie and "SameSite=Lax" in cookie
    assert httpx.get(proxy.plain_url, trust_env=False).headers["location"].startswith("https://")
    assert page.get("/metrics").status_code == 404


def test_the_page_may_use_its_own_routes_and_gradios(page: httpx.Client) -> None:
    page.get("/")
    assert page.post("/kinora/pictures", content=picture()).status_code == 200
    assert page.get("/gradio_api/info").status_code == 200
    joined = page.post("/gradio_api/call/health", json={"data": []})
    assert joined.status_code == 200, joined.text
    with page.stream("GET", f"/gradio_api/call/health/{joined.json()['event_id']}") as events:
        assert "event: complete" in "".join(events.iter_text())


def test_progress_is_not_held_back_and_a_clip_is_read_in_parts(program: httpx.Client) -> None:
    body = {"prompt": "a dog", "num_inference_steps": 200, "num_frames": 33}
    job_id = program.post("/api/generate", json=body).json()["job_id"]
    with program.stream("GET", f"/api/jobs/{job_id}/events") as events:
        for line in events.iter_lines():
            if line.startswith("event: step"):
                break
        status = program.get(f"/api/status/{job_id}").json()["status"]
        assert status == "running", "the step was here while the clip was being made"
    program.post(f"/api/jobs/{job_id}/cancel")

    short = body | {"num_inference_steps": 1, "num_frames": 5}
    job_id = program.post("/api/generate", json=short).json()["job_id"]
    with program.stream("GET", f"/api/jobs/{job_id}/events") as events:
        assert "succeeded" in "".join(events.iter_text())
    part = program.get(f"/api/result/{job_id}", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")


def test_uploads_of_the_largest_size_reach_us(page: httpx.Client) -> None:
    page.get("/")
    answer = page.post("/kinora/videos", content=bytes(MAX_BYTES))
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_video"), "zeros"


def test_what_is_far_too_large_is_refused_as_such(page: httpx.Client) -> None:
    page.get("/")
    assert page.post("/kinora/videos", content=bytes(MAX_BYTES * 12 // 10)).status_code == 413


def test_a_proxy_that_changes_the_host_is_named_in_the_answer_and_the_log(
    tmp_path: Path, server: ApiServer
) -> None:
    wrong = WHOLE.replace("        proxy_set_header Host $http_host;\n", "")
    proxy = Proxy(tmp_path / "nginx", wrong, server.url)
    try:
        with proxy.client(**{"X-Kinora": "1", "Origin": proxy.url}) as page:
            for more in ({"Sec-Fetch-Site": "same-origin"},):
                for path in ("/kinora/pictures", "/gradio_api/call/health", "/api/generate"):
                    answer = page.post(path, content=picture(), headers=more)
                    assert answer.status_code in (403, 404)
                    assert "must pass on the header Host" in answer.json()["message"]
                    assert proxy.url.removeprefix("https://") in answer.json()["message"]
    finally:
        proxy.close()
    assert "must pass on the header Host" in server.log.read_text()


def test_a_proxy_that_hides_https_is_named_in_the_log(tmp_path: Path, server: ApiServer) -> None:
    wrong = WHOLE.replace("        proxy_set_header X-Forwarded-Proto $scheme;\n", "")
    proxy = Proxy(tmp_path / "nginx", wrong, server.url)
    try:
        with proxy.client(**{"X-Kinora": "1", "Origin": proxy.url}) as page:
            assert page.post("/kinora/pictures", content=picture()).status_code == 200
    finally:
        proxy.close()
    said = f"The page is open at {proxy.url}, but the proxy says nothing of https."
    assert said in server.log.read_text()


@pytest.mark.slow
def test_a_part_of_a_site_is_enough(tmp_path: Path) -> None:
    start, end = WHOLE.index("    location / {"), WHOLE.index("}\n\nserver {")
    server = FakeEngineApp(tmp_path / "app", GRADIO_ROOT_PATH="/clips")
    proxy = Proxy(tmp_path / "nginx", WHOLE[:start] + PART + WHOLE[end:], server.url)
    try:
        with proxy.client(**{"X-Kinora": "1", "Origin": proxy.url}) as page:
            answer = page.get("/clips/", headers={"Accept": "text/html"})
            assert answer.status_code == 200 and f"{proxy.url}/clips" in answer.text
            assets = re.findall(r'(?:src|href)="(\./[^"]+\.(?:js|css))"', answer.text)
            assert assets
            for asset in assets[:3]:
                assert page.get(f"/clips/{asset.removeprefix('./')}").status_code == 200
            assert page.post("/clips/kinora/pictures", content=picture()).status_code == 200
            assert page.get("/clips/health").json()["status"] in ("READY", "STARTING")
            assert page.get("/").status_code == 404
    finally:
        proxy.close()
        server.stop()
