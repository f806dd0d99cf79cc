"""Whatever goes wrong, a caller hears a code of the closed list, a sentence, and what to call it.

Every answer of every API test is read (tests/api/leaks.py); here are the ones that go wrong, at
every door, and clips that fail in many ways.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from errors import ErrorCode
from tests import tiny
from tests.api import leaks
from tests.api.conftest import HF_TOKEN, MANY_STEPS, SECRET, ApiServer, ended, running
from tests.api.test_tools import call, over_mcp
from tests.goals import Goal

CODES = {code.value for code in ErrorCode}
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
ALLOWED_S, UP_S = 30.0, 300.0
API_KEY = "a-key-of-the-operator-0123456789"
leaks.SECRETS.add(API_KEY)


@pytest.fixture(scope="module")
def broken_models(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    """A sound model, and some that each fail in their own way."""
    folder = tmp_path_factory.mktemp("broken-models")
    limits = tiny.CARD["limits"] | {"max_steps": MANY_STEPS}  # type: ignore[operator]
    tiny.write_card(folder, tiny_repo, limits=limits)
    tiny.write_card(folder, folder / "nowhere", id="absent", name="Absent")
    for name in ("cut", "pickled", "foreign"):
        shutil.copytree(tiny_repo, folder / "repos" / name)
        tiny.write_card(folder, folder / "repos" / name, id=name, name=name.title())
    cut, pickled = (folder / "repos" / name / WEIGHTS for name in ("cut", "pickled"))
    cut.write_bytes(cut.read_bytes()[:3000])
    pickled.rename(pickled.with_suffix(".bin"))
    index = folder / "repos" / "foreign" / "model_index.json"
    index.write_text(index.read_text().replace("LTXVideoTransformer3DModel", "NoSuchModel"))
    return folder


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory, broken_models: Path) -> Iterator[ApiServer]:
    data = tmp_path_factory.mktemp("failing") / "data"
    server = ApiServer(
        data, broken_models, REQUEST_TIMEOUT=f"{ALLOWED_S:g}", KINORA_API_KEYS=f"ci:{API_KEY}"
    )
    yield server
    server.stop()


@pytest.fixture
def ci(failing: ApiServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=failing.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


def signal_workers(server: ApiServer, what: signal.Signals) -> None:
    assert server.process is not None
    for child in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if "resource_tracker" not in " ".join(child.cmdline()):
                os.kill(child.pid, what)


def failures(server: ApiServer, client: httpx.Client) -> dict[str, str]:
    """Clips that fail, by what was done to them."""
    until = time.monotonic() + UP_S
    while client.get("/ready").status_code != 200:
        assert time.monotonic() < until, "the worker does not come up"
        time.sleep(0.2)
    quick = {"prompt": "a", "num_inference_steps": 2, "allow_fallback": False}
    asked = {
        f"model {name}": client.post("/api/generate", json=quick | {"model": name})
        for name in ("absent", "cut", "pickled", "foreign")
    }
    made = {}
    for name, answer in asked.items():
        assert answer.status_code == 202, answer.text
        made[name] = answer.json()["job_id"]
        ended(client, made[name])
    made["worker killed twice"] = job_id = running(client)
    for attempt in (1, 2):
        wait_for_steps(client, job_id, attempt)
        signal_workers(server, signal.SIGKILL)
    ended(client, job_id)
    made["time over"] = running(client)
    signal_workers(server, signal.SIGSTOP)
    time.sleep(ALLOWED_S + 1)
    signal_workers(server, signal.SIGCONT)
    ended(client, made["time over"])
    made["discarded"] = running(client)
    client.post(f"/api/jobs/{made['discarded']}/cancel")
    return made


def wait_for_steps(client: httpx.Client, job_id: str, attempt: int) -> None:
    """Until the clip is being sampled for the first or second time."""
    begun = 0
    with client.stream("GET", f"/api/jobs/{job_id}/events") as stream:
        for line in stream.iter_lines():
            begun += line == "event: started"
            if begun == attempt and line == "event: step":
                return
    raise AssertionError(f"it ended before attempt {attempt}")


def check_error(error: Any) -> str:
    """One shape everywhere; returns the code."""
    assert error["error" if "error" in error else "code"] in CODES, error
    assert error["message"].endswith((".", "?")), error
    return error.get("error") or error["code"]


@pytest.mark.slow
@pytest.mark.goal("G18")
def test_a_clip_that_failed_says_why_at_every_door(
    failing: ApiServer, ci: httpx.Client, goal: Goal
) -> None:
    codes: dict[str, str] = {}
    without = 0
    for what, job_id in failures(failing, ci).items():
        job = ended(ci, job_id)
        assert job["state"] in ("failed", "cancelled"), (what, job)
        status = ci.get(f"/api/status/{job_id}").json()
        error = status["error"]
        codes[what] = check_error(error)
        without += error.get("request_id") != job_id
        assert check_error(ci.get(f"/v1/videos/{job_id}").json()["error"]) == codes[what]
        assert check_error(ci.get(f"/status/{job_id}").json()["error"]) == codes[what]
        fetched = ci.get(f"/api/result/{job_id}")
        assert check_error(fetched.json()) == "conflict"
        events = ci.get(f"/api/jobs/{job_id}/events").text
        last = json.loads(events.strip().rpartition("data: ")[2])
        assert last["job_id"] == job_id
        told = over_mcp(failing, lambda s, j=job_id: call(s, "clip_state", job_id=j), API_KEY)
        assert told["state"] == job["state"]
    print(codes)
    assert codes["worker killed twice"] == "worker_lost"
    assert codes["time over"] == "timeout"
    assert codes["discarded"] == "cancelled"
    assert codes["model pickled"] == "model_refused"
    goal.count("ways to fail", len(codes), at_least=7)
    goal.count("failed clips without a request id", without, at_most=0)
    goal.count("different codes", len(set(codes.values())), at_least=5)


WRONG: list[tuple[str, str, dict[str, Any]]] = [
    (method, path, body)
    for path in (
        "/api/generate", "/api/estimate", "/api/batches", "/api/verify", "/generate", "/v1/videos",
        "/api/video/text-to-video", "/v1/videos/x/remix", "/api/jobs/x/finish", "/api/nothing",
        "/kinora/pictures", "/kinora/videos", "/kinora/jobs/x/discard", "/gradio_api/queue/join",
        "/gradio_api/call/text_to_video", "/gradio_api/upload", "/gradio_api/reset",
    )
    for method, body in (
        ("POST", {"content": b"{"}),
        ("POST", {"content": b"[" * 100_000}),
        ("POST", {"content": b"\xff\xfe\x00", "headers": {"Content-Type": "application/json"}}),
        ("POST", {"content": b"{\"prompt\": {\"a\": [1]}, \"seed\": 1e400, \"data\": \"x\"}"}),
        ("POST", {"json": {"prompt": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")}}),
        ("POST", {"files": {"image": ("a.png", b"broken"), "video": ("a", b"")}}),
        ("POST", {"data": {"prompt": "\0", "width": "9" * 5000}}),
        ("PUT", {"content": b"x"}),
        ("DELETE", {}),
        ("PATCH", {"headers": {"Range": "bytes=9-1", "Last-Event-ID": "-1"}}),
    )
]  # fmt: skip
WRONG += [
    ("GET", path, {"headers": {"X-Forwarded-Host": host}})
    for path in ("/", "/config", "/gradio_api/info")
    for host in ("127.000.000.1:1", "[::1", "a b", "x" * 9000, "%00")
]


@pytest.mark.goal("G18")
def test_what_cannot_be_done_is_said_in_one_shape(
    server: ApiServer, me: httpx.Client, traffic: leaks.Traffic, goal: Goal
) -> None:
    errors, without = 0, 0
    for method, path, body in WRONG:
        answer = me.request(method, path, **body)
        assert answer.status_code < 500, (method, path, answer.text)
        assert answer.headers["x-request-id"]
        if answer.status_code < 400 or path.startswith(("/gradio_api", "/kinora")):
            continue
        said = answer.json()
        error = said["error"] if isinstance(said["error"], dict) else said
        errors += 1
        without += said.get("request_id") != answer.headers["x-request-id"]
        check_error(error)
    goal.count("errors provoked", errors, at_least=80)
    goal.count("errors without a request id", without, at_most=0)
    goal.count("answers read for leaks", traffic.answers, at_least=150)
    goal.count("answers with a path, traceback or token", len(traffic.leaks), at_most=0)
    said = server.log.read_bytes()
    seen = sum(secret.encode() in said for secret in (SECRET, HF_TOKEN, API_KEY))
    goal.count("keys and tokens in the log", seen, at_most=0)


@pytest.mark.parametrize(
    "text",
    [
        b'{"message": "Traceback (most recent call last)"}',
        b'{"detail": "/usr/lib/python3/site-packages/x.py"}',
        b"[Errno 2] No such file",
        f'{{"a": "{tiny.__file__}"}}'.encode(),
        b"postgresql://kinora:secret@db/kinora",
        HF_TOKEN.encode(),
        SECRET.encode(),
        b"KeyError('x')",
    ],
)
def test_a_leak_is_seen(text: bytes) -> None:
    """Else the reading would prove nothing."""
    assert leaks.leaks_in(text)
