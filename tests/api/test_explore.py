"""Drafts and comparisons over HTTP, in this process. Clips are made where a test makes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
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


@pytest.fixture
def service(tmp_path: Path) -> Iterator[JobService]:
    """With a card whose drafts are smaller, a distilled one, and no weights."""
    folder, repo = tmp_path / "cards", tmp_path / "nowhere"
    tiny.write_card(folder, repo, drafts={"steps": 2, "scale": 0.5})
    limits = tiny.CARD["limits"] | {"max_guidance": 1.0, "max_steps": 4}  # type: ignore[operator]
    usual = tiny.CARD["defaults"] | {"guidance_scale": 1.0}  # type: ignore[operator]
    takes = {"guidance": False, "negative_prompt": False}
    tiny.write_card(folder, repo, id="distilled", limits=limits, defaults=usual, takes=takes)
    more: dict[str, object] = {"data_dir": tmp_path / "data", "models_dir": folder}
    settings = Settings(_env_file=None, clips_per_minute=0, max_queue=30, **more)  # pyright: ignore[reportCallIssue]
    service = build_service(settings, ForegroundExecutor(settings))
    service.start_command()
    yield service
    service.close()


def client_of(service: JobService, settings: Settings, secret: str) -> httpx.Client:
    metrics = Metrics(service)
    api = build(service, settings, metrics)
    headers = {"Authorization": f"Bearer {secret}"}
    return TestClient(Guard(api, api, is_ours, settings, metrics), headers=headers)


@pytest.fixture
def me(service: JobService) -> httpx.Client:
    return client_of(service, service.settings, SECRET)


@pytest.fixture
def other(service: JobService) -> httpx.Client:
    return client_of(service, service.settings, OTHER_SECRET)


def refused(answer: httpx.Response, status: int, code: str) -> str:
    body = answer.json()
    assert (answer.status_code, body["error"]) == (status, code), body
    return body["message"]


# -- drafts ----------------------------------------------------------------------------------------


def test_drafts_are_a_batch_of_clips_that_can_be_rendered(me: httpx.Client) -> None:
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


def test_one_draft_is_discarded_alone(me: httpx.Client) -> None:
    batch = me.post("/api/drafts", json=DOG | {"drafts": 2}).json()
    assert me.post(batch["jobs"][0]["urls"]["cancel"]).json()["state"] == "cancelled"
    after = me.get(batch["urls"]["self"]).json()
    assert after["counts"] == {"queued": 1, "cancelled": 1}


def test_the_estimate_says_what_drafts_and_the_full_clip_cost(me: httpx.Client) -> None:
    body = me.post("/api/drafts/estimate", json=DOG | {"drafts": 4}).json()
    assert (body["clips"], len(body["used"]), len(body["cells"])) == (4, 4, 4)
    assert 0 < body["low"] < body["seconds"] < body["high"]
    assert body["full"]["used"]["num_inference_steps"] == 4
    assert body["seconds"] < 4 * body["full"]["seconds"]
    assert me.get("/api/jobs").json()["jobs"] == [], "nothing is made"


@pytest.mark.parametrize("drafts", [1, 9, 0, "many", 2.5, True, None])
def test_there_are_two_to_eight_drafts(me: httpx.Client, drafts: object) -> None:
    sentence = refused(me.post("/api/drafts", json=DOG | {"drafts": drafts}), 422, "invalid_input")
    assert "drafts" in sentence


def test_a_form_can_ask_for_drafts_too(me: httpx.Client) -> None:
    batch = me.post("/api/drafts", data={"prompt": "a dog", "drafts": "2"}).json()
    assert len(batch["jobs"]) == 2


def test_a_key_makes_drafts_once(me: httpx.Client) -> None:
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
    client = client_of(service, limited, SECRET)
    answer = client.post("/api/drafts", json=DOG | {"drafts": 3})
    assert answer.headers["ratelimit-remaining"] == "2"
    refused(client.post("/api/drafts", json=DOG | {"drafts": 3}), 429, "rate_limited")
    assert len(client.get("/api/jobs").json()["jobs"]) == 3


# -- batches ---------------------------------------------------------------------------------------


def test_a_callers_batches_are_listed_newest_first(me: httpx.Client, other: httpx.Client) -> None:
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


def test_another_callers_batch_and_draft_are_404(me: httpx.Client, other: httpx.Client) -> None:
    batch = me.post("/api/drafts", json=DOG).json()
    draft = batch["jobs"][0]["urls"]
    me.post(draft["cancel"])
    for path in ("self", "events"):
        refused(other.get(batch["urls"][path]), 404, "not_found")
    refused(other.post(batch["urls"]["cancel"]), 404, "not_found")
    for what in ("render", "again"):
        refused(other.post(f"{draft['self']}/{what}"), 404, "not_found")


def test_a_clip_is_made_again_in_its_place(me: httpx.Client) -> None:
    batch = me.post("/api/drafts", json=DOG | {"drafts": 2}).json()
    first, second = batch["jobs"]
    refused(me.post(f"{first['urls']['self']}/again"), 409, "conflict")
    lost = me.post(first["urls"]["cancel"]).json()
    again = me.post(lost["urls"]["again"]).json()
    assert again["settings"]["seed"] == first["settings"]["seed"]
    after = me.get(batch["urls"]["self"]).json()
    assert [c["job_id"] for c in after["cells"]] == [again["job_id"], second["job_id"]]


def test_a_deleted_clip_leaves_its_place_empty(me: httpx.Client) -> None:
    batch = me.post("/api/drafts", json=DOG | {"drafts": 2}).json()
    me.post(batch["urls"]["cancel"])
    first, second = batch["jobs"]
    assert me.delete(first["urls"]["self"]).status_code == 204
    cells = me.get(batch["urls"]["self"]).json()["cells"]
    assert [cell["job_id"] for cell in cells] == [None, second["job_id"]]
    assert cells[0]["problem"] == "This clip was deleted."
    me.delete(second["urls"]["self"])
    refused(me.get(batch["urls"]["self"]), 404, "not_found")


def test_a_batch_is_estimated_before_it_is_submitted(me: httpx.Client) -> None:
    body = {"prompts": ["a dog", "a cat"], "num_inference_steps": 2}
    estimate = me.post("/api/batches/estimate", json=body).json()
    assert estimate["clips"] == 2 and estimate["full"] is None
    assert [each["prompt"] for each in estimate["used"]] == body["prompts"]
    refused(me.post("/api/batches/estimate", json={"prompts": []}), 422, "invalid_input")
    assert me.get("/api/jobs").json()["jobs"] == []
