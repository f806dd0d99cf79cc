"""Pictures and clips that nobody should send, through every door that takes one, at a real server.

Each ends in a clip or in a code and a sentence; the server neither stumbles nor swells.
"""

from __future__ import annotations

import base64
import io
import json
import random
import re
import statistics
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest

from errors import ErrorCode
from tests.api.conftest import ApiServer
from tests.goals import Goal, rounds
from tests.media.hostile import corpus
from tests.media.malformed import saved, scene
from tests.media.test_videos import clips as clips
from tests.media.test_videos import malformed as malformed_clips

SMALL = {"num_inference_steps": 1, "width": 32, "height": 32, "num_frames": 5}
FIELDS = {name: str(value) for name, value in SMALL.items()}
OURS = {"X-Kinora": "1"}
CODES = {code.value for code in ErrorCode}
MIB = 2**20


class Fate(NamedTuple):
    """What became of one file: None as a code where it was taken."""

    name: str
    status: int
    code: str | None
    seconds: float


Door = Callable[[httpx.Client, str, bytes], httpx.Response]


def as_a_form(me: httpx.Client, name: str, data: bytes) -> httpx.Response:
    return me.post("/api/generate", data=FIELDS, files={"image": (name, data)})


def as_json(me: httpx.Client, name: str, data: bytes) -> httpx.Response:
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return me.post("/api/generate", json=SMALL | {"image": uri})


def as_openai(me: httpx.Client, name: str, data: bytes) -> httpx.Response:
    files = {"input_reference": (name, data, "image/png")}
    return me.post("/v1/videos", data=FIELDS | {"prompt": "a"}, files=files)


def as_a_task(me: httpx.Client, name: str, data: bytes) -> httpx.Response:
    return me.post("/generate", data=FIELDS, files={"file": (name, data)})


def on_the_page(me: httpx.Client, name: str, data: bytes) -> httpx.Response:
    return me.post("/kinora/pictures", content=data, headers=OURS)


def in_a_zip(me: httpx.Client, name: str, data: bytes) -> httpx.Response:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../a.png", data)
    return me.post("/api/batches", data=FIELDS, files={"zip": ("a.zip", packed.getvalue())})


DOORS: list[Door] = [as_a_form, as_json, as_openai, as_a_task, on_the_page, in_a_zip]


def send(me: httpx.Client, door: Door, name: str, data: bytes) -> Fate:
    for _ in range(600):
        began = time.perf_counter()
        answer = door(me, name, data)
        seconds = time.perf_counter() - began
        if answer.status_code != 429:  # the worker lets go of the clips before it
            break
        time.sleep(0.1)
    body = answer.json()
    if answer.status_code < 300:
        forget(me, body)
        return Fate(name, answer.status_code, None, seconds)
    error = body["error"]
    code = error["code"] if isinstance(error, dict) else error
    assert code in CODES, (name, body)
    assert re.fullmatch(r"[A-Z“0-9].{10,}[.?]", body["message"], re.DOTALL), (name, body)
    return Fate(name, answer.status_code, code, seconds)


def forget(me: httpx.Client, body: dict[str, Any]) -> None:
    """No clip is wanted of it."""
    if "batch_id" in body and "jobs" in body:
        me.post(f"/api/batches/{body['batch_id']}/cancel")
    elif job_id := body.get("job_id") or body.get("task_id"):
        me.post(f"/api/jobs/{job_id}/cancel")
    elif body.get("object") == "video":
        me.post(f"/api/jobs/{body['id']}/cancel")


class Size:
    """Of a server's process and its helpers: how much memory, and whether they still live."""

    def __init__(self, server: ApiServer) -> None:
        assert server.process is not None
        self.process = psutil.Process(server.process.pid)
        self.children = {child.pid for child in self.process.children(recursive=True)}
        self.before = self.process.memory_info().rss
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # the peak begins anew

    def growth_mib(self) -> float:
        return (self.process.memory_info().rss - self.before) / MIB

    def peak_mib(self) -> float:
        said = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", said)
        assert found
        return int(found[1]) / 1024 - self.before / MIB

    def deaths(self) -> int:
        now = {child.pid for child in self.process.children(recursive=True)}
        return len(self.children - now) + (not self.process.is_running())


def p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else 0.0


