"""The real server under attack: what must never leave it, and paths that lead nowhere."""

from __future__ import annotations

import http.client
import random
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.api import leaks
from tests.api.conftest import HF_TOKEN, SECRET, ApiServer, Connect, make, running

HEADS = (
    "/api/result/", "/api/status/", "/api/jobs/", "/v1/videos/", "/results/", "/status/",
    "/kinora/jobs/", "/kinora/given/", "/api/batches/", "/gradio_api/file=", "/file=", "/static/",
)  # fmt: skip
STEPS = ("..", "%2e%2e", "..%2f", "%2e%2e%2f", "....//", "..%5c", "%252e%252e", "..;", "%00", ".")
GOALS = (
    "etc/passwd",
    "etc/hostname",
    "kinora.db",
    "secret",
    ".env",
    "settings.py",
    "proc/self/environ",
)
KNOWN = (
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file=http://169.254.169.254/latest/meta-data/",
    "/gradio_api/file=http://127.0.0.1:22/",
    "/gradio_api/proxy=https://example.org/",
    "/file=/etc/passwd",
    "/file/../../../../etc/passwd",
    "/custom_component/../../etc/passwd",
    "/gradio_api/custom_component/x/../../../../etc/passwd",
    "/theme.css/../../etc/passwd",
    "/static/../../../etc/passwd",
    "/assets/..%2f..%2f..%2fetc%2fpasswd",
    "/gradio_api/upload_progress?upload_id=../../x",
    "/?deep_link=../../../../etc/passwd",
    "/gradio_api/deep_link?session_hash=../../x",
    "//example.org/%2f..",
    "/api/docs/../../etc/passwd",
)
NEVER = (b"root:x:0", b"SQLite format 3", b"KINORA_DATA_DIR", b"def main", HF_TOKEN.encode())


def raw_get(server: ApiServer, path: str) -> tuple[int, bytes]:
    """As it is written: no client tidies the path."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.putrequest("GET", path, skip_accept_encoding=True)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(200_000)
    finally:
        connection.close()


def attacks(count: int) -> list[str]:
    chance = random.Random(20)
    made: list[str] = [*KNOWN]
    while len(made) < count:
        up = "/".join(chance.choices(STEPS, k=chance.randint(1, 8)))
        path = f"{chance.choice(HEADS)}{chance.choice(('', '/', '0' * 32 + '/'))}{up}/"
        path += chance.choice(GOALS)
        made.append(path if chance.random() < 0.6 else quote(path, safe="/%"))
    return made


def check_paths(server: ApiServer, paths: list[str]) -> None:
    for path in paths:
        status, body = raw_get(server, path)
        assert status < 500, f"{path}: {status}"
        for secret in NEVER:
            assert secret not in body, path
        assert not leaks.leaks_in(body), path


def test_no_path_leads_out_of_the_house(server: ApiServer) -> None:
    check_paths(server, attacks(150))


@pytest.mark.slow
def test_two_thousand_paths_lead_nowhere(server: ApiServer) -> None:
    check_paths(server, attacks(2000))


def test_what_is_there_and_what_is_not_look_the_same(me: httpx.Client, other: httpx.Client) -> None:
    """No oracle: somebody else's clip answers as one that never was."""
    theirs = make(me)["job_id"]
    for path in ("/api/jobs/{}", "/api/result/{}", "/api/status/{}", "/status/{}", "/results/{}"):
        real, none = (other.get(path.format(i)) for i in (theirs, "0" * 32))
        assert real.status_code == none.status_code == 404
        own = {"timestamp": "", "request_id": ""}
        assert real.json() | own == none.json() | own


def test_no_token_and_no_key_is_ever_seen(server: ApiServer, me: httpx.Client, png: bytes) -> None:
    job_id = running(me)
    seen = b""
    for path in ("/", "/config", "/api/models", "/api/jobs", "/health", "/metrics", "/api/docs",
                 "/api/openapi.json", "/gradio_api/info", f"/api/jobs/{job_id}"):  # fmt: skip
        seen += me.get(path).content
    for answer in (
        me.post("/api/generate", content=b"{"),
        me.post("/api/generate", json={"prompt": "a", "model": "x"}),
        me.post("/generate", files={"image": ("a.png", b"broken")}),
        me.get(f"/api/result/{job_id}"),
        me.post("/gradio_api/call/text_to_video", json={"data": []}),
    ):
        seen += answer.content + str(answer.headers).encode()
    me.post(f"/api/jobs/{job_id}/cancel")
    said = server.log.read_bytes()
    for secret in (HF_TOKEN, SECRET):
        assert secret.encode() not in seen
        assert secret.encode() not in said
    for trace in (b"Traceback", b"site-packages", str(Path(__file__).parents[2]).encode()):
        assert trace not in seen


def test_a_caller_cannot_choose_their_address(connect: Connect) -> None:
    """uvicorn would believe a neighbour on this machine; we do not."""
    body = {"prompt": "a", "num_inference_steps": 2}
    key = {"Idempotency-Key": f"address-{time.time_ns()}"}
    jobs = {
        connect()
        .post("/api/generate", json=body, headers=key | {"X-Forwarded-For": address})
        .json()["job_id"]
        for address in ("203.0.113.1", "203.0.113.2", "10.0.0.1, 203.0.113.3")
    }
    assert len(jobs) == 1


def test_the_page_and_gradios_own_routes_still_work(anyone: httpx.Client) -> None:
    assert "gradio" in anyone.get("/").text
    assert anyone.get("/gradio_api/info").json()["named_endpoints"]
    joined = anyone.post("/gradio_api/call/health", json={"data": []})
    assert joined.json()["event_id"]


@pytest.mark.parametrize("kind", ["truncated", "bits", "polyglot", "huge"])
def test_broken_pictures_are_refused_with_a_sentence(
    me: httpx.Client, png: bytes, kind: str
) -> None:
    chance = random.Random(3)
    for _ in range(8):
        data = bytearray(png)
        match kind:
            case "truncated":
                data = data[: chance.randint(1, len(data) - 20)]
            case "bits":
                for _ in range(20):
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            case "polyglot":
                data = bytearray(b"<html><script>" + bytes(data))
            case "huge":  # the header says 60000 x 60000
                data[16:24] = (60000).to_bytes(4, "big") * 2
        answer = me.post(
            "/api/generate",
            data={"num_inference_steps": "1"},
            files={"image": ("a.png", bytes(data))},
        )
        assert answer.status_code in (202, 413, 422), answer.text
        if answer.status_code == 202:
            me.post(f"/api/jobs/{answer.json()['job_id']}/cancel")
        else:
            assert answer.json()["message"]
