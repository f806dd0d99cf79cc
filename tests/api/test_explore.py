"""Drafts and comparisons over HTTP, in this process. Clips are made where a test makes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.site import build, is_ours
from app import build_service
from jobs.service import JobService
from jobs.workers.foreground import ForegroundExecutor
from settings import Settings
from tests import tiny
from tests.api.conftest import OTHER_SECRET, SECRET
from web.guard import Guard
from web.metrics import Metrics

DOG = {"prompt": "a dog in the snow", "seed": 5}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobService]:
    """With a card whose drafts are smaller, a distilled one, and no weights. Each test has a caller
    of its own."""
    root = tmp_path_factory.mktemp("explore")
    folder, repo = root / "cards", root / "nowhere"
    tiny.write_card(folder, repo, drafts={"steps": 2, "scale": 0.5})
    limits = tiny.CARD["limits"] | {"max_guidance": 1.0, "max_steps": 4}  # type: ignore[operator]
    usual = tiny.CARD["defaults"] | {"guidance_scale": 1.0}  # type: ignore[operator]
    takes = {"guidance": False, "negative_prompt": False}
    tiny.write_card(folder, repo, id="distilled", limits=limits, defaults=usual, takes=takes)
    more: dict[str, object] = {"data_dir": root / "data", "models_dir": folder}
    settings = Settings(_env_file=None, clips_per_minute=0, max_queue=1000, **more)  # pyright: ignore[reportCallIssue]
    service = build_service(settings, ForegroundExecutor(settings))
    service.start_command()
    yield service
    service.close()


def site_of(service: JobService, settings: Settings) -> Guard:
    metrics = Metrics(service)
    api = build(service, settings, metrics)
    return Guard(api, api, is_ours, settings, metrics)


@pytest.fixture(scope="module")
def site(service: JobService) -> Guard:
    return site_of(service, service.settings)


def client_of(site: Guard, secret: str = SECRET) -> TestClient:
    """A caller that nobody was before."""
    headers = {"Authorization": f"Bearer {secret}-{time.time_ns()}"}
    return TestClient(site, headers=headers)


@pytest.fixture
def me(site: Guard) -> TestClient:
    return client_of(site)


@pytest.fixture
def other(site: Guard) -> TestClient:
    return client_of(site, OTHER_SECRET)


def refused(answer: Any, status: int, code: str) -> str:
    body = answer.json()
    assert (answer.status_code, body["error"]) == (status, code), body
    return body["message"]


# -- drafts ----------------------------------------------------------------------------------------


def test_drafts_are_a_batch_of_clips_that_can_be_rendered(me: TestClient) -> None:
    answer = me.post("/api/drafts", json=DOG | {"drafts": 3})
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert answer.headers["location"] == batch["urls"]["self"]
    assert (batch["kind"], batch["axes"], len(batch["jobs"])) == ("drafts", [], 3)
    assert [cell["job_id"] for cell in batch["cells"]] == [j["job_id"] for j in batch["jobs"]]
    seeds = [job["settings"]["seed"] for job in batch["jobs"]]
    assert seeds[0] == 5 and len(set(seeds)) == 3
    for job, seed in zip(batch["jobs"], seeds, strict=True):
        assert (job["settings"]["width"], job["settings"]["num_inference_steps"]) == (32, 2)
        assert job["full"] == DOG | {"seed": seed, "model": "pocket"}

    picked = batch["jobs"][1]
    answer = me.post(picked["urls"]["render"])
    assert answer.status_code == 202
    job = answer.json()
    assert job["parent_id"] == picked["job_id"] and job["batch_id"] is None and job["full"] is None
    assert (job["settings"]["seed"], job["settings"]["width"]) == (seeds[1], 64)
    assert any("another composition" in each["sentence"] for each in job["adjustments"])
    assert "render" not in job["urls"]
    refused(me.post(f"/api/jobs/{job['job_id']}/render"), 409, "conflict")


def test_one_draft_is_discarded_alone(me: TestClient) -> None:
    batch = me.post("/api/drafts", json=DOG | {"drafts": 2}).json()
    assert me.post(batch["jobs"][0]["urls"]["cancel"]).json()["state"] == "cancelled"
    after = me.get(batch["urls"]["self"]).json()
    assert after["counts"] == {"queued": 1, "cancelled": 1}


def test_the_estimate_says_what_drafts_and_the_full_clip_cost(me: TestClient) -> None:
    body = me.post("/api/drafts/estimate", json=DOG | {"drafts": 4}).json()
    assert (body["clips"], len(body["used"]), len(body["cells"])) == (4, 4, 4)
    assert 0 < body["low"] < body["seconds"] < body["high"]
    assert body["full"]["used"]["num_inference_steps"] == 4
    assert body["seconds"] < 4 * body["full"]["seconds"]
    assert me.get("/api/jobs").json()["jobs"] == [], "nothing is made"


@pytest.mark.parametrize("drafts", [1, 9, 0, "many", 2.5, True, None])
def test_there_are_two_to_eight_drafts(me: TestClient, drafts: object) -> None:
    sentence = refused(me.post("/api/drafts", json=DOG | {"drafts": drafts}), 422, "invalid_input")
    assert "drafts" in sentence


def test_a_form_can_ask_for_drafts_too(me: TestClient) -> None:
    batch = me.post("/api/drafts", data={"prompt": "a dog", "drafts": "2"}).json()
    assert len(batch["jobs"]) == 2


def test_a_key_makes_drafts_once(me: TestClient) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = (me.post("/api/drafts", json=DOG, headers=key).json() for _ in range(2))
    assert first["batch_id"] == again["batch_id"] and len(first["jobs"]) == 4
    refused(me.post("/api/drafts", json=DOG | {"drafts": 3}, headers=key), 422, "invalid_input")
    picked = first["jobs"][0]["urls"]["render"]
    renders = {me.post(picked, headers=key | {"Idempotency-Key": "r"}).json()["job_id"]
               for _ in range(2)}  # fmt: skip
    assert len(renders) == 1


def test_each_draft_counts_and_too_many_are_refused_whole(service: JobService) -> None:
    limited = service.settings.model_copy(update={"clips_per_minute": 5})
    client = client_of(site_of(service, limited))
    answer = client.post("/api/drafts", json=DOG | {"drafts": 3})
    assert answer.headers["ratelimit-remaining"] == "2"
    refused(client.post("/api/drafts", json=DOG | {"drafts": 3}), 429, "rate_limited")
    assert len(client.get("/api/jobs").json()["jobs"]) == 3


# -- comparisons -----------------------------------------------------------------------------------


def test_a_comparison_is_a_grid_with_labels(me: TestClient) -> None:
    body = DOG | {"compare": ["guidance=2,4", {"field": "num_inference_steps", "values": [2, 3]}]}
    body.pop("seed")
    answer = me.post("/api/comparisons", json=body)
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert batch["kind"] == "comparison"
    assert batch["axes"] == [
        {"field": "guidance_scale", "label": "Guidance", "values": ["2", "4"]},
        {"field": "num_inference_steps", "label": "Steps", "values": ["2", "3"]},
    ]
    assert [c["labels"] for c in batch["cells"]] == [*(["2", "2"], ["4", "2"]),
                                                      *(["2", "3"], ["4", "3"])]  # fmt: skip
    by_id = {job["job_id"]: job["settings"] for job in batch["jobs"]}
    made = [by_id[cell["job_id"]] for cell in batch["cells"]]
    assert [(m["guidance_scale"], m["num_inference_steps"]) for m in made] == [
        *((2, 2), (4, 2), (2, 3), (4, 3)),
    ]
    assert len({each["seed"] for each in made}) == 1


def test_equal_cells_are_made_once_and_impossible_ones_say_why(me: TestClient) -> None:
    """The distilled model takes no guidance, and at most four steps."""
    body = DOG | {"compare": ["model=pocket,distilled", "guidance=2,4"]}
    batch = me.post("/api/comparisons", json=body).json()
    ids = [cell["job_id"] for cell in batch["cells"]]
    assert len(batch["jobs"]) == 3 and ids[1] == ids[3] and len(set(ids)) == 3
    me.post(batch["urls"]["cancel"])
    assert me.post(f"/api/jobs/{ids[1]}/again").status_code == 202
    cells = me.get(batch["urls"]["self"]).json()["cells"]
    assert cells[1]["job_id"] == cells[3]["job_id"] != ids[1]
    me.post(batch["urls"]["cancel"])

    body = DOG | {"compare": "model=pocket,distilled,nonsense", "num_inference_steps": 8}
    estimate = me.post("/api/comparisons/estimate", json=body).json()
    assert estimate["clips"] == 1
    assert [cell["clip"] for cell in estimate["cells"]] == [0, None, None]
    batch = me.post("/api/comparisons", json=body).json()
    assert [cell["problem"] for cell in batch["cells"]] == [c["problem"] for c in estimate["cells"]]
    assert "between 1 and 4" in batch["cells"][1]["problem"]
    assert "no model called" in batch["cells"][2]["problem"]
    assert batch["cells"][1]["job_id"] is None and len(batch["jobs"]) == 1


@pytest.mark.parametrize(
    ("compare", "code", "says"),
    [
        ([], "invalid_input", "one or two settings"),
        ("steps=60,70", "invalid_input", "between 1 and 50"),
        ("steps=2,x", "invalid_input", "whole number"),
        (["steps=2,3", "steps=4,5"], "invalid_input", "given twice"),
        ("model=no,none", "unknown_model", "There is no model called “no”"),
    ],
)
def test_a_comparison_of_which_nothing_can_be_made_is_refused(
    me: TestClient, compare: object, code: str, says: str
) -> None:
    answer = me.post("/api/comparisons", json=DOG | {"compare": compare})
    status = 404 if code == "unknown_model" else 422
    assert says in refused(answer, status, code)
    assert me.get("/api/jobs").json()["jobs"] == []


def test_a_comparison_needs_settings_and_comes_as_a_form_too(me: TestClient) -> None:
    sentence = refused(me.post("/api/comparisons", json=DOG), 422, "invalid_input")
    assert "guidance_scale=2,4,6" in sentence
    form = {"prompt": "a dog", "compare": ["steps=2,3", "guidance=1,2"]}
    assert len(me.post("/api/comparisons", data=form).json()["cells"]) == 4


# -- batches ---------------------------------------------------------------------------------------


def test_a_callers_batches_are_listed_newest_first(me: TestClient, other: TestClient) -> None:
    made = []
    for n in range(3):
        batch = me.post("/api/drafts", json=DOG | {"drafts": 2, "seed": n}).json()
        made.append(batch["batch_id"])
        me.post(batch["urls"]["cancel"])
    page = me.get("/api/batches?limit=2").json()
    assert [each["batch_id"] for each in page["batches"]] == made[:0:-1]
    assert page["batches"][0]["kind"] == "drafts"
    assert page["batches"][0]["counts"] == {"cancelled": 2}
    rest = me.get("/api/batches", params={"limit": 2, "before": page["next"]}).json()
    assert [each["batch_id"] for each in rest["batches"]] == made[:1] and rest["next"] is None
    assert other.get("/api/batches").json()["batches"] == []


def test_another_callers_batch_and_draft_are_404(me: TestClient, other: TestClient) -> None:
    batch = me.post("/api/drafts", json=DOG).json()
    draft = batch["jobs"][0]["urls"]
    me.post(draft["cancel"])
    for path in ("self", "events"):
        refused(other.get(batch["urls"][path]), 404, "not_found")
    refused(other.post(batch["urls"]["cancel"]), 404, "not_found")
    for what in ("render", "again"):
        refused(other.post(f"{draft['self']}/{what}"), 404, "not_found")


def test_a_clip_is_made_again_in_its_place(me: TestClient) -> None:
    batch = me.post("/api/drafts", json=DOG | {"drafts": 2}).json()
    first, second = batch["jobs"]
    refused(me.post(f"{first['urls']['self']}/again"), 409, "conflict")
    lost = me.post(first["urls"]["cancel"]).json()
    again = me.post(lost["urls"]["again"]).json()
    assert again["settings"]["seed"] == first["settings"]["seed"]
    after = me.get(batch["urls"]["self"]).json()
    assert [c["job_id"] for c in after["cells"]] == [again["job_id"], second["job_id"]]


def test_a_deleted_clip_leaves_its_place_empty(me: TestClient) -> None:
    batch = me.post("/api/drafts", json=DOG | {"drafts": 2}).json()
    me.post(batch["urls"]["cancel"])
    first, second = batch["jobs"]
    assert me.delete(first["urls"]["self"]).status_code == 204
    cells = me.get(batch["urls"]["self"]).json()["cells"]
    assert [cell["job_id"] for cell in cells] == [None, second["job_id"]]
    assert cells[0]["problem"] == "This clip was deleted."
    me.delete(second["urls"]["self"])
    refused(me.get(batch["urls"]["self"]), 404, "not_found")


def test_a_batch_is_estimated_before_it_is_submitted(me: TestClient) -> None:
    body = {"prompts": ["a dog", "a cat"], "num_inference_steps": 2}
    estimate = me.post("/api/batches/estimate", json=body).json()
    assert estimate["clips"] == 2 and estimate["full"] is None
    assert [each["prompt"] for each in estimate["used"]] == body["prompts"]
    refused(me.post("/api/batches/estimate", json={"prompts": []}), 422, "invalid_input")
    assert me.get("/api/jobs").json()["jobs"] == []


def test_a_csv_is_a_batch_of_its_lines(me: TestClient, png: bytes) -> None:
    text = 'prompt,seed,steps\n"a dog, asleep",3,2\na cat,4,\n'
    batch = me.post("/api/batches", json={"csv": text, "num_frames": 5}).json()
    made = [(j["settings"]["prompt"], j["settings"]["seed"], j["settings"]["num_inference_steps"])
            for j in batch["jobs"]]  # fmt: skip
    assert made == [("a dog, asleep", 3, 2), ("a cat", 4, 4)]
    assert {job["settings"]["num_frames"] for job in batch["jobs"]} == {5}
    me.post(batch["urls"]["cancel"])

    table = b"image,prompt\nball.png,it rolls\n"
    files = [("csv", ("clips.csv", table)), ("images", ("ball.png", png))]
    batch = me.post("/api/batches", files=files).json()
    assert [job["task"] for job in batch["jobs"]] == ["i2v"]
    estimate = me.post("/api/batches/estimate", files=files).json()
    assert estimate["clips"] == 1


@pytest.mark.parametrize(
    ("table", "details"),
    [
        ("prompt,seed\na,x", {"line": 2, "column": "seed"}),
        ("prompt,image\na,/etc/passwd", {"line": 2, "column": "image"}),
        ("prompt,image\na,dog.png", {"line": 2, "column": "image"}),
        ("prompt,video\na,https://example.com/a.mp4", {"line": 2, "column": "video"}),
        ("prompt,steps\na,2\nb,999", {"line": 3, "column": "steps"}),
        ("prompt,steps\na,2\nb,60", {"line": 3, "column": "steps"}),
        ("prompt,steps\na,2\n ,4\nb,70", {"line": 3}),
    ],
)
def test_a_csv_with_one_bad_cell_is_refused_whole_with_its_place(
    me: TestClient, table: str, details: dict[str, Any]
) -> None:
    answer = me.post("/api/batches", json={"csv": table})
    refused(answer, 422, "invalid_input")
    assert answer.json()["details"].items() >= details.items()
    assert me.get("/api/jobs").json()["jobs"] == []


def test_a_picture_that_no_line_names_is_no_mistake_to_pass_over(
    me: TestClient, png: bytes
) -> None:
    files = [("csv", ("clips.csv", b"prompt\na dog\n")), ("images", ("ball.png", png))]
    assert "ball.png" in refused(me.post("/api/batches", files=files), 422, "invalid_input")
    both = {"csv": "prompt\na", "prompts": ["b"]}
    refused(me.post("/api/batches", json=both), 422, "invalid_input")
