"""Seconds from a click to the first preview and to the clip, over HTTP, with the model loaded."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client

from bench.common import PROMPT, SEED, TIMEOUT_S, Figure, figure, server


def measure(folder: Path, rounds: int) -> list[Figure]:
    previews: list[float] = []
    clips: list[float] = []
    with server(folder / "first-clip") as (url, _):
        visitor = {"cookie": f"kinora_visitor={secrets.token_hex(16)}"}
        client = Client(url, verbose=False, headers=visitor, httpx_kwargs={"trust_env": False})
        loaded_s = _wait_until_ready(client)
        with httpx.Client(base_url=url, headers=visitor, trust_env=False) as http:
            for number in range(rounds + 1):
                preview_s, clip_s = _time_clip(client, http, SEED + number)
                if number:  # the first clip is a warm-up, reported separately
                    previews.append(preview_s)
                    clips.append(clip_s)
                else:
                    first = clip_s
        client.close()
    return [
        figure("the first preview after the click", previews, 1.5),
        figure("a default clip, model loaded", clips, 8),
        Figure("a worker's first clip", first, 10),
        Figure("from the page to a loaded model", loaded_s, 20),
    ]


def _wait_until_ready(client: Client) -> float:
    started = time.perf_counter()
    while client.predict(api_name="/health")["state"] == "starting":
        if time.perf_counter() - started > TIMEOUT_S:
            raise RuntimeError(f"the model did not load in {TIMEOUT_S:g} s")
        time.sleep(0.1)
    return time.perf_counter() - started


def _time_clip(client: Client, http: httpx.Client, seed: int) -> tuple[float, float]:
    """(seconds to the first preview, seconds to the finished clip)"""
    before = {job["id"] for job in _jobs(http)}
    started = time.perf_counter()
    call = client.submit(PROMPT, seed=seed, api_name="/text_to_video")
    preview_s = 0.0
    while not call.done() and not preview_s:
        if any(job["id"] not in before and job["preview"] for job in _jobs(http)):
            preview_s = time.perf_counter() - started
        time.sleep(0.02)
    call.result()
    clip_s = time.perf_counter() - started
    return preview_s or clip_s, clip_s


def _jobs(http: httpx.Client) -> list[dict[str, Any]]:
    return http.get("/kinora/jobs").json()["jobs"]
