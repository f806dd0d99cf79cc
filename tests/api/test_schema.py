"""The OpenAPI document is true: thousands of made-up requests, no 5xx, every answer as described.

The service is real; its worker never starts, so nothing is ever finished.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.site import build, is_ours
from app import executor_for
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from settings import VERSION, Settings
from tests.api.leaks import Traffic
from tests.goals import Goal, rounds
from web.guard import Guard
from web.metrics import Metrics

load_all_checks()
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LEFT_OUT = ("/api/video/text-to-video", "/api/video/image-to-video", "/ready")
"""Two answer when the clip is made, and here none is; the third rightly says 503 for that."""


@pytest.fixture(scope="session")
def api_document(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_models_dir: Any,
    tiny_cards: dict[str, ModelCard],
) -> Iterator[Any]:
    here = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path_factory.mktemp("schema") / "data",
        models_dir=tiny_models_dir,
        max_queue=50,
        max_jobs_per_visitor=50,
        clips_per_minute=0,
    )
    service = JobService(JobStore(here.database_url), executor_for(here), tiny_cards, here)
    metrics = Metrics(service)
    app = build(service, here, metrics)
    guard = Guard(app, app, is_ours, here, metrics)
    document = schemathesis.openapi.from_asgi("/api/openapi.json", guard)
    yield document.exclude(path=list(LEFT_OUT)).exclude(path_regex="/events$")
    service.close()


LENIENT = [
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
]
KNOWN_CALLER = {"Authorization": "Bearer a-schema-tests-own-secret"}


def fuzz(document: Any, cases_each: int) -> int:
    """Made-up requests to every door; how many there were."""
    count = 0
    for found in document.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=cases_each, suppress_health_check=LENIENT)
        def check(case: schemathesis.Case) -> None:
            nonlocal count
            count += 1
            case.call_and_validate(headers=KNOWN_CALLER, checks=CHECKS)

        check()
    return count


@pytest.mark.goal("G14")
def test_no_request_makes_it_stumble(api_document: Any, traffic: Traffic, goal: Goal) -> None:
    errors = len(traffic.server_errors)
    count = fuzz(api_document, rounds(5, 200))
    goal.count("made-up requests, answered as described", count, at_least=rounds(100, 5000))
    goal.count("made-up requests: 5xx", len(traffic.server_errors) - errors, at_most=0)


def test_the_document_has_every_door_and_its_page_needs_nothing_else(
    anyone: httpx.Client,
) -> None:
    document = anyone.get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == VERSION
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    fields = document["components"]["schemas"]["ClipRequest"]["properties"]
    assert {"prompt", "seed", "num_frames", "reuse"} <= set(fields)
    page = anyone.get("/api/docs").text
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page
    assert "<script" not in page
    assert "http" not in page.replace("https://", "http").split("</style>")[1]
