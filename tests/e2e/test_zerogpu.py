"""The app on a ZeroGPU Space, rehearsed: `python app.py`, real `spaces`, real forks and a browser.

The Hub's proxy, which writes a token into every request, is played by the clients; the device API,
which grants GPUs, by `tests/jobs/device_api.py`.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from pipelines.models.cards import load_cards
from pipelines.planning import ClipShape, Machine, PlanOptions, plan_for
from pipelines.planning.plan import USABLE
from tests import tiny
from tests.e2e.conftest import watch
from tests.e2e.person import MANY_STEPS, go, press, wait_for_clip, write
from tests.e2e.server import Server
from tests.jobs import device_api
from tests.jobs.conftest import until
from tests.jobs.device_api import DeviceApi

pytestmark = pytest.mark.slow

QUICK = {"prompt": "a dog", "num_inference_steps": 2}
LARGEST = {"width": 128, "height": 128, "num_frames": 33}
TOKENS = itertools.count(1)


def token() -> str:
    """As the Hub's proxy writes it: a JWT, a new one into each request."""
    parts = ({"alg": "none"}, {"n": next(TOKENS)}, {})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return ".".join(part.rstrip("=") for part in encoded)


class Space(Server):
    command: ClassVar[tuple[str, ...]] = ("-m", "tests.jobs.zerogpu_space")

    def __init__(self, folder: Path, models: Path, api: DeviceApi, large_gb: float) -> None:
        self.played = {
            "SPACES_ZERO_GPU": "true",
            "SPACES_ZERO_DEVICE_API_URL": api.url,
            "SPACE_ID": "somebody/kinora",
            "KINORA_TEST_LARGE_GB": str(large_gb),
        }
        super().__init__(folder / "data", models)

    def start(self) -> None:
        self.environment = {**self.environment, **self.played, "KINORA_CLIPS_PER_MINUTE": "0"}
        super().start()


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    """The usual model, which is loaded before launch, and two others: one on the disk and one on
    the Hub, to which the second falls back."""
    folder = tmp_path_factory.mktemp("zerogpu-models")
    limits = tiny.CARD["limits"] | {"max_steps": MANY_STEPS}  # type: ignore[operator]
    over = {"classes": {"v2v": "LTXConditionPipeline"}}
    can = {"tasks": ["t2v", "i2v", "v2v"], "limits": limits, **over}
    tiny.write_card(folder, tiny_repo, **can)
    tiny.write_card(folder, tiny_repo, id="other", name="Other", **can)
    tiny.write_card(folder, Path("far/away"), id="far", name="Far", fallback="other", **can)
    return folder


@pytest.fixture(scope="module")
def device() -> Iterator[DeviceApi]:
    with device_api.running() as api:
        yield api


@pytest.fixture(scope="module")
def space(
    device: DeviceApi, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Space]:
    """Its half GPU is a little too small for the largest clip."""
    card = load_cards(models_dir)["pocket"]
    roomy = Machine(ram_gb=8, free_disk_gb=8, gpu_name="ZeroGPU", vram_gb=48.0)
    usual_gb = plan_for(card, roomy, PlanOptions(offload="none")).vram_gb
    shape = ClipShape(LARGEST["width"], LARGEST["height"], LARGEST["num_frames"])
    tight = Machine(ram_gb=8, free_disk_gb=8, gpu_name="ZeroGPU", vram_gb=0.1)
    largest_gb = plan_for(card, tight, PlanOptions(offload="none"), shape).vram_gb
    assert usual_gb < largest_gb
    large_gb = (usual_gb + largest_gb) / 2 / USABLE
    running = Space(tmp_path_factory.mktemp("zerogpu"), models_dir, device, large_gb)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _nothing_left(device: DeviceApi) -> Iterator[None]:
    device.reset()
    yield
    device.script.clear()
    device.free.set()