@pytest.mark.slow
@pytest.mark.goal("G11")
def test_malformed_pictures_end_in_a_sentence(
    server: ApiServer, me: httpx.Client, goal: Goal
) -> None:
    sound = saved(scene(), "PNG")
    for door in DOORS:
        assert send(me, door, "sound.png", sound).code is None
    ready(me)
    size, fates = Size(server), []
    for n, (name, data) in enumerate(corpus(rounds(150, 640))):
        fates.append(send(me, DOORS[n % len(DOORS)], name, data))
    refused = [fate for fate in fates if fate.code]
    print(Counter(fate.code or "taken" for fate in fates))
    slowest = sorted(refused, key=lambda fate: -fate.seconds)[:5]
    print("slowest refusals:", [(f.name, round(f.seconds, 2)) for f in slowest])
    goal.count("malformed pictures", len(fates), at_least=rounds(150, 600))
    goal.count("pictures: 5xx", sum(fate.status >= 500 for fate in fates), at_most=0)
    goal.count("pictures: deaths of a process", size.deaths(), at_most=0)
    goal.count("pictures: memory grown by", size.growth_mib(), at_most=150, unit="MiB")
    goal.count("pictures: memory at its peak", size.peak_mib(), unit="MiB")
    goal.time("pictures: a refusal, p95", p95([fate.seconds for fate in refused]), at_most=0.1)
    assert {"invalid_image", "too_large", None} <= {fate.code for fate in fates}


def ready(me: httpx.Client) -> None:
    """Whatever the worker still does is done: only what follows is measured."""
    until = time.monotonic() + 60
    while me.get("/health").json()["status"] != "READY" and time.monotonic() < until:
        time.sleep(0.1)


# -- Gradio's own doors --------------------------------------------------------------------------


def through_gradio(me: httpx.Client, name: str, data: bytes, field: str = "image") -> str:
    """What the endpoint says at the end; a refused upload is an end, too."""
    sent = me.post("/gradio_api/upload", files={"files": (name, data)})
    assert sent.status_code < 500, (name, sent.text)
    if not sent.is_success:
        return sent.text
    (path,) = sent.json()
    given = {"path": path, "meta": {"_type": "gradio.FileData"}}
    endpoint = f"{field}_to_video"
    asked = me.post(f"/gradio_api/call/v2/{endpoint}", json=SMALL | {field: given, "prompt": "a"})
    assert asked.status_code == 200, asked.text
    return me.get(f"/gradio_api/call/{endpoint}/{asked.json()['event_id']}").text


@pytest.mark.slow
@pytest.mark.goal("G11")
def test_malformed_pictures_through_gradio(me: httpx.Client, goal: Goal) -> None:
    told = []
    for name, data in corpus(rounds(10, 40)):
        said = through_gradio(me, Path(name).stem[:40] + ".png", data)
        assert "Traceback" not in said
        told.append("event: complete" in said or _sentence(said))
    goal.count("malformed pictures through Gradio", len(told), at_least=rounds(10, 40))
    goal.count("through Gradio: refused without a sentence", told.count(False), at_most=0)
    assert True in told


def _sentence(said: str) -> bool:
    found = re.search(r"event: error\ndata: (.*)", said)
    error = (json.loads(found[1]) or {}).get("error") if found else None
    return bool(error and str(error).endswith("."))


# -- clips ---------------------------------------------------------------------------------------


def made_clips(sound: list[bytes], count: int) -> list[bytes]:
    rng, made = random.Random(21), list(malformed_clips(sound))
    rng.shuffle(made)
    while len(made) < count:
        data = bytearray(rng.choice(sound))
        for _ in range(rng.choice([1, 9, 99])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        made.append(bytes(data))
    return made[:count]


def clip_as_a_form(me: httpx.Client, name: str, data: bytes) -> httpx.Response:
    files = {"video": (name, data, "video/mp4")}
    return me.post("/api/generate", data=FIELDS | {"prompt": "a"}, files=files)


def clip_on_the_page(me: httpx.Client, name: str, data: bytes) -> httpx.Response:
    return me.post("/kinora/videos", content=data, headers=OURS)


@pytest.mark.slow
@pytest.mark.goal("G11")
def test_malformed_clips_end_in_a_sentence(
    server: ApiServer, me: httpx.Client, goal: Goal, clips: dict[str, Path]
) -> None:
    sound = [clips[name].read_bytes() for name in ("h264", "vp9", "turned")]
    doors: list[Door] = [clip_as_a_form, clip_on_the_page]
    size, fates = Size(server), []
    for n, data in enumerate(made_clips(sound, rounds(12, 60))):
        fates.append(send(me, doors[n % 2], f"{n}.mp4", data))
    print(Counter(fate.code or "taken" for fate in fates))
    goal.count("malformed clips", len(fates), at_least=rounds(12, 50))
    goal.count("clips: 5xx", sum(fate.status >= 500 for fate in fates), at_most=0)
    goal.count("clips: deaths of a process", size.deaths(), at_most=0)
    goal.count("clips: memory grown by", size.growth_mib(), at_most=150, unit="MiB")
    assert {"invalid_video", None} <= {fate.code for fate in fates} | {None}
