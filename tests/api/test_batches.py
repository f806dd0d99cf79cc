"""Batches: many prompts or pictures become many jobs, followed as one."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from tests.api.conftest import LONG, Connect, is_error
from tests.media.formats import sample

QUICK = {"num_inference_steps": 2}


@pytest.fixture
def me(connect: Connect) -> Iterator[httpx.Client]:
    """A new name each time: of one's batches, one may be unfinished."""
    yield connect(f"batches-{time.time_ns()}")


def pictures(count: int) -> list[bytes]:
    made = []
    for n in range(count):
        kept = io.BytesIO()
        Image.new("RGB", (64, 64), (40 * n, 80, 120)).save(kept, "PNG")
        made.append(kept.getvalue())
    return made


def zipped(files: dict[str, bytes]) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return kept.getvalue()


def ended(client: httpx.Client, batch_id: str) -> dict[str, object]:
    """Follows the batch's own stream to its end."""
    states = []
    with client.stream("GET", f"/api/batches/{batch_id}/events", timeout=120) as answer:
        for line in answer.iter_lines():
            if line.startswith('data: {"batch_id'):
                states.append(json.loads(line[6:]))
    progress = [state["progress"] for state in states]
    assert progress == sorted(progress)
    assert states[-1]["state"] == "ended"
    return client.get(f"/api/batches/{batch_id}").json()


def test_many_prompts_become_many_clips_followed_as_one(me: httpx.Client) -> None:
    body = {"prompts": ["a dog", "a cat", "a rocket"], "seed": 4, **QUICK}
    answer = me.post("/api/batches", json=body)
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert answer.headers["location"] == f"/api/batches/{batch['batch_id']}"
    assert [job["settings"]["prompt"] for job in batch["jobs"]] == body["prompts"]
    done = ended(me, batch["batch_id"])
    assert (done["state"], done["progress"], done["counts"]) == ("ended", 1.0, {"succeeded": 3})
    for job in done["jobs"]:  # type: ignore[attr-defined]
        assert me.get(job["urls"]["result"]).content[4:8] == b"ftyp"
    again = me.post("/api/batches", json=body).json()
    assert again["counts"] == {"succeeded": 3}
    assert all(job["reused"] for job in again["jobs"])


def test_many_pictures_or_a_zip_of_them(me: httpx.Client) -> None:
    files = [("images", (f"{n}.png", data)) for n, data in enumerate(pictures(2))]
    batch = me.post("/api/batches", data={"prompt": "it moves", **QUICK}, files=files).json()
    assert [job["task"] for job in batch["jobs"]] == ["i2v", "i2v"]
    ended(me, batch["batch_id"])

    names = ["b.png", "a.png", "c/d.png", "__MACOSX/._a.png", "readme.txt"]
    archive = zipped(dict(zip(names, [*pictures(3), b"x", b"y"], strict=True)))
    answer = me.post("/api/batches", data=QUICK, files={"zip": ("pictures.zip", archive)})
    zipped_jobs = answer.json()["jobs"]
    assert len(zipped_jobs) == 3
    first_two = [job["settings"]["image"] for job in batch["jobs"]]
    by_name = [job["settings"]["image"] for job in zipped_jobs]
    assert by_name[:2] == first_two[::-1], "in the order of their names"
    ended(me, answer.json()["batch_id"])


def test_whole_requests_with_what_they_share(me: httpx.Client) -> None:
    requests = [{"prompt": "a dog", "seed": 1}, {"prompt": "a cat", "seed": 2, "width": 96}]
    batch = me.post("/api/batches", json={"requests": requests, **QUICK}).json()
    assert [job["settings"]["width"] for job in batch["jobs"]] == [64, 96]
    assert [job["settings"]["num_inference_steps"] for job in batch["jobs"]] == [2, 2]
    ended(me, batch["batch_id"])


def test_cancelling_a_batch_stops_all_of_it(me: httpx.Client) -> None:
    body = {"prompts": ["a", "b", "c"], **LONG}
    batch_id = me.post("/api/batches", json=body).json()["batch_id"]
    assert me.post(f"/api/batches/{batch_id}/cancel").status_code == 200
    assert ended(me, batch_id)["counts"] == {"cancelled": 3}