class Program:
    """A caller of the API behind the Hub's proxy: each request has a new token."""

    def __init__(self, url: str) -> None:
        secret = {"Authorization": f"Bearer a-secret-of-one-test-{next(TOKENS):08}"}
        self.http = httpx.Client(base_url=url, headers=secret, timeout=60, trust_env=False)
        self.last_token = ""

    def call(self, method: str, path: str, *, lends: bool = True, **more: Any) -> httpx.Response:
        headers = {}
        if lends:
            self.last_token = headers["X-IP-Token"] = token()
        return self.http.request(method, path, headers=headers, **more)

    def make(self, **asked: Any) -> str:
        answer = self.call("POST", "/api/generate", json=QUICK | asked)
        assert answer.status_code == 202, answer.text
        return answer.json()["job_id"]

    def look(self, job_id: str, *, lends: bool = True) -> dict[str, Any]:
        return self.call("GET", f"/api/jobs/{job_id}", lends=lends).json()

    def status(self, job_id: str, *, lends: bool = True) -> dict[str, Any]:
        return self.call("GET", f"/api/status/{job_id}", lends=lends).json()

    def ended(self, job_id: str, *, lends: bool = True) -> dict[str, Any]:
        until(lambda: self.look(job_id, lends=lends)["state"] not in ("queued", "running"))
        return self.look(job_id, lends=lends)

    def kinds(self, job_id: str) -> list[str]:
        """Of an ended clip's events."""
        text = self.call("GET", f"/api/jobs/{job_id}/events", lends=False).text
        return [line[7:] for line in text.splitlines() if line.startswith("event: ")]


@pytest.fixture
def me(space: Space) -> Iterator[Program]:
    program = Program(space.url)
    yield program
    program.http.close()


# -- the page ------------------------------------------------------------------------------------


@pytest.fixture
def page(browser: Browser, space: Space) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(120_000)
    behind_the_proxy(context)
    page = context.new_page()
    trouble: list[str] = []
    foreign: list[str] = []
    watch(page, space.url, trouble, foreign)
    yield go(page, space.url)
    context.close()
    # Gradio complains of the event that a reload cuts off
    assert not [said for said in trouble if not said.startswith(("AbortError", "Unexpected error"))]
    assert not foreign


def behind_the_proxy(context: BrowserContext) -> None:
    def pass_on(route: Route) -> None:
        route.continue_(headers={**route.request.headers, "x-ip-token": token()})

    context.route("**/gradio_api/queue/join*", pass_on)


def generate(page: Page) -> str:
    write(page, "a dog")
    press(page, "Generate")
    page.wait_for_function("store.tabs.t2v.job.value?.id")
    return page.evaluate("store.tabs.t2v.job.value.id")


LEAVE_STAGE = "page.leaveStage(store.tabs.t2v)"


def line(page: Page) -> Any:
    return page.locator("#k-t2v .k-line")


def test_a_page_that_is_reloaded_while_zerogpu_queues_drives_its_clip_again(
    page: Page, device: DeviceApi
) -> None:
    device.script.extend(["queue", "queue"])
    job_id = generate(page)
    expect(line(page)).to_have_text("Waiting for a GPU")
    page.reload()
    while len(device.asked()) < 2:  # the old page's place in the queue was given up
        page.wait_for_timeout(50)
    expect(line(page)).to_have_text("Waiting for a GPU")
    device.free.set()
    assert wait_for_clip(page)["id"] == job_id
    first, second = (call["token"] for call in device.asked())
    assert first != second


def test_a_page_sends_a_new_token_by_itself_when_the_old_one_has_expired(
    page: Page, device: DeviceApi
) -> None:
    device.script.append("expired")
    job_id = generate(page)
    assert wait_for_clip(page)["id"] == job_id
    first, second = (call["token"] for call in device.asked())
    assert first != second


def test_a_clip_in_the_reel_is_driven_too(page: Page, device: DeviceApi) -> None:
    """Two clips wait; only one is on the stage."""
    device.script.extend(["queue", "expired", "expired"])
    first = generate(page)
    expect(line(page)).to_have_text("Waiting for a GPU")
    page.evaluate(LEAVE_STAGE)
    second = generate(page)
    assert second != first
    page.reload()
    device.free.set()
    page.wait_for_function(
        "ids => ids.every(id => window.store?.clips.value.get(id)?.state === 'succeeded')",
        arg=[first, second],
        polling=500,
    )


def test_each_draft_is_made_with_a_token_of_its_own(page: Page, device: DeviceApi) -> None:
    page.locator("#k-t2v .k-times").click()
    page.get_by_role("menuitemradio", name="×2").click()
    write(page, "a dog")
    press(page, "Generate")
    page.wait_for_function("store.tabs.t2v.batch.value?.ready === 2", polling=500)
    first, second = (call["token"] for call in device.asked())
    assert first != second


