"""Clips that went by age or for room, and clips that a browser fetches from the object store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import LONG, SECRET, ApiServer, ended, is_error, make
from tests.jobs.services import S3Server

pytestmark = pytest.mark.slow


def client_of(server: ApiServer) -> httpx.Client:
    headers = {"Authorization": f"Bearer {SECRET}"}
    return httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def narrow(
    tmp_path_factory: pytest.TempPathFactory, api_models_dir: Path
) -> Iterator[httpx.Client]:
    """There is room for one clip only."""
    data_dir = tmp_path_factory.mktemp("narrow") / "data"
    room = {"KINORA_MAX_DISK_GB": "0.000001", "KINORA_KEEP_CLIPS_DAYS": "7"}
    server = ApiServer(data_dir, api_models_dir, **room)
    with client_of(server) as client:
        yield client
    server.stop()


@pytest.fixture(scope="module")
def gone(narrow: httpx.Client) -> dict[str, Any]:
    """The first of two clips, once it went."""
    first = make(narrow, seed=1)
    make(narrow, seed=2)
    until = time.monotonic() + 60
    while narrow.get(f"/api/jobs/{first['job_id']}").json()["gone"] is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    return narrow.get(f"/api/jobs/{first['job_id']}").json()


def test_its_job_keeps_its_state_and_has_no_file(gone: dict[str, Any]) -> None:
    assert gone["state"] == "succeeded"
    assert gone["result"] is None
    assert gone["gone"] == "This clip is gone: it made room for newer ones."
    assert set(gone["urls"]) == {"self", "events", "again"}


def test_lists_and_statuses_have_no_dead_link(narrow: httpx.Client, gone: dict[str, Any]) -> None:
    jobs = {job["job_id"]: job for job in narrow.get("/api/jobs").json()["jobs"]}
    assert jobs[gone["job_id"]] == gone
    for job in jobs.values():
        for name, url in job["urls"].items():
            if name not in ("events", "again"):
                assert narrow.get(url).status_code == 200, url
    status = narrow.get(f"/api/status/{gone['job_id']}").json()
    assert (status["status"], status["gone"]) == ("succeeded", gone["gone"])


@pytest.mark.parametrize(
    "url",
    [
        "/api/result/{}",
        "/api/jobs/{}/poster",
        "/api/jobs/{}/last-frame",
        "/results/{}",
    ],
)
def test_its_files_are_gone(narrow: httpx.Client, gone: dict[str, Any], url: str) -> None:
    error = is_error(narrow.get(url.format(gone["job_id"])), 410, "gone")
    assert "made room" in error["message"]


def test_openais_video_has_expired(narrow: httpx.Client, gone: dict[str, Any]) -> None:
    video = narrow.get(f"/v1/videos/{gone['job_id']}").json()
    assert video["status"] == "completed"
    assert video["expires_at"] <= time.time()
    content = narrow.get(f"/v1/videos/{gone['job_id']}/content")
    assert (content.status_code, content.json()["error"]["code"]) == (410, "gone")


def test_openais_video_says_when_it_will_expire(narrow: httpx.Client) -> None:
    made = make(narrow, seed=3)
    video = narrow.get(f"/v1/videos/{made['job_id']}").json()
    assert video["expires_at"] == int(made["ended_at"] + 7 * 86400)


def test_the_same_request_is_made_anew(narrow: httpx.Client, gone: dict[str, Any]) -> None:
    again = make(narrow, seed=1)
    assert again["state"] == "succeeded"
    assert not again["reused"]


# -- in an object store --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, api_models_dir: Path) -> Iterator[httpx.Client]:
    """Clips are kept in an object store that signs addresses."""
    store = S3Server()
    data_dir = tmp_path_factory.mktemp("far") / "data"
    here = store.environment | {"ARTIFACTS_URL": "s3://clips/kinora"}
    server = ApiServer(data_dir, api_models_dir, **here)
    with client_of(server) as client:
        yield client
    server.stop()
    store.close()


def test_a_browser_is_sent_to_the_object_store(far: httpx.Client) -> None:
    job = make(far, seed=4)
    answer = far.get(f"/api/result/{job['job_id']}")
    assert answer.status_code == 307
    assert "no-store" in answer.headers["cache-control"], "the address is good for an hour only"
    there = httpx.get(answer.headers["location"], trust_env=False, timeout=60)
    assert there.status_code == 200
    assert len(there.content) == job["result"]["size_bytes"]
    assert there.content[4:8] == b"ftyp"


def test_a_download_keeps_its_name(far: httpx.Client) -> None:
    job = make(far, seed=4)
    answer = far.get(f"/api/result/{job['job_id']}?download")
    there = httpx.get(answer.headers["location"], trust_env=False, timeout=60)
    assert f"kinora-{job['job_id'][:8]}.mp4" in there.headers["content-disposition"]


def test_who_asks_for_the_head_only_is_answered_here(far: httpx.Client) -> None:
    """An address is signed for GET, so it is no use for HEAD."""
    job = make(far, seed=5)
    head = far.head(f"/api/result/{job['job_id']}")
    assert head.status_code == 200
    assert int(head.headers["content-length"]) == job["result"]["size_bytes"]


def test_a_stranger_gets_no_address(far: httpx.Client) -> None:
    job_id = make(far, seed=6)["job_id"]
    with httpx.Client(base_url=far.base_url, trust_env=False, timeout=60) as stranger:
        stranger.headers["Authorization"] = "Bearer somebody-else-entirely-0123456789"
        assert stranger.get(f"/api/result/{job_id}").status_code == 404


def test_a_clip_in_the_making_has_no_address(far: httpx.Client) -> None:
    job_id = far.post("/api/generate", json={"prompt": "a dog", "seed": 7, **LONG}).json()["job_id"]
    far.post(f"/api/jobs/{job_id}/cancel")
    ended(far, job_id)
    assert far.get(f"/api/result/{job_id}").status_code == 409
