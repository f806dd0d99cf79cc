"""Ten thousand clips, after a restart: the first page comes at once, and the pages lack nothing."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from jobs.database import events, jobs
from jobs.job import Result
from jobs.store import JobStore
from tests.api.conftest import ApiServer
from tests.goals import Goal
from tests.jobs.conftest import MakeJob

CLIPS = 10_000
PAGE = 50
FIRST_PAGE_S = 0.05
KEY = "a-key-of-these-tests-0123456789"
ME = "program:me"


def fill(store: JobStore, make_job: MakeJob) -> list[str]:
    """Finished clips of mine among as many of others; the ids of mine, newest first."""
    job = make_job()
    result = Result(
        clip="clip.mp4",
        poster="poster.jpg",
        last_frame="last.png",
        width=64,
        height=64,
        num_frames=9,
        fps=8,
        size_bytes=1,
    )
    row = {
        "server": "one that is gone",
        "state": "succeeded",
        "request": job.request.model_dump_json(),
        "fitted": job.fitted.model_dump_json(),
        "model": job.fitted.model,
        "attempts": 1,
        "result": result.model_dump_json(),
    }
    mine = [f"{n:032x}" for n in range(CLIPS)]
    rows = [
        row | {"id": name, "owner": owner, "created_at": at, "started_at": at, "ended_at": at + 1}
        for n, name in enumerate(mine)
        for owner, name, at in (
            (ME, name, 1e9 + n // 3),  # three at a time were accepted in the same moment
            ("another", f"{CLIPS + n:032x}", 1e9 + n),
        )
    ]
    told = [
        {"job_id": r["id"], "n": n, "at": r["created_at"], "kind": kind, "data": "{}"}
        for r in rows
        for n, kind in enumerate(("queued", "started", "succeeded"), start=1)
    ]
    with store.database.light.begin() as tx:
        tx.execute(insert(jobs), rows)
        tx.execute(insert(events), told)
    return sorted(mine, reverse=True)


@pytest.mark.goal("G4")
def test_ten_thousand_clips_are_listed_after_a_restart(
    goal: Goal, tmp_path: Path, make_job: MakeJob
) -> None:
    url = f"sqlite:///{tmp_path / 'kinora.db'}"
    before = JobStore(url)
    mine = fill(before, make_job)
    before.close()
    store = JobStore(url)
    began = time.perf_counter()
    listed = store.history(ME, limit=PAGE)
    first_page_s = time.perf_counter() - began
    while page := store.history(ME, limit=500, before=listed[-1].id):
        listed += page
    store.close()
    out_of_order = sum(got != due for got, due in zip([j.id for j in listed], mine, strict=False))
    goal.count("service: clips listed", len(listed), at_least=CLIPS, at_most=CLIPS)
    goal.count("service: out of order", out_of_order, at_most=0)
    goal.time("service: first page after a restart", first_page_s, at_most=FIRST_PAGE_S)


@pytest.mark.slow
@pytest.mark.goal("G4")
def test_ten_thousand_clips_are_listed_through_http(
    goal: Goal, tmp_path: Path, make_job: MakeJob, tiny_models_dir: Path
) -> None:
    data = tmp_path / "data"
    before = JobStore(f"sqlite:///{data / 'kinora.db'}")
    mine = fill(before, make_job)
    before.close()
    server = ApiServer(data, tiny_models_dir, KINORA_API_KEYS=f"me:{KEY}")
    headers = {"Authorization": f"Bearer {KEY}"}
    try:
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
            client.get("/test").raise_for_status()  # the connection's own time
            began = time.perf_counter()
            page = client.get("/api/jobs", params={"limit": PAGE}, timeout=60)
            first_page_s = time.perf_counter() - began
            listed = []
            while jobs_here := page.raise_for_status().json()["jobs"]:
                listed += [job["job_id"] for job in jobs_here]
                more = {"limit": 100, "before": listed[-1]}
                page = client.get("/api/jobs", params=more, timeout=60)
    finally:
        server.stop()
    out_of_order = sum(got != due for got, due in zip(listed, mine, strict=False))
    goal.count("HTTP: clips listed", len(listed), at_least=CLIPS, at_most=CLIPS)
    goal.count("HTTP: out of order", out_of_order, at_most=0)
    goal.time("HTTP: first page after a restart", first_page_s, at_most=FIRST_PAGE_S)