WORDS = [
    ("busy", ["No GPU was free.", "Try again in a minute, or log in to Hugging Face"]),
    ("timeout", ["No GPU was free.", "Try again in a minute"]),
    ("quota", ["3 s are left.", "Use fewer frames or steps, log in to Hugging Face, or try again"]),
    ("illegal", ["more than ZeroGPU grants without logging in.", "Use fewer frames or steps, or"]),
    ("pending", ["Your other clips use all of your GPU quota.", "Try again when one is done."]),
]


@pytest.mark.parametrize("answers", [WORDS], ids=["each"])
def test_every_refusal_is_whole_sentences_and_says_what_to_do(
    page: Page, device: DeviceApi, answers: list[tuple[device_api.Answer, list[str]]]
) -> None:
    """No "null" under them, nothing cut at "vs.", and no "Loading the model" meanwhile."""
    device.left_s = 3
    page.evaluate("window.seen = new Set()")
    page.evaluate("void store.tabs.t2v.job.subscribe(job => seen.add(job?.line ?? ''))")
    for answer, (happened, remedy) in answers:
        device.script.append(answer)
        generate(page)
        failure = page.locator("#k-t2v .k-failure")
        expect(failure.locator(".k-failure-title")).to_contain_text(happened)
        expect(failure.locator("p").nth(1)).to_contain_text(remedy)
        text = failure.inner_text()
        assert "null" not in text and "undefined" not in text
        assert "vs" not in text
        page.evaluate(LEAVE_STAGE)
    assert not [said for said in page.evaluate("[...window.seen]") if "Loading" in said]


# -- programs ------------------------------------------------------------------------------------


def test_a_program_that_looks_at_its_clip_drives_it_again_with_its_newest_token(
    me: Program, device: DeviceApi
) -> None:
    device.script.extend(["expired", "queue"])
    job_id = me.make()
    until(lambda: me.status(job_id, lends=False)["waits_for"] == "caller")
    waiting = me.status(job_id, lends=False)
    assert waiting["status"] == "queued"
    me.status(job_id)
    newest = me.last_token
    until(lambda: len(device.asked()) == 2)
    assert device.asked()[1]["token"] == newest
    device.free.set()
    assert me.ended(job_id, lends=False)["state"] == "succeeded"
    assert "requeued" in me.kinds(job_id)


@pytest.mark.parametrize("door", ["batch", "list", "videos", "tool"])
def test_looking_at_it_through_any_door_drives_it(
    me: Program, device: DeviceApi, door: str, space: Space
) -> None:
    device.script.append("expired")
    made = me.call("POST", "/api/batches", json={"prompts": ["a dog"], "num_inference_steps": 2})
    batch = made.json()
    job_id = batch["jobs"][0]["job_id"]
    until(lambda: me.status(job_id, lends=False)["waits_for"] == "caller")
    if door == "tool":
        secret = {"Authorization": me.http.headers["Authorization"], "x-ip-token": token()}
        client = Client(space.url, verbose=False, analytics_enabled=False, headers=secret)
        client.predict(batch["batch_id"], api_name="/batch_state")
        client.close()
    else:
        path = {
            "batch": f"/api/batches/{batch['batch_id']}",
            "list": "/api/jobs",
            "videos": f"/v1/videos/{job_id}",
        }[door]
        assert me.call("GET", path).status_code == 200
    assert me.ended(job_id, lends=False)["state"] == "succeeded"


def test_waiting_for_a_gpu_is_a_phase_and_an_event_of_its_own(
    me: Program, device: DeviceApi
) -> None:
    device.script.append("queue")
    job_id = me.make()
    until(lambda: me.status(job_id)["phase"] == "waiting_for_gpu")
    status = me.status(job_id)
    assert (status["status"], status["waits_for"]) == ("running", "gpu")
    assert status["eta_seconds"] > 0
    device.free.set()
    assert me.ended(job_id)["state"] == "succeeded"
    kinds = me.kinds(job_id)
    assert kinds[:2] == ["queued", "started"]
    assert kinds.index("waiting_for_gpu") < kinds.index("loading") < kinds.index("step")


def test_a_clip_is_discarded_while_zerogpu_queues_and_takes_no_quota(
    me: Program, device: DeviceApi
) -> None:
    device.script.append("queue")
    job_id = me.make()
    until(lambda: me.status(job_id)["phase"] == "waiting_for_gpu" and bool(device.asked()))
    me.call("POST", f"/api/jobs/{job_id}/cancel")
    assert me.ended(job_id)["state"] == "cancelled"
    until(lambda: device.hung_up == 1)
    assert device.asked("/allow") == []


