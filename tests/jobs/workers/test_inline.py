"""The inline executor: in this process, and rehearsed as it runs on ZeroGPU.

The rehearsal has the real `spaces` fork real processes, in a real Gradio app called by a real
client; only the service that lends GPUs is a stand-in, for that is hardware we do not have.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from gradio_client import Client

from errors import ErrorCode
from jobs.job import State
from jobs.service import JobService
from media.encode import encode
from media.operations.edit_request import read_edit_request
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.jobs.conftest import build_service, stumble_after, until, wait_for_kind
from tests.jobs.finished_clips import sliding
from tests.media.provenance.test_signing_files import validated
from tests.unsigned import without_credentials

SHORT = GenerationRequest(prompt="a dog", seed=3)
LONG = SHORT.model_copy(
    update={"num_inference_steps": 50, "width": 128, "height": 128, "num_frames": 33}
)
MANY_STEPS = 200
"""Of a clip in a fork: longer than a wish takes to get there."""
ME = "visitor:me"

pytestmark = pytest.mark.slow


# -- in this process -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inline(shared_settings: Settings) -> Iterator[JobService]:
    settings = shared_settings.model_copy(update={"executor": "inline"})
    with build_service(settings) as service:
        yield service


def test_a_clip_is_made_in_this_process(inline: JobService, service: JobService) -> None:
    job = inline.submit(SHORT, ME)
    assert [e.kind for e in inline.watch(job.id) if e.kind not in ("preview", "loading")] == [
        *("queued", "started", "step", "step", "step", "step"),
        *("decoding", "encoding", "succeeded"),
    ]
    assert inline.preview(job.id)
    there = service.submit(SHORT, ME)
    list(service.watch(there.id))
    made = ((inline, job), (service, there))
    clips = [without_credentials(s.clip_path(j.id)) for s, j in made]
    assert clips[0] == clips[1]  # the same frames through both executors
    for executor, each in made:
        assert validated(executor.clip_path(each.id))["validation_state"] == "Valid"


def test_clips_never_overlap(inline: JobService) -> None:
    jobs = [inline.submit(SHORT, f"visitor:{n}") for n in range(3)]
    spans: list[tuple[float, float]] = []
    for job in jobs:
        log = {e.kind: e.at for e in inline.watch(job.id)}
        spans.append((log["started"], log["succeeded"]))
    spans.sort()
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False))  # noqa: RUF007


def test_both_stop_buttons_work(inline: JobService) -> None:
    discarded = inline.submit(LONG, ME)
    wait_for_kind(inline, discarded.id, "step", count=2)
    inline.cancel(discarded.id)
    assert [e.kind for e in inline.watch(discarded.id)][-1] == "cancelled"
    assert not inline._lifecycle.folder(discarded.id).exists()

    finished = inline.submit(LONG, ME)
    wait_for_kind(inline, finished.id, "step", count=2)
    inline.finish(finished.id)
    assert [e.kind for e in inline.watch(finished.id)][-1] == "succeeded"
    result = inline.get(finished.id).result
    assert result and result.finished_early and (result.steps_done or 99) < 50


def test_closing_gives_the_clip_back_to_the_queue(tiny_settings: Settings) -> None:
    settings = tiny_settings.model_copy(update={"executor": "inline"})
    with build_service(settings) as service:
        job = service.submit(LONG, ME)
        wait_for_kind(service, job.id, "step")
        service.close(grace_s=0.2)
    with build_service(settings) as service:
        assert service.get(job.id).state in (State.QUEUED, State.RUNNING)
        service.cancel(job.id)
        assert [e.kind for e in service.watch(job.id)][-1] == "cancelled"


def test_an_edit_is_made_beside_a_clip(inline: JobService, tmp_path: Path) -> None:
    path = encode(sliding(24, 64, 96), tmp_path / "a.mp4", fps=8).path
    filmed = inline.store_clip_to_edit(path, ME).id
    clip = inline.submit(LONG, ME)
    wait_for_kind(inline, clip.id, "step")
    request = {"clips": [filmed], "operations": [{"op": "reverse"}]}
    edit = inline.submit_edit(read_edit_request(request), ME)
    log = {e.kind: e.at for e in inline.watch(edit.id)}
    assert "succeeded" in log
    inline.cancel(clip.id)
    assert log["started"] < [e.at for e in inline.watch(clip.id)][-1]


@pytest.mark.parametrize("kind", ["started", "step", "succeeded"])
def test_a_stumble_right_after_a_change_costs_no_clip(inline: JobService, kind: str) -> None:
    stumble_after(kind, inline, SHORT)


# -- on ZeroGPU ----------------------------------------------------------------------------------


class FakeGpuApi(ThreadingHTTPServer):
    """Stands in for the service that grants GPUs on ZeroGPU; records its requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), GpuApiHandler)
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.quota_left = True
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def requests_to(self, path: str) -> list[dict[str, str]]:
        with self.lock:
            return [query for called, query in self.calls if called == path]


class GpuApiHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        gpu_api = self.server
        assert isinstance(gpu_api, FakeGpuApi)
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        with gpu_api.lock:
            gpu_api.calls.append((url.path, query))
            number = len(gpu_api.calls)
        body: dict[str, Any] = {}
        status = 200
        if url.path == "/schedule" and gpu_api.quota_left:
            token = f"token-{number}"
            body = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-x", "allowToken": token}
        elif url.path == "/schedule":
            status, body = 429, {"left": 3, "wait": 3600}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def gpu_api() -> Iterator[FakeGpuApi]:
    with FakeGpuApi() as gpu_api:
        thread = threading.Thread(target=gpu_api.serve_forever)
        thread.start()
        yield gpu_api
        gpu_api.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def space(
    gpu_api: FakeGpuApi, tiny_repo: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of the app, as it runs on a ZeroGPU Space."""
    models = tmp_path_factory.mktemp("space-models")
    limits = tiny.CARD["limits"] | {"max_steps": MANY_STEPS}  # type: ignore[operator]
    tiny.write_card(models, tiny_repo, limits=limits)
    env = os.environ | {
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": gpu_api.url,
        "KINORA_DATA_DIR": str(tmp_path_factory.mktemp("space") / "data"),
        "KINORA_MODELS_DIR": str(models),
        "KINORA_MAX_JOBS_PER_VISITOR": "50",
        "HF_HUB_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "OMP_NUM_THREADS": "2",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.zerogpu_app"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    ) as app:
        assert app.stdout
        for line in app.stdout:
            if line.startswith("URL"):
                break
        assert app.poll() is None
        yield line.split()[1]
        app.terminate()
        try:
            app.wait(30)
        finally:
            app.kill()


TOKEN = ".".join(base64.urlsafe_b64encode(b"{}").decode().rstrip("=") for _ in range(3))


@pytest.fixture
def client(space: str) -> Iterator[Client]:
    client = Client(
        space,
        verbose=False,
        headers={"x-ip-token": TOKEN},
        httpx_kwargs={"timeout": 60},
        analytics_enabled=False,
    )
    yield client
    client.close()


class Made:
    """One clip asked for through the client."""

    def __init__(self, client: Client, steps: int = 4, seed: int = 3) -> None:
        self.client = client
        self.call = client.submit(seed, steps, api_name="/make")
        until(lambda: bool(self.call.outputs()))
        self.job_id = json.loads(str(self.call.outputs()[0]))["job"]

    def look(self, what: str = "look") -> dict[str, Any]:
        return json.loads(self.client.predict(self.job_id, what, api_name="/ask"))

    def wait(self, kind: str, count: int = 1) -> None:
        until(lambda: self.look()["kinds"].count(kind) >= count)

    def end(self) -> dict[str, Any]:
        until(lambda: State(self.look()["state"]).ended)
        return self.look()


def test_a_clip_is_made_in_a_fork_with_the_visitors_own_quota(
    client: Client, gpu_api: FakeGpuApi
) -> None:
    gpu_api.calls.clear()
    made = Made(client)
    assert made.end()["state"] == "succeeded"
    until(lambda: bool(gpu_api.requests_to("/release")))
    (scheduled,) = gpu_api.requests_to("/schedule")
    assert scheduled["token"] == TOKEN
    assert 10 <= int(scheduled["durationSeconds"]) <= 360
    (allowed,) = gpu_api.requests_to("/allow")
    assert int(allowed["pid"]) != os.getpid()
    assert "step" in made.look()["kinds"]
    assert "preview" in made.look()["kinds"]
    shown = [json.loads(str(output))["kind"] for output in made.call.outputs()]
    assert shown[0] == "queued"
    assert shown[-1] == "succeeded"


def test_the_time_asked_for_follows_the_request(client: Client, gpu_api: FakeGpuApi) -> None:
    gpu_api.calls.clear()
    for steps in (2, MANY_STEPS):
        assert Made(client, steps=steps).end()["state"] == "succeeded"
    few, many = (int(call["durationSeconds"]) for call in gpu_api.requests_to("/schedule"))
    assert few < many


def test_discard_and_finish_reach_into_the_fork(client: Client) -> None:
    discarded = Made(client, steps=MANY_STEPS)
    discarded.wait("step", 2)
    discarded.look("discard")
    assert discarded.end()["state"] == "cancelled"
    assert discarded.look()["kinds"].count("step") < MANY_STEPS

    finished = Made(client, steps=MANY_STEPS)
    finished.wait("step", 2)
    finished.look("finish")
    end = finished.end()
    assert end["state"] == "succeeded"
    assert end["result"]["finished_early"]


def test_a_clip_goes_on_when_its_page_is_closed(client: Client) -> None:
    made = Made(client, steps=50)
    made.wait("step", 2)
    made.call.cancel()
    end = made.end()
    assert end["state"] == "succeeded"
    assert end["kinds"].count("step") == 50


def test_the_gpu_is_asked_for_once_at_a_time(client: Client, gpu_api: FakeGpuApi) -> None:
    until(lambda: len(gpu_api.requests_to("/release")) == len(gpu_api.requests_to("/allow")))
    gpu_api.calls.clear()
    clips = [Made(client, seed=seed) for seed in range(3)]
    assert [clip.end()["state"] for clip in clips] == ["succeeded"] * 3
    until(lambda: len(gpu_api.requests_to("/release")) == 3)
    order = [path for path, _ in gpu_api.calls]
    assert order == ["/schedule", "/allow", "/release"] * 3


def test_a_clip_that_nobody_drives_waits_and_holds_nobody_up(client: Client) -> None:
    left = client.predict(1, api_name="/submit_only")
    assert Made(client).end()["state"] == "succeeded"
    assert json.loads(client.predict(left, "look", api_name="/ask"))["state"] == "queued"
    assert json.loads(client.predict(left, "discard", api_name="/ask"))["state"] == "cancelled"


def test_a_killed_gpu_task_is_done_again(client: Client, gpu_api: FakeGpuApi) -> None:
    gpu_api.calls.clear()
    made = Made(client, steps=MANY_STEPS)
    made.wait("step", 2)
    os.kill(int(gpu_api.requests_to("/allow")[0]["pid"]), signal.SIGKILL)
    end = made.end()
    assert end["state"] == "succeeded"
    assert end["kinds"].count("requeued") == 1
    first, second = (int(call["durationSeconds"]) for call in gpu_api.requests_to("/schedule"))
    assert second > first  # it may have been ended for taking too long


def test_without_quota_left_the_visitor_is_told_so(client: Client, gpu_api: FakeGpuApi) -> None:
    gpu_api.quota_left = False
    try:
        end = Made(client).end()
    finally:
        gpu_api.quota_left = True
    assert end["state"] == "failed"
    assert end["error"]["error"] == ErrorCode.RATE_LIMITED.value
    assert "quota" in end["error"]["message"]
    assert Made(client).end()["state"] == "succeeded"
