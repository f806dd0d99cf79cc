"""Films over HTTP: shots in one request, each a clip of its own, redone and reordered."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import gradio_client
import httpx
import pytest

from tests.api.conftest import SECRET, WAIT_S, ApiServer, is_error
from tests.media.reading import read

FAST = {"num_inference_steps": 2, "width": 96, "height": 64, "fps": 8}
SHOTS: list[dict[str, Any]] = [
    {"prompt": "a dog", "num": 1},
    {"prompt": "it runs", "cut": "continue"},
    {"prompt": "a cat", "cut": "crossfade"},
]
FILM = {**FAST, "shots": [{k: v for k, v in each.items() if k != "num"} for each in SHOTS],
        "duration_s": 1, "crossfade_s": 0.25}  # fmt: skip


def finished(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 202), answer.text
    film = answer.json()
    ends = time.monotonic() + WAIT_S
    while film["state"] == "working":
        assert time.monotonic() < ends, film
        time.sleep(0.1)
        film = client.get(f"/api/films/{film['film_id']}").json()
    return film


def frames(client: httpx.Client, job: dict[str, Any], folder: Path) -> int:
    file = folder / "clip.mp4"
    file.write_bytes(client.get(job["urls"]["result"]).content)
    return len(read(file).frames)


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """Filled by `film`: a film costs seconds."""
    return {}


@pytest.fixture
def film(me: httpx.Client, kept: dict[str, Any]) -> dict[str, Any]:
    if not kept:
        answer = me.post("/api/films", json=FILM, headers={"Idempotency-Key": "the-film"})
        assert answer.headers["location"] == f"/api/films/{answer.json()['film_id']}"
        kept.update(finished(me, answer))
        assert kept["state"] == "succeeded", kept
    return me.get(f"/api/films/{kept['film_id']}").json()


def test_a_film_has_its_shots_and_its_file(
    me: httpx.Client, film: dict[str, Any], tmp_path: Path
) -> None:
    assert [each["number"] for each in film["shots"]] == [1, 2, 3]
    assert [each["state"] for each in film["shots"]] == ["succeeded"] * 3
    assert film["progress"] == 1
    made = [frames(me, each["job"], tmp_path) for each in film["shots"]]
    assert frames(me, film["file"], tmp_path) == sum(made) - 2
    assert me.get(film["urls"]["result"]).status_code == 200
    listed = me.get("/api/films").json()["films"]
    assert [each["prompt"] for each in listed if each["film_id"] == film["film_id"]] == ["a dog"]
    family = me.get(f"/api/clips/{film['shots'][0]['job']['job_id']}/family").json()["family"]
    relations = {(each["relation"], each["clip"]["job_id"]) for each in family}
    assert ("edit", film["file"]["job_id"]) in relations
    assert ("shot", film["shots"][2]["job"]["job_id"]) in relations


def test_the_same_request_gives_the_same_film(me: httpx.Client, film: dict[str, Any]) -> None:
    again = me.post("/api/films", json=FILM, headers={"Idempotency-Key": "the-film"})
    assert again.json()["film_id"] == film["film_id"]
    changed = FILM | {"crossfade_s": 0.5}
    refused = me.post("/api/films", json=changed, headers={"Idempotency-Key": "the-film"})
    is_error(refused, 422, "invalid_input")


def test_one_shot_is_redone(me: httpx.Client, film: dict[str, Any]) -> None:
    here = film["urls"]["self"]
    answer = me.post(f"{here}/shots/3/redo", json={"prompt": "a bird"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["file"]["job_id"] == film["file"]["job_id"], "the older one, until then"
    after = finished(me, answer)
    jobs = [[each["job"]["job_id"] for each in one["shots"]] for one in (film, after)]
    assert jobs[0][:2] == jobs[1][:2]
    assert jobs[0][2] != jobs[1][2]
    assert after["file"]["job_id"] != film["file"]["job_id"]
    assert after["shots"][2]["prompt"] == "a bird"
    is_error(me.post(f"{here}/shots/4/redo", json={}), 404, "not_found")
    is_error(me.post(f"{here}/shots/1/redo", json={"model": "x"}), 422, "invalid_input")


def test_the_order_is_changed_and_a_shot_added(me: httpx.Client, film: dict[str, Any]) -> None:
    ids = [each["id"] for each in film["shots"]]
    shots = [{"id": ids[2]}, {"prompt": "a fish", "duration_s": 1}, {"id": ids[0]}]
    after = finished(me, me.patch(film["urls"]["self"], json={"shots": shots}))
    assert [each["prompt"] for each in after["shots"]] == [
        film["shots"][2]["prompt"], "a fish", "a dog",
    ]  # fmt: skip
    kept = [after["shots"][n]["job"]["job_id"] for n in (0, 2)]
    assert kept == [film["shots"][n]["job"]["job_id"] for n in (2, 0)]
    wrong = {"shots": [{"id": "00000000"}]}
    is_error(me.patch(film["urls"]["self"], json=wrong), 404, "not_found")


def test_a_form_brings_pictures_along(me: httpx.Client, png: bytes) -> None:
    shots = [{"prompt": "a ball", "image": "@ball"}, {"prompt": "it rolls"}]
    data = {"shots": json.dumps(shots), **{name: str(value) for name, value in FAST.items()}}
    answer = me.post("/api/films", data=data, files={"ball": ("ball.png", png)})
    assert answer.status_code == 202, answer.text
    assert answer.json()["shots"][0]["job"]["task"] == "i2v"
    me.post(answer.json()["urls"]["cancel"])
    uri = "data:image/png;base64," + base64.b64encode(png).decode()
    answer = me.post("/api/films", json=FAST | {"shots": [{"prompt": "b", "image": uri}, "c"]})
    film = answer.json()
    assert (film["shots"][0]["job"]["task"], film["shots"][1]["prompt"]) == ("i2v", "c")
    cancelled = finished(me, me.post(film["urls"]["cancel"]))
    assert cancelled["state"] in ("cancelled", "succeeded")


def test_a_film_is_cancelled_resumed_and_deleted(me: httpx.Client) -> None:
    slow = FILM | {"num_inference_steps": 200}
    film = me.post("/api/films", json=slow).json()
    film = finished(me, me.post(film["urls"]["cancel"]))
    assert film["state"] == "cancelled"
    assert film["shots"][1]["state"] == "cancelled"
    again = me.post(film["urls"]["resume"])
    assert again.status_code == 202, again.text
    assert again.json()["state"] == "working"
    assert me.delete(film["urls"]["self"]).status_code == 204
    is_error(me.get(film["urls"]["self"]), 404, "not_found")


def test_an_estimate_makes_nothing(me: httpx.Client) -> None:
    before = me.get("/api/films").json()["films"]
    found = me.post("/api/films/estimate", json=FILM).json()
    assert len(found["shots"]) == 3
    assert found["seconds"] >= sum(each["seconds"] for each in found["shots"])
    assert found["duration_s"] == sum(each["duration_s"] for each in found["shots"])
    assert me.get("/api/films").json()["films"] == before


def test_a_film_is_followed_as_events(me: httpx.Client) -> None:
    film = me.post("/api/films", json=FILM | {"shots": ["a dog", "a cat"]}).json()
    states = []
    with me.stream("GET", film["urls"]["events"]) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: {") and line != "data: {}":
                states.append(json.loads(line[6:])["state"])
            if line == "event: end":
                break
    assert states[0] == "working"
    assert states[-1] == "succeeded"


def test_another_caller_finds_no_film(other: httpx.Client, film: dict[str, Any]) -> None:
    here = film["urls"]["self"]
    is_error(other.get(here), 404, "not_found")
    is_error(other.post(f"{here}/cancel"), 404, "not_found")
    is_error(other.delete(here), 404, "not_found")
    is_error(other.patch(here, json={"shots": ["x"]}), 404, "not_found")
    is_error(other.post(f"{here}/shots/1/redo", json={}), 404, "not_found")
    is_error(other.get(f"{here}/events"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "A film needs “shots”"),
        ({"shots": "three"}, "it must be a JSON list"),
        ({"shots": ["a"] * 21}, "there are 21; at most 20"),
        ({"shots": ["a", {"prompt": "b", "cut": "jump"}]}, "Shot 2: "),
        ({"shots": ["a", {"prompt": "b", "duration_s": -1}]}, "Shot 2: "),
        ({"shots": ["a", ""]}, "Shot 2: "),
        ({"shots": ["a", {"prompt": "b", "cut": "continue", "image": "0" * 64}]}, "Shot 2: "),
        ({"shots": ["a"], "prompt": "b"}, "each shot of a film has its own"),
        ({"shots": ["a"], "video": "0" * 64}, "films have none"),
        ({"shots": ["a"], "steps": 3}, "There is no setting called “steps”"),
        ({"shots": ["a"], "crossfade_s": 99}, "crossfade_s"),
        ({"shots": [["a"]]}, "shot 1 must be an object or a prompt"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(
    me: httpx.Client, body: dict[str, Any], sentence: str
) -> None:
    refused = me.post("/api/films", json=body)
    assert refused.status_code in (404, 422), refused.text
    assert sentence in refused.json()["message"]


def test_programs_make_films_through_gradio(server: ApiServer) -> None:
    client = gradio_client.Client(
        server.url, headers={"Authorization": f"Bearer {SECRET}"}, verbose=False
    )
    shots = [{"prompt": "a dog"}, {"prompt": "it runs", "cut": "continue"}]
    started = client.predict(shots, FAST | {"duration_s": 1}, api_name="/make_film")
    ends = time.monotonic() + WAIT_S
    state = started
    while state["state"] == "working":
        assert time.monotonic() < ends, state
        time.sleep(0.5)
        state = client.predict(started["film_id"], api_name="/film_state")
    assert state["state"] == "succeeded", state
    assert state["url"].endswith(f"/api/result/{state['job_id']}")
    redone = client.predict(started["film_id"], 1, "a cat", api_name="/redo_shot")
    assert redone["shots"][0]["job_id"] != state["shots"][0]["job_id"]
    assert redone["shots"][1]["job_id"] == state["shots"][1]["job_id"]
    cancelled = client.predict(started["film_id"], api_name="/cancel_film")
    assert cancelled["film_id"] == started["film_id"]
    with pytest.raises(Exception, match="no shot 7"):
        client.predict(started["film_id"], 7, None, api_name="/redo_shot")