def test_a_second_attempt_uses_the_newest_token(me: Program, device: DeviceApi) -> None:
    job_id = me.make(num_inference_steps=MANY_STEPS)
    until(lambda: me.look(job_id)["step"] >= 2)
    device.expired.add(device.asked()[0]["token"])
    os.kill(int(device.asked("/allow")[0]["pid"]), signal.SIGKILL)
    assert me.ended(job_id)["state"] == "succeeded"
    first, second = (call["token"] for call in device.asked())
    assert first != second


def test_a_call_that_waits_for_its_clip_is_told_when_its_token_has_expired(
    space: Space, device: DeviceApi
) -> None:
    """gradio_client has one token for a call: nobody could bring another one."""
    device.script.append("expired")
    client = Client(
        space.url, verbose=False, analytics_enabled=False, headers={"x-ip-token": token()}
    )
    with pytest.raises(AppError, match="expired while this clip waited"):
        client.predict(prompt="a dog", num_inference_steps=2, api_name="/text_to_video")
    client.close()


def test_less_time_is_asked_for_where_less_is_left_and_is_enough(
    me: Program, device: DeviceApi
) -> None:
    assert me.ended(me.make())["state"] == "succeeded"  # so that it is known how long it takes
    device.reset()
    device.left_s = 15
    assert me.ended(me.make())["state"] == "succeeded"
    much, less = (int(call["durationSeconds"]) for call in device.asked())
    assert much > 15 >= less


def test_only_a_clip_that_needs_it_asks_for_the_whole_gpu(me: Program, device: DeviceApi) -> None:
    assert me.ended(me.make())["state"] == "succeeded"
    assert me.ended(me.make(**LARGEST))["state"] == "succeeded"
    small, large = device.asked()
    assert "gpuSize" not in small  # the default of spaces: half a GPU
    assert large["gpuSize"] == "xlarge"


# -- models --------------------------------------------------------------------------------------


def test_only_models_that_were_loaded_before_launch_are_offered(me: Program, page: Page) -> None:
    assert [card["id"] for card in me.call("GET", "/api/models").json()] == ["pocket"]
    offer = page.evaluate("page.requestJson('/models?task=t2v')")
    assert [row["id"] for row in offer["models"]] == ["pocket"]


@pytest.mark.parametrize("model", ["other", "far", "owner/some-video-model"])
def test_at_every_door_a_model_that_was_not_loaded_is_refused(
    me: Program, device: DeviceApi, space: Space, model: str
) -> None:
    """Before a GPU is asked for, with the setting that allows it."""
    wanted = QUICK | {"model": model}
    mine = me.make()
    assert me.ended(mine)["state"] == "succeeded"
    device.reset()
    doors = [
        ("/api/generate", {"json": wanted}),
        ("/api/batches", {"json": {"prompts": ["a dog"], "model": model}}),
        ("/api/batches", {"json": {"requests": [QUICK, wanted]}}),
        ("/api/video/text-to-video", {"json": wanted}),
        ("/v1/videos", {"json": {"prompt": "a dog", "model": model}}),
        (f"/v1/videos/{mine}/remix", {"json": {"prompt": "a cat", "model": model}}),
        ("/v1/videos/edits", {"json": {"prompt": "x", "model": model, "video": {"id": mine}}}),
        (
            "/v1/videos/extensions",
            {"json": {"prompt": "x", "seconds": "1", "model": model, "video": {"id": mine}}},
        ),
    ]
    for path, sent in doors:
        answer = me.call("POST", path, **sent)
        assert answer.status_code == (404 if "/" in model else 422), (path, answer.text)
        assert "KINORA_ALLOW_HEAVY_MODELS" in answer.text, (path, answer.text)
    client = Client(
        space.url, verbose=False, analytics_enabled=False, headers={"x-ip-token": token()}
    )
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/text_to_video", {"prompt": "a dog", "model": model}),
        ("/make_clip", {"prompt": "a dog", "model": model}),
        ("/make_batch", {"prompts": ["a dog"], "model": model}),
    ]
    for name, values in calls:
        with pytest.raises(AppError, match="KINORA_ALLOW_HEAVY_MODELS"):
            client.predict(**values, api_name=name)
    client.close()
    time.sleep(0.2)
    assert device.asked() == []
