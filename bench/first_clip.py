"""A visitor presses the button: when the first preview is there, and when the clip is.

Measured from outside, over HTTP, on a server whose worker has its model loaded.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client

from bench.common import PATIENCE_S, PROMPT, SEED, Figure, figure, server


def measure(folder: Path, rounds: int) -> list[Figure]:
    previews: list[float] = []
    clips: list[float] = []
    with server(folder / "first-clip") as (url, _):
        visitor = {"cookie": f"kinora_visitor={secrets.token_hex(16)}"}
        client = Client(url, verbose=False, headers=visitor, httpx_kwargs={"trust_env": False})
        loaded_s = _until_ready(client)
        with httpx.Client(base_url=url, headers=visitor, trust_env=False) as web:
            for number in range(rounds + 1):
                preview_s, clip_s = _clip(client, web, SEED + number)
                if number:  # the first one warms up what only a first one does
                    previews.append(preview_s)
                    clips.append(clip_s)
                else:
                    first = clip_s
        client.close()
    return [
        figure("the first preview after the click", previews, 1.5),
        figure("a default clip, model loaded", clips, 8),
        Figure("the very first clip of a worker", first, 10),
        Figure("the model is loaded after the page answers", loaded_s, 20),
    ]


def _until_ready(client: Client) -> float:
    began = time.perf_counter()
    while client.predict(api_name="/health")["state"] == "starting":
        if time.perf_counter() - began > PATIENCE_S:
            raise RuntimeError("the model does not load")
        time.sleep(0.1)
    return time.perf_counter() - began


def _clip(client: Client, web: httpx.Client, seed: int) -> tuple[float, float]:
    """Seconds to the first preview and to the finished clip."""
    before = {job["id"] for job in _jobs(web)}
    began = time.perf_counter()
    call = client.submit(PROMPT, seed=seed, api_name="/text_to_video")
    preview_s = 0.0
    while not call.done() and not preview_s:
        if any(job["id"] not in before and job["preview"] for job in _jobs(web)):
            preview_s = time.perf_counter() - began
        time.sleep(0.02)
    call.result()
    clip_s = time.perf_counter() - began
    return preview_s or clip_s, clip_s


def _jobs(web: httpx.Client) -> list[dict[str, Any]]:
    return web.get("/kinora/jobs").json()["jobs"]