def test_a_batch_is_its_owners_and_its_key_makes_it_once(
    me: httpx.Client, other: httpx.Client
) -> None:
    key = {"Idempotency-Key": "one-batch"}
    body = {"prompts": ["a", "b"], **QUICK}
    first = me.post("/api/batches", json=body, headers=key).json()
    again = me.post("/api/batches", json=body, headers=key).json()
    assert first["batch_id"] == again["batch_id"]
    other_body = {"prompts": ["a", "c"], **QUICK}
    is_error(me.post("/api/batches", json=other_body, headers=key), 422, "invalid_input")
    is_error(other.get(f"/api/batches/{first['batch_id']}"), 404, "not_found")
    is_error(other.post(f"/api/batches/{first['batch_id']}/cancel"), 404, "not_found")
    ended(me, first["batch_id"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompts": []},
        {"prompts": ["a"] * 33},
        {"prompts": ["a", ""]},
        {"prompts": ["a", 3]},
        {"requests": [{"prompt": "a"}, "b"]},
        {"requests": [{"prompt": "a"}], "prompts": ["b"]},
        {"requests": [{"prompt": "a", "steps": 4}]},
        {"prompts": "[["},
    ],
)
def test_a_batch_with_one_bad_clip_is_refused_whole(
    me: httpx.Client, body: dict[str, object]
) -> None:
    is_error(me.post("/api/batches", json=body), 422, "invalid_input")
    assert me.get("/api/jobs").json()["jobs"] == []


def test_numbered_pictures_of_a_zip_are_made_in_the_order_of_their_numbers(
    me: httpx.Client,
) -> None:
    first, second, tenth = pictures(3)
    archive = zipped({"10.png": tenth, "2.png": second, "1.png": first})
    by_zip = me.post("/api/batches", data=QUICK, files={"zip": ("z.zip", archive)}).json()
    ended(me, by_zip["batch_id"])
    files = [("images", (f"{n}.png", data)) for n, data in ((1, first), (2, second), (10, tenth))]
    by_part = me.post("/api/batches", data=QUICK, files=files).json()
    ended(me, by_part["batch_id"])
    order = [[job["settings"]["image"] for job in b["jobs"]] for b in (by_zip, by_part)]
    assert order[0] == order[1] and len(set(order[0])) == 3


def test_a_file_that_cannot_be_read_refuses_the_batch_by_its_name(me: httpx.Client) -> None:
    (picture,) = pictures(1)
    heic = sample("HEIF", "RGB").data
    broken = heic[:200] + bytes(24)
    good = {"a.png": picture, "IMG_0001.HEIC": heic, "b.avif": sample("AVIF", "RGB").data}
    for bad in ({"IMG_0002.HEIC": broken}, {"c.jpg": b"no picture"}, {"clip.mp4": b"\0" * 9}):
        (name,) = bad
        for answer in (
            me.post("/api/batches", data=QUICK, files={"zip": ("z.zip", zipped(good | bad))}),
            me.post(
                "/api/batches", data=QUICK,
                files=[("images", item) for item in (good | bad).items()],
            ),
        ):  # fmt: skip
            error = is_error(answer, 422, "invalid_image")
            assert f"“{name}”" in error["message"] and error["details"]["file"] == name
    assert me.get("/api/jobs").json()["jobs"] == []
    answer = me.post("/api/batches", data=QUICK, files={"zip": ("z.zip", zipped(good))})
    assert answer.status_code == 202, answer.text
    ended(me, answer.json()["batch_id"])


def test_zips_that_are_none_or_too_much(me: httpx.Client) -> None:
    (picture,) = pictures(1)
    bomb = zipped({"big.png": b"\0" * 70_000_000})
    broken = zipped({"a.png": picture})[:-30]
    torn = bytearray(zipped({"a.png": picture}))
    torn[45:60] = b"\xff" * 15
    for data, status, code in [
        (b"no zip", 422, "invalid_input"),
        (broken, 422, "invalid_input"),
        (bytes(torn), 422, "invalid_input"),
        (zipped({"readme.txt": b"x"}), 422, "invalid_input"),
        (zipped({"a.png": b"no picture"}), 422, "invalid_image"),
        (zipped({"a.png": picture, "notes.pdf": b"%PDF-1.7"}), 422, "invalid_image"),
        (zipped({f"{n}.png": picture for n in range(40)}), 422, "invalid_input"),
        (bomb, 413, "too_large"),
    ]:
        answer = me.post("/api/batches", data=QUICK, files={"zip": ("z.zip", data)})
        is_error(answer, status, code)
