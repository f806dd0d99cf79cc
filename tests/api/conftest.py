"""A real server with the tiny pipeline, and callers of its doors: programs, visitors, anybody."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from PIL import Image, ImageDraw

from tests import tiny
from tests.api import leaks
from tests.e2e.server import Server

MANY_STEPS = 200
SECRET = "a-secret-of-this-test-run-0123456789"  # noqa: S105
OTHER_SECRET = "somebody-else-entirely-0123456789"  # noqa: S105
HF_TOKEN = "hf_thisMustNeverBeSeenAnywhere0123"  # noqa: S105
leaks.SECRETS |= {SECRET, OTHER_SECRET, HF_TOKEN}
WAIT_S = 120.0
LONG = {"num_inference_steps": MANY_STEPS, "width": 128, "height": 128, "num_frames": 33}
"""Some seconds on an idle machine: time enough to stop it."""


class ApiServer(Server):
    """The same app with more room, and with a Hub token that nobody may ever read."""

    more: ClassVar[dict[str, str]] = {
        "KINORA_MAX_JOBS_PER_VISITOR": "60",
        "KINORA_CLIPS_PER_MINUTE": "0",
        "HF_TOKEN": HF_TOKEN,
    }

    def __init__(self, data_dir: Path, models_dir: Path, **more: str) -> None:
        self.given = self.more | more
        self.models = models_dir
        super().__init__(data_dir, models_dir)

    def start(self) -> None:
        self.environment |= self.given
        super().start()

    def stop(self) -> None:
        super().stop()
        said = self.log.read_bytes()
        for secret in leaks.SECRETS:
            assert secret.encode() not in said, "the server's log holds a key or a token"


@pytest.fixture(autouse=True, scope="session")
def traffic() -> Iterator[leaks.Traffic]:
    """Every answer that any test here gets is read: it holds no path, no traceback, no token."""
    with leaks.watched() as seen:
        yield seen


@pytest.fixture(scope="session")
def api_models_dir(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    folder = tmp_path_factory.mktemp("api-models")
    limits = tiny.CARD["limits"] | {"max_steps": MANY_STEPS}  # type: ignore[operator]
    tiny.write_card(folder, tiny_repo, limits=limits)
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, api_models_dir: Path) -> Iterator[ApiServer]:
    running = ApiServer(tmp_path_factory.mktemp("api") / "data", api_models_dir)
    yield running
    running.stop()


Connect = Callable[..., httpx.Client]


@pytest.fixture
def connect(server: ApiServer) -> Iterator[Connect]:
    opened: list[httpx.Client] = []

    def connect(secret: str | None = None, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        client = httpx.Client(
            base_url=server.url, headers=headers, timeout=60, trust_env=False, **options
        )
        opened.append(client)
        return client

    yield connect
    for client in opened:
        client.close()


@pytest.fixture
def me(connect: Connect) -> httpx.Client:
    return connect(SECRET)


@pytest.fixture
def other(connect: Connect) -> httpx.Client:
    return connect(OTHER_SECRET)


@pytest.fixture
def anyone(connect: Connect) -> httpx.Client:
    return connect()


def make(client: httpx.Client, **body: Any) -> dict[str, Any]:
    """Ask for a clip, and wait until it has ended."""
    asked = {"prompt": "a dog", "num_inference_steps": 2} | body
    answer = client.post("/api/generate", json=asked)
    assert answer.status_code == 202, answer.text
    return ended(client, answer.json()["job_id"])


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        job = client.get(f"/api/jobs/{job_id}").json()
        if job["state"] in ("succeeded", "failed", "cancelled"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"still {job['state']} after {WAIT_S:g} s")


def running(client: httpx.Client, **body: Any) -> str:
    """A clip that is being made, and goes on for a while."""
    asked = {"prompt": "a long one", **LONG} | body
    job_id = client.post("/api/generate", json=asked).json()["job_id"]
    until = time.monotonic() + WAIT_S
    while client.get(f"/api/jobs/{job_id}").json()["step"] == 0:
        assert time.monotonic() < until
        time.sleep(0.02)
    return job_id


@pytest.fixture(scope="session")
def png() -> bytes:
    """Wide, with a red ball left."""
    image = Image.new("RGB", (320, 160), "#7fb8ff")
    ImageDraw.Draw(image).ellipse((20, 40, 100, 120), fill="#ff2222")
    kept = io.BytesIO()
    image.save(kept, "PNG")
    return kept.getvalue()


def is_error(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Checks the one shape that every error has, and returns it."""
    body = answer.json()
    assert answer.status_code == status, body
    assert {"error", "message", "details", "timestamp", "request_id"} <= set(body), body
    assert set(body) <= {"error", "message", "details", "timestamp", "request_id", "action"}
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["error"] == code, body
    assert body["message"].endswith((".", "?"))
    return body
