"""G5: a discard is heard at once wherever a clip is, however often and by whomever it is asked."""

from __future__ import annotations

import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import tiny
from tests.api.conftest import SECRET, ApiServer, ended
from tests.goals import Goal, rounds
from tests.hub.server import TestHub

LONG = {"prompt": "a long one", "num_inference_steps": 200, "width": 128, "height": 128}
OTHER = "another-program-of-theirs-0123456789"
GRACE_S = 0.5
AT_ONCE_S = 0.2
MIB = 2**20
WAIT_S = 120.0

pytestmark = [pytest.mark.slow, pytest.mark.goal("G5")]


class Door:
    """The server, and every answer it gave."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        headers = {"Authorization": f"Bearer {SECRET}"}
        self.client = httpx.Client(
            base_url=server.url, headers=headers, trust_env=False, timeout=WAIT_S,
            event_hooks={"response": [lambda answer: self.statuses.append(answer.status_code)]},
        )  # fmt: skip
        self.statuses: list[int] = []

    def submit(self, **asked: Any) -> str:
        answer = self.client.post("/api/generate", json=LONG | asked)
        assert answer.status_code == 202, answer.text
        return answer.json()["job_id"]

    def cancel(self, job_id: str) -> dict[str, Any]:
        answer = self.client.post(f"/api/jobs/{job_id}/cancel")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, job_id: str, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The events up to the so-many-th of that kind."""
        log = []
        with self.client.stream("GET", f"/api/jobs/{job_id}/events") as answer:
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    log.append({"kind": value})
                elif name == "data":
                    log[-1] |= json.loads(value)
                    count -= log[-1]["kind"] == kind
                    if count == 0:
                        return log
        raise AssertionError(f"{[each['kind'] for each in log]} and no {kind}")

    def log(self, job_id: str) -> list[dict[str, Any]]:
        return self.until(job_id, ended(self.client, job_id)["state"])

    def worker(self) -> psutil.Process:
        """The one that makes clips."""
        assert self.server.process
        children = psutil.Process(self.server.process.pid).children(recursive=True)
        return next(c for c in children if "jobs.workers.process_worker" in " ".join(c.cmdline()))

    @property
    def failures(self) -> int:
        """How many answers said that something is wrong on our side."""
        return sum(status >= 500 for status in self.statuses)


@pytest.fixture(scope="module")
def hub(tiny_repo: Path) -> Iterator[TestHub]:
    with TestHub() as hub:
        hub.add("tiny/far", tiny_repo)
        yield hub


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Path:
    """One that is loaded, one that is far away, and one whose frames take their time."""
    folder = tmp_path_factory.mktemp("cancel-models")
    limits = tiny.CARD["limits"] | {"max_steps": 200}  # type: ignore[operator]
    tiny.write_card(folder, tiny_repo, limits=limits)
    tiny.write_card(folder, Path("tiny/far"), id="far", name="Far", limits=limits)
    slow = slow_decoder(tiny_repo, folder / "slow-decoder")
    tiny.write_card(folder, slow, id="slow", name="Slow", limits=limits)
    return folder


def slow_decoder(repo: Path, folder: Path) -> Path:
    """The tiny pipeline with a decoder that is some hundred times the work."""
    from diffusers import AutoencoderKLLTXVideo, LTXPipeline

    pipe = LTXPipeline.from_pretrained(repo)
    wide = dict(pipe.vae.config) | {
        "decoder_block_out_channels": (256,),
        "decoder_layers_per_block": (12, 12),
    }
    pipe.vae = AutoencoderKLLTXVideo.from_config(wide)
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, models: Path, hub: TestHub) -> Iterator[Door]:
    base = tmp_path_factory.mktemp("cancel")
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HOME": str(base / "home")}
    server = ApiServer(base / "data", models, **online)
    door = Door(server)
    ended(door.client, door.submit(num_inference_steps=2))
    yield door
    door.client.close()
    server.stop()


@pytest.fixture
def busy(door: Door) -> Iterator[str]:
    """A long clip that has begun, so that what comes after it waits."""
    job_id = door.submit(num_frames=33)
    door.until(job_id, "step")
    yield job_id
    door.cancel(job_id)
    ended(door.client, job_id)


def test_a_waiting_clip_is_discarded_at_once(door: Door, busy: str, goal: Goal) -> None:
    took = []
    differ = 0
    for _ in range(rounds(3, 30)):
        job_id = door.submit()
        began = time.perf_counter()
        first = door.cancel(job_id)
        took.append(time.perf_counter() - began)
        answers = [first, door.cancel(job_id), door.cancel(job_id)]
        assert first["state"] == "cancelled"
        differ += any(answer != first for answer in answers)
        assert [each["kind"] for each in door.log(job_id)] == ["queued", "cancelled"]
    assert door.client.get(f"/api/jobs/{busy}").json()["state"] == "running"
    goal.time("a waiting clip is discarded after", max(took), at_most=AT_ONCE_S)
    goal.count("waiting clips whose three cancels differ", differ, at_most=0)
    goal.count("5xx while cancelling", door.failures, at_most=0)


def test_a_running_clip_is_discarded_within_a_step(door: Door, goal: Goal) -> None:
    late, more_steps, differ = [], [], 0
    for n in range(rounds(3, 20)):
        job_id = door.submit(num_frames=33)
        log = door.until(job_id, "step", count=2 + n % 5)
        asked_at = time.time()
        states = [door.cancel(job_id)["state"] for _ in range(3)]
        job = ended(door.client, job_id)
        log = door.log(job_id)
        steps = [each["at"] for each in log if each["kind"] == "step"]
        step_s = statistics.median(b - a for a, b in itertools.pairwise(steps))
        late.append(job["ended_at"] - asked_at - step_s)
        more_steps.append(sum(at > asked_at for at in steps))
        assert job["state"] == "cancelled"
        differ += not set(states) <= {"running", "cancelled"}
        assert log[-1]["kind"] == "cancelled"
        assert not folder_of(door, job_id).exists()
    goal.time("a running clip is discarded after a step and", max(late), at_most=GRACE_S)
    # the one in the making, and those on their way to us while we ask
    goal.time("steps that were told after it", max(more_steps), at_most=2, unit="")
    goal.count("running clips whose three cancels differ", differ, at_most=0)
    goal.count("5xx while cancelling", door.failures, at_most=0)


