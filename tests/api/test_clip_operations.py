"""Edits over HTTP: own clips and uploads, in JSON and forms, with previews and estimates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import ended, is_error, make
from tests.media.reading import read

TRIM = {"op": "trim", "start_s": 0.25, "end_s": 0.75}


@pytest.fixture(scope="module")
def clip() -> dict[str, Any]:
    """Filled by `first_clip`: a clip costs seconds."""
    return {}


@pytest.fixture
def first_clip(me: httpx.Client, clip: dict[str, Any]) -> str:
    if not clip:
        clip.update(make(me, num_frames=9, fps=8))
    return clip["job_id"]


def edited(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/jobs/{answer.json()['job_id']}"
    job = ended(client, answer.json()["job_id"])
    assert job["state"] == "succeeded", job
    return job


def frames(client: httpx.Client, job: dict[str, Any], folder: Path) -> int:
    file = folder / "clip.mp4"
    file.write_bytes(client.get(job["urls"]["result"]).content)
    return len(read(file).frames)


def test_the_operations_are_listed_with_their_schemas(anyone: httpx.Client) -> None:
    listed = {each["op"]: each for each in anyone.get("/api/operations").json()["operations"]}
    assert {"trim", "speed", "reverse"} <= set(listed)
    assert listed["trim"]["by_position"] == ["start_s", "end_s"]
    assert listed["trim"]["schema"]["properties"]["start_s"]["minimum"] == 0


def test_a_clip_of_ones_own_is_edited(
    me: httpx.Client, other: httpx.Client, first_clip: str, tmp_path: Path
) -> None:
    body = {"operations": [TRIM, "reverse"]}
    job = edited(me, me.post(f"/api/clips/{first_clip}/operations", json=body))
    assert job["parent_id"] == first_clip
    assert job["edit"]["clips"] == [first_clip]
    assert [each["op"] for each in job["edit"]["operations"]] == ["trim", "reverse"]
    assert job["result"]["num_frames"] == frames(me, job, tmp_path) == 4
    assert "finish" not in job["urls"]
    family = me.get(f"/api/clips/{first_clip}/family").json()["family"]
    assert ("edit", job["job_id"]) in [(e["relation"], e["clip"]["job_id"]) for e in family]
    refused = other.post(f"/api/clips/{first_clip}/operations", json=body)
    is_error(refused, 404, "not_found")


def test_a_form_brings_its_files_along(me: httpx.Client, first_clip: str, tmp_path: Path) -> None:
    data = me.get(f"/api/result/{first_clip}").content
    job = edited(
        me,
        me.post(
            "/api/operations",
            files=[("clips", ("mine.mp4", data)), ("operations", (None, "trim=0:0.5"))],
        ),
    )
    assert frames(me, job, tmp_path) == 4
    assert job["parent_id"] is None
    form = {"clips": first_clip, "operations": json.dumps([TRIM]), "format": "gif"}
    job = edited(me, me.post("/api/operations", data=form))
    assert me.get(job["urls"]["result"]).headers["content-type"] == "image/gif"


def test_an_estimate_says_what_would_come_out(me: httpx.Client, first_clip: str) -> None:
    body = {"clips": [first_clip], "operations": ["speed=0.5"]}
    found = me.post("/api/operations/estimate", json=body).json()
    assert found["num_frames"] == 18
    assert found["fps"] == 8
    assert found["low"] <= found["seconds"] <= found["high"]


def test_a_preview_is_small_and_nothing_is_stored(
    me: httpx.Client, first_clip: str, tmp_path: Path
) -> None:
    before = me.get("/api/jobs", params={"limit": 100}).json()["jobs"]
    answer = me.post("/api/operations/preview", json={"clips": [first_clip], "operations": [TRIM]})
    assert answer.headers["content-type"] == "video/mp4", answer.text
    (tmp_path / "preview.mp4").write_bytes(answer.content)
    assert len(read(tmp_path / "preview.mp4").frames) == 4
    assert len(me.get("/api/jobs", params={"limit": 100}).json()["jobs"]) == len(before)


def test_the_same_key_makes_one_edit(me: httpx.Client, first_clip: str) -> None:
    body = {"clips": [first_clip], "operations": ["reverse"]}
    headers = {"Idempotency-Key": "the-edit-of-this-test"}
    first, second = (me.post("/api/operations", json=body, headers=headers) for _ in range(2))
    assert first.json()["job_id"] == second.json()["job_id"]
    changed = me.post("/api/operations", json=body | {"operations": []}, headers=headers)
    is_error(changed, 422, "invalid_input")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"clips": []}, "clips"),
        ({"clips": ["CLIP"], "operations": ["explode"]}, "There is no operation “explode”."),
        ({"clips": ["CLIP"], "operations": ["trim=a"]}, "trim:"),
        ({"clips": ["CLIP"], "operations": [{"op": "trim", "start_s": -1}]}, "trim:"),
        ({"clips": ["CLIP"], "operations": [7]}, "operations"),
        ({"clips": ["CLIP"], "operations": "[{"}, "it must be JSON"),
        ({"clips": ["CLIP"], "operations": ["trim=50:60"]}, "Choose an earlier start."),
        ({"clips": ["CLIP"], "format": "exe"}, "Format"),
        ({"clips": ["CLIP"], "shell": "rm"}, "shell"),
        ({"clips": ["../../etc/passwd"]}, "clips"),
        ({"clips": [{"path": "/etc/passwd"}]}, "clips"),
        ({"clips": ["CLIP"] * 21}, "clips"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    me: httpx.Client, first_clip: str, body: dict[str, Any], sentence: str
) -> None:
    body = json.loads(json.dumps(body).replace("CLIP", first_clip))
    for path in ("/api/operations", "/api/operations/estimate", "/api/operations/preview"):
        found = is_error(me.post(path, json=body), 422, "invalid_input")
        assert sentence in found["message"], found


def test_files_of_no_use_are_refused(me: httpx.Client) -> None:
    answer = me.post("/api/operations/files", files={"file": ("a.bin", b"\0" * 100)})
    assert "of no kind" in is_error(answer, 422, "invalid_input")["message"]
    answer = me.post("/api/operations/files", data={"kind": "sound"})
    is_error(answer, 422, "invalid_input")


def test_subtitles_and_luts_are_known_by_what_is_in_them(me: httpx.Client) -> None:
    files = {
        "subtitles": b"1\r\n00:00:00,000 --> 00:00:01,000\r\nGr\xfc\xdfe\r\n",
        "lut": b'TITLE "plain"\nLUT_3D_SIZE 2\n',
    }
    for kind, data in files.items():
        stored = me.post("/api/operations/files", files={"file": ("file", data)})
        assert stored.status_code == 201, stored.text
        assert stored.json()["kind"] == kind
        assert len(stored.json()["id"]) == 64
