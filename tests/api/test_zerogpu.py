"""The doors on a ZeroGPU Space: a GPU is lent by the caller's own quota, or the door says why not.

Real `spaces` and real forks; the API that grants GPUs is a stand-in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import openai
import pytest
from gradio_client import Client

from tests.api.conftest import ended, is_error
from tests.jobs.conftest import shared_settings  # noqa: F401
from tests.jobs.workers.test_inline import (  # noqa: F401  # the fixtures
    TOKEN,
    FakeGpuApi,
    gpu_api,
    space,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*Sora API.*:DeprecationWarning")
QUICK = {"prompt": "a dog", "num_inference_steps": 2}
SECRET = f"on-a-space-{time.time_ns()}"


def caller(url: str, **headers: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {SECRET}", **headers}
    return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)


@pytest.fixture
def me(space: str) -> Iterator[httpx.Client]:  # noqa: F811
    """Through the Hub's proxy, which says whose quota it is."""
    with caller(space, **{"X-IP-Token": TOKEN}) as client:
        yield client


def test_a_clip_asked_for_over_rest_is_made_with_the_callers_quota(
    me: httpx.Client,
    gpu_api: FakeGpuApi,  # noqa: F811
) -> None:
    gpu_api.calls.clear()
    answer = me.post("/api/generate", json=QUICK)
    assert answer.status_code == 202, answer.text
    done = ended(me, answer.json()["job_id"])
    assert done["state"] == "succeeded"
    (scheduled,) = gpu_api.requests_to("/schedule")
    assert scheduled["token"] == TOKEN
    assert me.get(done["urls"]["result"]).content[4:8] == b"ftyp"


def test_the_openai_sdk_works_there(
    space: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    headers = {"X-IP-Token": TOKEN}
    with openai.OpenAI(
        base_url=f"{space}v1", api_key=SECRET, max_retries=0, default_headers=headers
    ) as sdk:
        video = sdk.videos.create_and_poll(prompt="a dog", extra_body={"num_inference_steps": 2})
    assert video.status == "completed"


def test_all_clips_of_a_batch_are_made(me: httpx.Client) -> None:
    body = {"prompts": ["a dog", "a cat"], "num_inference_steps": 2}
    jobs = me.post("/api/batches", json=body).json()["jobs"]
    assert [ended(me, job["job_id"])["state"] for job in jobs] == ["succeeded"] * 2


def test_a_tool_that_does_not_wait_works_too(space: str) -> None:  # noqa: F811
    client = Client(
        space, verbose=False, analytics_enabled=False, httpx_kwargs={"timeout": 60},
        headers={"x-ip-token": TOKEN, "Authorization": f"Bearer {SECRET}"},
    )  # fmt: skip
    state = client.predict(prompt="a dog", num_inference_steps=2, api_name="/make_clip")
    until = time.monotonic() + 120
    while state["state"] != "succeeded":
        assert time.monotonic() < until
        state = client.predict(state["job_id"], api_name="/clip_state")
    client.close()


def test_without_the_hubs_word_it_is_refused_with_a_sentence(
    space: str,  # noqa: F811
    gpu_api: FakeGpuApi,  # noqa: F811
) -> None:
    gpu_api.calls.clear()
    with caller(space) as nobody:
        for path, body in (
            ("/api/generate", QUICK),
            ("/api/batches", {"prompts": ["a dog"]}),
            ("/api/video/text-to-video", QUICK),
        ):
            refused = is_error(nobody.post(path, json=body), 503, "unavailable")
            assert "X-IP-Token" in refused["message"]
    assert gpu_api.requests_to("/schedule") == [], "nobody else's quota was touched"


def test_without_quota_left_the_caller_is_told_so(
    me: httpx.Client,
    gpu_api: FakeGpuApi,  # noqa: F811
) -> None:
    gpu_api.quota_left = False
    try:
        done = ended(me, me.post("/api/generate", json=QUICK).json()["job_id"])
    finally:
        gpu_api.quota_left = True
    assert (done["state"], done["error"]["error"]) == ("failed", "rate_limited")
    assert "quota" in done["error"]["message"]
    assert TOKEN not in str(done)


def test_the_hubs_token_and_ones_own_name_go_side_by_side(space: str) -> None:  # noqa: F811
    own = f"own-name-{time.time_ns()}"
    hubs = {"Authorization": "Bearer hf_aTokenOfTheHubForMoreQuota", "X-IP-Token": TOKEN}
    with caller(space, **hubs, **{"X-Api-Key": own}) as both:
        made = both.post("/api/generate", json=QUICK).json()["job_id"]
        assert [job["job_id"] for job in both.get("/api/jobs").json()["jobs"]] == [made]
        ended(both, made)
    with caller(space, **hubs) as only_the_hubs:
        is_error(only_the_hubs.get(f"/api/jobs/{made}"), 404, "not_found")