def folder_of(door: Door, job_id: str) -> Path:
    return Path(door.server.environment["KINORA_DATA_DIR"]) / "jobs" / job_id


def test_a_clip_is_discarded_while_its_model_is_on_the_way(
    door: Door, hub: TestHub, goal: Goal
) -> None:
    slow = hub.fault("/cdn/tiny/far", bytes_per_s=100_000, times=1_000_000)  # a minute of it
    late = []
    for _ in range(rounds(1, 5)):
        job_id = door.submit(model="far")
        door.until(job_id, "loading")
        asked_at = time.time()
        assert door.cancel(job_id)["state"] in ("running", "cancelled")
        job = ended(door.client, job_id)
        late.append(job["ended_at"] - asked_at)
        assert job["state"] == "cancelled"
        assert "step" not in {each["kind"] for each in door.log(job_id)}
    slow.times = 0
    goal.time("a clip whose model is on the way is discarded after", max(late), at_most=2 * GRACE_S)
    assert ended(door.client, door.submit(num_inference_steps=2))["state"] == "succeeded"


def test_a_clip_is_discarded_while_its_frames_are_developed(door: Door, goal: Goal) -> None:
    short = {"model": "slow", "num_inference_steps": 2, "num_frames": 33}
    whole = door.log(door.submit(**short))
    at = {each["kind"]: each["at"] for each in whole}
    decode_s = at["encoding"] - at["decoding"]
    late = []
    for _ in range(rounds(1, 5)):
        job_id = door.submit(**short)
        door.until(job_id, "decoding")
        asked_at = time.time()
        door.cancel(job_id)
        job = ended(door.client, job_id)
        late.append(job["ended_at"] - asked_at)
        assert job["state"] == "cancelled"
        assert "encoding" not in {each["kind"] for each in door.log(job_id)}
        assert not folder_of(door, job_id).exists()
    goal.time("to develop all frames takes, for comparison", decode_s)
    goal.time("a clip being developed is discarded after", max(late), at_most=GRACE_S)


def test_after_the_end_nothing_changes(door: Door, goal: Goal) -> None:
    job = ended(door.client, door.submit(num_inference_steps=2))
    again = [door.cancel(job["job_id"]) for _ in range(3)]
    changed = sum(answer != job for answer in again)
    file = door.client.get(f"/api/result/{job['job_id']}")
    assert (file.status_code, len(file.content)) == (200, job["result"]["size_bytes"])
    goal.count("finished clips that a cancel changed", changed, at_most=0)
    goal.count("5xx while cancelling", door.failures, at_most=0)


@pytest.mark.parametrize("place", ["waiting", "running"])
def test_two_clients_at_once_hear_the_same(
    door: Door, request: pytest.FixtureRequest, place: str, goal: Goal
) -> None:
    if place == "waiting":
        request.getfixturevalue("busy")
    differ = 0
    for _ in range(rounds(2, 10)):
        job_id = door.submit(num_frames=33)
        if place == "running":
            door.until(job_id, "step")
        answers = at_once(lambda job_id=job_id: door.cancel(job_id)["job_id"], 8)
        assert ended(door.client, job_id)["state"] == "cancelled"
        kinds = [each["kind"] for each in door.log(job_id)]
        assert kinds.count("cancelled") == 1
        differ += answers != [job_id] * 8
    goal.count(f"{place} clips that eight at once heard different things of", differ, at_most=0)
    goal.count("5xx while cancelling", door.failures, at_most=0)


def at_once(act: Callable[[], str], how_many: int) -> list[str]:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(act())) for _ in range(how_many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    return answers


def test_somebody_else_cannot_cancel_it(door: Door, busy: str) -> None:
    headers = {"Authorization": f"Bearer {OTHER}"}
    answer = httpx.post(
        f"{door.server.url}/api/jobs/{busy}/cancel", headers=headers, trust_env=False
    )
    assert answer.status_code == 404
    assert door.client.get(f"/api/jobs/{busy}").json()["state"] == "running"


def test_memory_is_back_at_its_floor_after_discards(door: Door, goal: Goal) -> None:
    rss = lambda: door.worker().memory_info().rss / MIB  # noqa: E731
    discards(door, 3)  # to warm up: what libraries keep for the next time
    floor = rss()
    discards(door, rounds(3, 20))
    goal.count("worker's memory over its floor", rss() - floor, at_most=50, unit="MiB")


def discards(door: Door, how_many: int) -> None:
    for n in range(how_many):
        job_id = door.submit(num_frames=33)
        door.until(job_id, "step", count=1 + n % 4)
        door.cancel(job_id)
        ended(door.client, job_id)


def test_gpu_memory_is_back_at_its_floor_after_discards(door: Door, goal: Goal) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU here, whose memory could be looked at")

    def used() -> float:
        free, total = torch.cuda.mem_get_info()
        return (total - free) / MIB

    ended(door.client, door.submit(num_frames=33, num_inference_steps=4))
    discards(door, 1)
    floor = used()
    discards(door, rounds(3, 20))
    goal.count("GPU memory off its floor", abs(used() - floor), at_most=50, unit="MiB")
