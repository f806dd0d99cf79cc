"""Other systems' addresses and words, over the same jobs."""

from __future__ import annotations

import http.client
import time

import httpx

from tests.api.conftest import LONG, ApiServer, Connect, is_error
from tests.jobs.conftest import until


def test_a_task_queues_words(me: httpx.Client, png: bytes) -> None:
    answer = me.post(
        "/generate", data={"prompt": "it rolls", "steps": "2"}, files={"image": ("ball.png", png)}
    )
    assert answer.status_code == 202
    task = answer.json()
    assert task["status"] in ("queued", "started")
    assert answer.headers["location"] == f"/status/{task['task_id']}"
    seen = set()
    while (now := me.get(f"/status/{task['task_id']}").json())["status"] != "finished":
        seen.add(now["status"])
        assert now["status"] in ("queued", "started"), now
        time.sleep(0.02)
    clip = me.get(f"/results/{task['task_id']}")
    assert (clip.headers["content-type"], clip.content[4:8]) == ("video/mp4", b"ftyp")
    me.post(f"/api/jobs/{task['task_id']}/cancel")


def test_a_task_that_is_not_done_has_no_result_yet(me: httpx.Client, png: bytes) -> None:
    asked = {"prompt": "it rolls", "steps": str(LONG["num_inference_steps"])}
    task = me.post("/generate", data=asked, files={"image": ("ball.png", png)}).json()
    is_error(me.get(f"/results/{task['task_id']}"), 409, "conflict")
    me.post(f"/api/jobs/{task['task_id']}/cancel")


def test_a_task_without_a_picture_is_refused(me: httpx.Client) -> None:
    is_error(me.post("/generate", data={"prompt": "a dog"}), 422, "invalid_input")
    is_error(me.post("/generate"), 422, "invalid_input")
    broken = me.post("/generate", files={"image": ("ball.png", b"\x89PNG broken")})
    is_error(broken, 422, "invalid_image")


def test_words_in_and_the_file_out(me: httpx.Client) -> None:
    body = {"prompt": "a dog", "num_inference_steps": 2, "seed": 9}
    clip = me.post("/api/video/text-to-video", json=body)
    assert clip.status_code == 200
    assert (clip.headers["content-type"], clip.content[4:8]) == ("video/mp4", b"ftyp")
    job = me.get(f"/api/jobs/{clip.headers['x-kinora-job']}").json()
    assert job["settings"]["seed"] == 9
    is_error(me.post("/api/video/text-to-video", json={}), 422, "invalid_input")


def test_a_picture_in_and_the_file_out(me: httpx.Client, png: bytes) -> None:
    path = "/api/video/image-to-video"
    clip = me.post(path, data={"prompt": "it rolls", "steps": "2"}, files={"image": ("b.png", png)})
    assert (clip.status_code, clip.content[4:8]) == (200, b"ftyp")
    assert me.get(f"/api/jobs/{clip.headers['x-kinora-job']}").json()["task"] == "i2v"
    is_error(me.post(path, data={"prompt": "no picture"}), 422, "invalid_input")


def test_who_hangs_up_has_their_clip_discarded(server: ApiServer, connect: Connect) -> None:
    me = connect(f"hangs-up-{time.time_ns()}")
    asked = me.build_request("POST", "/api/video/text-to-video", json={"prompt": "a dog", **LONG})
    hasty = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    hasty.request("POST", asked.url.path, asked.content, dict(asked.headers))

    def state() -> str:
        return "".join(job["state"] for job in me.get("/api/jobs").json()["jobs"])

    until(lambda: state() == "running")
    hasty.close()
    until(lambda: state() != "running")
    assert state() == "cancelled", "it was made for nobody"
