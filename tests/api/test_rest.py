"""The native REST, as a program uses it: a real server, a real worker, a tiny model."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.conftest import MANY_STEPS, Connect, ended, is_error, make, running
from tests.unsigned import without_credentials


@pytest.fixture
def clip(me: httpx.Client) -> dict[str, Any]:
    job = make(me, seed=11)
    assert job["state"] == "succeeded", job["error"]
    return job


def events(
    client: httpx.Client, job_id: str, headers: dict[str, str] | None = None, **query: Any
) -> list[dict[str, Any]]:
    """The whole stream, to its end."""
    found = []
    path = f"/api/jobs/{job_id}/events"
    with client.stream("GET", path, headers=headers, params=query) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        current: dict[str, Any] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line == "" and "id" in current:
                found.append(current)
                current = {}
            elif name in ("id", "event", "data"):
                current[name] = json.loads(value) if name == "data" else value
    return found


def test_a_clip_is_accepted_followed_and_fetched(me: httpx.Client) -> None:
    answer = me.post("/api/generate", json={"prompt": "a dog", "seed": 3, "reuse": False})
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert answer.headers["location"] == f"/api/jobs/{job_id}"

    kinds = [event["event"] for event in events(me, job_id)]
    assert kinds[0] == "queued"
    assert next(kind for kind in kinds[1:] if kind != "loading") == "started"
    assert kinds.count("step") == 4
    assert kinds[-1] == "succeeded"

    assert me.get(f"/api/status/{job_id}").json() | {"phase": ""} == {
        "job_id": job_id, "status": "succeeded", "progress": 1.0, "eta_seconds": None,
        "waits_for": None, "error": None, "phase": "", "step": 0, "steps": 0, "position": None,
        "gone": None, "part": None, "parts": None,
    }  # fmt: skip
    result = me.get(f"/api/result/{job_id}")
    assert result.headers["content-type"] == "video/mp4"
    assert result.headers["x-content-type-options"] == "nosniff"
    assert result.content[4:8] == b"ftyp"
    job = me.get(f"/api/jobs/{job_id}").json()
    assert job["result"]["size_bytes"] == len(result.content)
    assert job["settings"]["seed"] == 3
    for name, kind in (("poster", "image/jpeg"), ("last-frame", "image/png")):
        assert me.get(job["urls"][name]).headers["content-type"] == kind


def test_a_picture_comes_in_as_a_file_or_in_the_json(me: httpx.Client, png: bytes) -> None:
    form = me.post(
        "/api/generate",
        data={"prompt": "it rolls", "num_inference_steps": "2", "seed": "1", "focus": '{"x": 0}'},
        files={"image": ("ball.png", png)},
    )
    assert form.status_code == 202, form.text
    uri = "data:image/png;base64," + base64.b64encode(png).decode()
    body = {"prompt": "it rolls", "num_inference_steps": 2, "seed": 1, "image": uri}
    inline = me.post("/api/generate", json=body | {"focus": {"x": 0}, "reuse": False})
    jobs = [ended(me, answer.json()["job_id"]) for answer in (form, inline)]
    assert [job["task"] for job in jobs] == ["i2v", "i2v"]
    assert jobs[0]["settings"] == jobs[1]["settings"]
    results = [me.get(f"/api/result/{job['job_id']}").content for job in jobs]
    clips = [without_credentials(clip) for clip in results]
    assert clips[0] == clips[1], "the same seed and picture, the same bytes"


def test_parts_of_a_file_and_unchanged_files(me: httpx.Client, clip: dict[str, Any]) -> None:
    path = f"/api/result/{clip['job_id']}"
    whole = me.get(path)
    size = len(whole.content)
    part = me.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{size}"
    tail = me.get(path, headers={"Range": "bytes=-5"})
    assert tail.content == whole.content[-5:]
    again = me.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = me.head(path)
    assert (head.headers["content-length"], head.content) == (str(size), b"")
    attached = me.get(path, params={"download": ""})
    assert attached.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("bytes=9999999-", 416),
        ("bytes=-0", 416),
        ("bytes=20-10", 200),
        ("bytes=x", 200),
        ("lines=1-2", 200),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(500)), 200),
    ],
)
def test_parts_that_make_no_sense(
    me: httpx.Client, clip: dict[str, Any], asked: str, status: int
) -> None:
    answer = me.get(f"/api/result/{clip['job_id']}", headers={"Range": asked})
    assert answer.status_code == status
    if status == 416:
        assert answer.headers["content-range"].startswith("bytes */")
        assert answer.json()["error"] == "invalid_input"


def test_events_go_on_where_they_were_cut(me: httpx.Client) -> None:
    job_id = make(me)["job_id"]
    whole = events(me, job_id)
    assert [int(event["id"]) for event in whole] == list(range(1, len(whole) + 1))
    rest = events(me, job_id, {"Last-Event-ID": "4"})
    assert rest == whole[4:]
    assert events(me, job_id, after=4) == whole[4:]
    end = me.get(f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": whole[-1]["id"]})
    assert end.status_code == 204, "an EventSource stops asking"
    for wrong in ("x", "-1", "1.5", "9" * 40):
        answer = me.get(f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": wrong})
        is_error(answer, 422, "invalid_input")


def test_hundreds_of_events_are_replayed_without_a_gap(me: httpx.Client) -> None:
    job = make(me, num_inference_steps=MANY_STEPS)
    assert job["state"] == "succeeded"
    seen = [int(event["id"]) for event in events(me, job["job_id"])]
    assert len(seen) > MANY_STEPS
    assert seen == list(range(1, len(seen) + 1))


def test_previews_are_in_the_stream_and_at_an_address(me: httpx.Client) -> None:
    job_id = running(me)
    path = f"/api/jobs/{job_id}/events"
    with me.stream("GET", path, params={"previews": "inline"}) as answer:
        for line in answer.iter_lines():
            if '"image": "data:image/jpeg;base64,' in line:
                break
        else:
            raise AssertionError("no picture in the whole stream")
    shown = me.get(json.loads(line.removeprefix("data: "))["url"])
    assert shown.content[:2] == b"\xff\xd8"
    assert shown.headers["cache-control"] == "no-store"
    assert int(shown.headers["x-kinora-frames"]) > 1
    me.post(f"/api/jobs/{job_id}/cancel")


def test_finish_now_keeps_a_playable_clip(me: httpx.Client) -> None:
    job_id = running(me)
    is_error(me.post(f"/api/jobs/{job_id}/redo-part"), 409, "conflict")  # it has one part
    assert me.post(f"/api/jobs/{job_id}/finish").status_code == 200
    job = ended(me, job_id)
    assert job["state"] == "succeeded"
    assert job["result"]["finished_early"]
    assert me.get(f"/api/result/{job_id}").content[4:8] == b"ftyp"


def test_cancel_answers_the_same_however_often(me: httpx.Client) -> None:
    job_id = running(me)
    answers = [me.post(f"/api/jobs/{job_id}/cancel").status_code for _ in range(3)]
    assert answers == [200, 200, 200]
    assert ended(me, job_id)["state"] == "cancelled"
    told = me.get(f"/api/status/{job_id}").json()
    assert (told["status"], told["error"]["error"]) == ("failed", "cancelled")
    is_error(me.get(f"/api/result/{job_id}"), 409, "conflict")
    assert me.delete(f"/api/jobs/{job_id}").status_code == 204
    is_error(me.get(f"/api/jobs/{job_id}"), 404, "not_found")


def test_one_key_one_job(connect: Connect, me: httpx.Client) -> None:
    key = {"Idempotency-Key": f"k-{time.time_ns()}"}
    body = {"prompt": "a cat", "num_inference_steps": 2}

    def ask(_: int) -> str:
        return me.post("/api/generate", json=body, headers=key).json()["job_id"]

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(ask, range(20)))) == 1
    other_body = me.post("/api/generate", json=body | {"prompt": "two cats"}, headers=key)
    is_error(other_body, 422, "invalid_input")
    theirs = connect("x" * 30).post("/api/generate", json=body, headers=key)
    assert theirs.json()["job_id"] != ask(0), "a key is its owner's"
    is_error(
        me.post("/api/generate", json=body, headers={"Idempotency-Key": "a b"}), 422,
        "invalid_input",
    )  # fmt: skip


def test_the_same_request_gets_the_stored_clip_and_is_told_so(
    me: httpx.Client, clip: dict[str, Any]
) -> None:
    body = {"prompt": "a dog", "num_inference_steps": 2, "seed": 11}
    again = me.post("/api/generate", json=body).json()
    assert (again["state"], again["reused"]) == ("succeeded", True)
    assert again["job_id"] != clip["job_id"]
    anew = me.post("/api/generate", json=body | {"reuse": False}).json()
    assert (anew["state"] != "succeeded", anew["reused"]) == (True, False)
    ended(me, anew["job_id"])


def test_a_caller_sees_only_their_own_clips(
    me: httpx.Client, other: httpx.Client, anyone: httpx.Client, clip: dict[str, Any]
) -> None:
    job_id = clip["job_id"]
    for stranger in (other, anyone):
        for path in ("", "/events", "/preview", "/poster", "/last-frame"):
            is_error(stranger.get(f"/api/jobs/{job_id}{path}"), 404, "not_found")
        is_error(stranger.get(f"/api/result/{job_id}"), 404, "not_found")
        is_error(stranger.get(f"/api/status/{job_id}"), 404, "not_found")
        for action in ("cancel", "finish"):
            is_error(stranger.post(f"/api/jobs/{job_id}/{action}"), 404, "not_found")
        is_error(stranger.delete(f"/api/jobs/{job_id}"), 404, "not_found")
    listed = [job["job_id"] for job in me.get("/api/jobs", params={"limit": 100}).json()["jobs"]]
    assert job_id in listed
    assert other.get("/api/jobs").json()["jobs"] == []
    is_error(anyone.get("/api/jobs"), 401, "unauthorized")


def test_without_a_name_the_id_is_the_key(anyone: httpx.Client, other: httpx.Client) -> None:
    job = make(anyone)
    assert job["state"] == "succeeded"
    assert other.get(f"/api/result/{job['job_id']}").status_code == 200
    assert "set-cookie" not in anyone.get(f"/api/jobs/{job['job_id']}").headers


def test_a_list_has_pages(connect: Connect) -> None:
    me = connect("pages-" + str(time.time_ns()))
    made = [make(me, seed=n)["job_id"] for n in range(3)]
    first = me.get("/api/jobs", params={"limit": 2}).json()
    assert [job["job_id"] for job in first["jobs"]] == [made[2], made[1]]
    rest = me.get("/api/jobs", params={"limit": 2, "before": first["next"]}).json()
    assert [job["job_id"] for job in rest["jobs"]] == [made[0]]
    assert rest["next"] is None


def test_models_and_the_outlook(me: httpx.Client) -> None:
    (model,) = me.get("/api/models").json()
    assert (model["id"], model["tasks"]) == ("pocket", ["t2v", "i2v"])
    assert "repo" not in model, "a folder of this machine"
    outlook = me.post("/api/estimate", json={"num_frames": 16}).json()
    assert outlook["low"] <= outlook["seconds"] <= outlook["high"]
    assert outlook["used"]["num_frames"] == 17
    assert outlook["used"]["adjustments"][0]["sentence"]


def test_a_clip_says_what_made_it(me: httpx.Client, clip: dict[str, Any]) -> None:
    data = me.get(f"/api/result/{clip['job_id']}").content
    for answer in (
        me.post("/api/verify", content=data),
        me.post("/api/verify", files={"file": ("clip.mp4", data)}),
    ):
        assert answer.json()["settings"]["settings"]["seed"] == 11
        assert answer.json()["signed"]
        report = answer.json()["provenance"]
        assert report["state"] == "valid"
        assert report["signed_by"]["kind"] == "this_installation"
        assert (report["made_by"]["model"], report["made_by"]["is_generated"]) == ("pocket", True)
    changed = me.post("/api/verify", content=data.replace(b'"seed":11', b'"seed":12')).json()
    assert (changed["signed"], changed["provenance"]["state"]) == (False, "changed")
    nothing = me.post("/api/verify", content=b"no clip").json()
    assert nothing["settings"] is None and not nothing["signed"]


def test_the_credentials_of_a_webm_are_a_file_of_their_own(me: httpx.Client) -> None:
    job = make(me, format="webm", seed=12)
    assert job["result"]["signed"]
    clip = me.get(job["urls"]["result"]).content
    credentials = me.get(job["urls"]["credentials"])
    assert credentials.headers["content-type"] == "application/c2pa"
    assert not me.post("/api/verify", content=clip).json()["signed"]
    files = {"file": ("clip.webm", clip), "credentials": ("clip.webm.c2pa", credentials.content)}
    assert me.post("/api/verify", files=files).json()["signed"]
    files["file"] = ("clip.webm", clip[:-1] + bytes([clip[-1] ^ 1]))
    assert me.post("/api/verify", files=files).json()["provenance"]["state"] == "changed"


def test_a_clip_with_its_credentials_inside_has_no_file_of_them(
    me: httpx.Client, clip: dict[str, Any]
) -> None:
    assert "credentials" not in clip["urls"]
    assert me.get(f"/api/jobs/{clip['job_id']}/credentials").status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"prompt": ""}, "invalid_input"),
        ({"prompt": "a", "steps": 3}, "invalid_input"),
        ({"prompt": "a", "seed": -2}, "invalid_input"),
        ({"prompt": "a", "seed": 2**40}, "invalid_input"),
        ({"prompt": "a" * 3000}, "invalid_input"),
        ({"prompt": ["a"]}, "invalid_input"),
        ({"prompt": "a", "guidance_scale": float("inf")}, "invalid_input"),
        ({"prompt": "a", "width": 100000}, "invalid_input"),
        ({"prompt": "\ud800"}, "invalid_input"),
        ({"prompt": "a", "num_frames": 999}, "too_many_frames"),
        ({"prompt": "a", "image": "https://example.org/cat.png"}, "invalid_input"),
        ({"prompt": "a", "image": "/etc/passwd"}, "invalid_input"),
        ({"prompt": "a", "image": "data:image/png;base64,@@"}, "invalid_input"),
        ({"prompt": "a", "image": "data:image/png;base64,aGk="}, "invalid_image"),
        ({"prompt": "a", "loras": "[["}, "invalid_input"),
        ({"prompt": "a", "reuse": "maybe"}, "invalid_input"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(
    me: httpx.Client, body: dict[str, Any], code: str
) -> None:
    raw = json.dumps(body)
    answer = me.post("/api/generate", content=raw, headers={"Content-Type": "application/json"})
    error = is_error(answer, 422, code)
    assert "/" not in error["message"].replace("and/or", "")


def test_unknown_models_and_pictures_are_not_found(me: httpx.Client) -> None:
    unknown = me.post("/api/generate", json={"prompt": "a", "model": "sora"})
    is_error(unknown, 404, "unknown_model")
    picture = me.post("/api/generate", json={"prompt": "a", "image": "0" * 64})
    is_error(picture, 404, "not_found")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"prompt: a", "application/yaml"),
        (b"--x\r\n", "multipart/form-data"),
        (b"nonsense", "multipart/form-data; boundary=x"),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--",
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_bodies_that_cannot_be_read(me: httpx.Client, content: bytes, kind: str) -> None:
    answer = me.post("/api/generate", content=content, headers={"Content-Type": kind})
    is_error(answer, 422, "invalid_input")


def test_what_is_not_there_says_so_in_one_shape(me: httpx.Client) -> None:
    for path in ("/api/nothing", "/api/jobs/x", "/api/status/" + "0" * 32, "/v1/nothing"):
        answer = me.get(path)
        assert answer.status_code == 404
        assert answer.json()["message"]
    wrong = me.put("/api/generate")
    is_error(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    is_error(me.get("/api/jobs", params={"limit": "many"}), 422, "invalid_input")


def test_who_leaves_the_stream_stops_nothing(me: httpx.Client) -> None:
    job_id = me.post("/api/generate", json={"prompt": "a", "num_inference_steps": 60}).json()[
        "job_id"
    ]
    with me.stream("GET", f"/api/jobs/{job_id}/events") as answer:
        next(answer.iter_lines())
    assert ended(me, job_id)["state"] == "succeeded"


def test_many_watchers_hear_the_same(connect: Connect, me: httpx.Client) -> None:
    job_id = me.post("/api/generate", json={"prompt": "watched", "reuse": False}).json()["job_id"]
    heard: list[list[dict[str, Any]]] = []
    clients = [connect(me.headers["authorization"][7:]) for _ in range(10)]
    threads = [
        threading.Thread(target=lambda c=client: heard.append(events(c, job_id)))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(heard) == 10
    assert all(each == heard[0] for each in heard)


def test_a_finished_clip_is_evaluated(me: httpx.Client, clip: dict[str, Any]) -> None:
    found = me.get(f"/api/jobs/{clip['job_id']}/evaluation")
    assert found.status_code == 200, found.text
    values = found.json()
    assert values["frames"] == clip["result"]["num_frames"]
    assert 0 < values["motion_smoothness"] <= 1
    assert 0 < values["temporal_consistency"] <= 1
    assert 0 <= values["flicker"] < 255
    assert values["clip_score"] is None, "no CLIP model is set"
    assert me.get(f"/api/jobs/{'0' * 32}/evaluation").status_code == 404
