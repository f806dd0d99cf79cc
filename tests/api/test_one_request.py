"""One request, every door: the same words and settings make the same clip, and no two clips ever
touch each other's files."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client
from openai import OpenAI
from PIL import Image

from jobs.job import new_id
from settings import ROOT
from tests.api.conftest import SECRET, ApiServer, ended
from tests.api.test_tools import call, over_mcp
from tests.unsigned import without_credentials

WORDS: dict[str, Any] = {
    "prompt": "a dog running to the right in the snow",
    "negative_prompt": "blurred",
    "seed": 12,
    "num_inference_steps": 3,
    "width": 96,
    "height": 64,
}
FORM = {name: str(value) for name, value in WORDS.items()}
WAIT_S = 120.0

Door = Callable[[httpx.Client, ApiServer], bytes]


def by_json(me: httpx.Client, _server: ApiServer) -> bytes:
    return fetched(me, me.post("/api/generate", json=WORDS | {"reuse": False}))


def by_form(me: httpx.Client, _server: ApiServer) -> bytes:
    return fetched(me, me.post("/api/generate", data=FORM | {"reuse": "false"}))


def by_waiting(me: httpx.Client, _server: ApiServer) -> bytes:
    answer = me.post("/api/video/text-to-video", json=WORDS | {"reuse": False}, timeout=WAIT_S)
    return answer.content


def by_batch(me: httpx.Client, _server: ApiServer) -> bytes:
    answer = me.post("/api/batches", json={"requests": [WORDS], "reuse": False})
    return fetched_by_id(me, answer.json()["jobs"][0]["job_id"])


def by_the_openai_sdk(me: httpx.Client, server: ApiServer) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with OpenAI(base_url=f"{server.url}/v1", api_key=SECRET, max_retries=0) as sdk:
            ours = {k: FORM[k] for k in ("negative_prompt", "seed", "num_inference_steps")}
            made = sdk.videos.create_and_poll(
                prompt=WORDS["prompt"],
                size="96x64",  # type: ignore[arg-type]
                extra_body=ours | {"reuse": "false"},
            )
            return sdk.videos.download_content(made.id).read()


def by_gradio_client(_me: httpx.Client, server: ApiServer) -> bytes:
    client = Client(
        server.url, verbose=False, analytics_enabled=False,
        httpx_kwargs={"timeout": 60, "trust_env": False},
    )  # fmt: skip
    try:
        clip, _used = client.predict(**WORDS, api_name="/text_to_video")
        return Path(clip).read_bytes()
    finally:
        client.close()


def by_an_agent(me: httpx.Client, server: ApiServer) -> bytes:
    return fetched_by_id(
        me, over_mcp(server, lambda session: call(session, "make_clip", **WORDS))["job_id"]
    )


def by_the_command_line(_me: httpx.Client, server: ApiServer) -> bytes:
    words = [
        *("generate", WORDS["prompt"], "--negative", WORDS["negative_prompt"]),
        *("--seed", FORM["seed"], "--steps", FORM["num_inference_steps"]),
        *("--width", FORM["width"], "--height", FORM["height"]),
    ]
    folder = Path(server.environment["KINORA_DATA_DIR"]).parent / "by-hand"
    here = server.environment | {"KINORA_DATA_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "app.py", *words], cwd=ROOT, env=here, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Path(done.stdout.strip().splitlines()[-1]).read_bytes()


def fetched(me: httpx.Client, answer: httpx.Response) -> bytes:
    assert answer.status_code == 202, answer.text
    return fetched_by_id(me, answer.json()["job_id"])


def fetched_by_id(me: httpx.Client, job_id: str) -> bytes:
    assert ended(me, job_id)["state"] == "succeeded"
    return me.get(f"/api/result/{job_id}").content


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Sora API.*:DeprecationWarning")
def test_the_same_request_makes_the_same_clip_at_every_door(
    me: httpx.Client, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    doors: tuple[Door, ...] = (
        *(by_json, by_form, by_waiting, by_batch, by_the_openai_sdk, by_gradio_client),
        *(by_an_agent, by_the_command_line),
    )
    made = {door.__name__: door(me, server) for door in doors}
    said = {}
    for name, clip in made.items():
        answer = me.post("/api/verify", content=clip)
        said[name] = answer.json()["settings"]["settings"]
        assert answer.json()["signed"], name
    first = said["by_json"]
    assert {key: first[key] for key in WORDS} == WORDS
    assert {name: settings for name, settings in said.items() if settings != first} == {}
    # programs get the very same bytes; a server and a command line may use other numbers of threads
    plain = {name: without_credentials(clip) for name, clip in made.items()}
    assert {name for name in plain if plain[name] != plain["by_json"]} <= {"by_the_command_line"}


def test_requests_at_the_same_time_never_touch_each_others_files(me: httpx.Client) -> None:
    """All under one name, from one caller, at once: each clip is made of its own picture."""
    colours = [(250, 20 * n, 255 - 20 * n) for n in range(8)]
    given: dict[int, dict[str, Any]] = {}

    def submit(n: int) -> None:
        files = {"image": ("the same name.png", png(colours[n]))}
        form = {"prompt": f"number {n}", "num_inference_steps": "2", "seed": str(n)}
        given[n] = me.post("/api/generate", data=form, files=files).json()

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(len(colours))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    stored = {n: job["settings"]["image"] for n, job in given.items()}
    assert len(set(stored.values())) == len(colours)
    for n in range(len(colours)):
        job_id = given[n]["job_id"]
        clip = fetched_by_id(me, job_id)
        said = me.post("/api/verify", content=clip).json()["settings"]["settings"]
        assert (said["prompt"], said["seed"], said["image"]) == (f"number {n}", n, stored[n])
        alone = me.post("/api/estimate", files={"image": ("x.png", png(colours[n]))})
        assert alone.json()["used"]["image"] == stored[n], "the picture that was sent with it"
    assert len({me.get(f"/api/result/{job['job_id']}").content for job in given.values()}) == 8


def png(colour: tuple[int, int, int]) -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(kept, "PNG")
    return kept.getvalue()


def test_nobody_can_guess_an_id() -> None:
    ids = [new_id() for _ in range(4096)]
    assert len(set(ids)) == len(ids)
    assert {len(each) for each in ids} == {32}
    bits = np.unpackbits(np.array([list(bytes.fromhex(each)) for each in ids], dtype=np.uint8), 1)
    assert bits.shape == (4096, 128)
    # each of the 128 bits is a coin: 2048 heads, and six standard deviations of 32
    assert np.abs(bits.sum(axis=0, dtype=int) - 2048).max() < 6 * 32
