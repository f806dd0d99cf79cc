"""What is stored and sent of an event: never other than what earlier versions wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from errors import ErrorCode, KinoraError
from jobs import event_types
from jobs.database import events
from jobs.event_types import (
    Decoding,
    Encoding,
    EventBody,
    Failed,
    Fallback,
    JobCancelled,
    Loading,
    PreviewReady,
    Queued,
    Requeued,
    Started,
    StepDone,
    Succeeded,
    UnknownEvent,
    WaitingForGpu,
    _fields,
    from_json,
    to_json,
)
from jobs.events import EventLog
from jobs.executor import ExecutorHealth
from jobs.fleet.protocol import WorkerInfo
from jobs.progress import Progress
from jobs.store import JobStore
from jobs.workers.zerogpu_grants import GPU_STARTS
from pipelines.models.loading import LoadProgress
from pipelines.request import FittedRequest, Focus, Task
from tests.jobs.conftest import MakeJob, accept

BODIES = get_args(event_types.Known)
EXAMPLE = FittedRequest(
    task=Task.TEXT_TO_VIDEO, model="pocket", prompt="a dog", negative_prompt="", image=None,
    focus=Focus(x=0.5, y=0.5), seed=1, num_inference_steps=4, guidance_scale=3, width=64,
    height=64, num_frames=9, fps=8, format="mp4", quality="medium",
)  # fmt: skip

WRITTEN_BEFORE: list[tuple[EventBody, str, str]] = [
    (Queued("pocket"), "queued", '{"model": "pocket"}'),
    (Started(2), "started", '{"attempt": 2}'),
    (WaitingForGpu(), "waiting_for_gpu", '{"reason": null}'),
    (WaitingForGpu("concurrency"), "waiting_for_gpu", '{"reason": "concurrency"}'),
    (GPU_STARTS, "loading", '{"phase": "starting on the GPU"}'),
    (
        Loading.of(LoadProgress("transformer", 0.5)),
        "loading",
        '{"phase": "transformer", "fraction": 0.5}',
    ),
    (
        Loading.of(LoadProgress("downloading", 0.25, 10, 40)),
        "loading",
        '{"phase": "downloading", "fraction": 0.25, "bytes_done": 10, "bytes_total": 40}',
    ),
    (
        Loading.of(LoadProgress("downloading the LoRA")),
        "loading",
        '{"phase": "downloading the LoRA", "fraction": null}',
    ),
    (Fallback("Other made it."), "fallback", '{"sentence": "Other made it."}'),
    (StepDone(1, 4), "step", '{"index": 1, "total": 4, "eta_s": null}'),
    (StepDone(2, 4, 1.8), "step", '{"index": 2, "total": 4, "eta_s": 1.8}'),
    (
        PreviewReady(2, 9, 192, 108, 8.0, 1),
        "preview",
        '{"step": 2, "frames": 9, "width": 192, "height": 108, "fps": 8.0, "number": 1}',
    ),
    (Decoding(), "decoding", "{}"),
    (Encoding(), "encoding", "{}"),
    (Requeued("The worker stopped."), "requeued", '{"message": "The worker stopped."}'),
    (
        Failed.of(
            KinoraError(
                ErrorCode.TOO_LARGE,
                "Too large.",
                details={"field": "width"},
                action={"label": "Smaller", "set": {"width": 64}},
            )
        ),
        "failed",
        '{"error": "too_large", "message": "Too large.", "details": {"field": "width"}, '
        '"action": {"label": "Smaller", "set": {"width": 64}}}',
    ),
    (
        Failed.of(KinoraError(ErrorCode.INTERNAL, "Oh.")),
        "failed",
        '{"error": "internal", "message": "Oh.", "details": {}}',
    ),
    (JobCancelled(), "cancelled", "{}"),
    (
        Succeeded({"load": 0.5, "total": 3.25}, finished_early=False),
        "succeeded",
        '{"seconds": {"load": 0.5, "total": 3.25}, "finished_early": false}',
    ),
    (Succeeded(reused=True), "succeeded", '{"reused": true}'),
]
"""As commit 2d13b41, which had no types for events, wrote them into its database."""


@pytest.mark.parametrize(("body", "kind", "text"), WRITTEN_BEFORE)
def test_the_json_of_an_event_is_byte_for_byte_what_it_was_before_it_had_a_type(
    body: EventBody, kind: str, text: str
) -> None:
    assert (body.kind, json.dumps(to_json(body))) == (kind, text)
    assert from_json(kind, json.loads(text)) == body


def test_every_kind_has_one_type_and_a_golden_line() -> None:
    kinds = {kind for _, kind, _ in WRITTEN_BEFORE}
    assert sorted(body.kind for body in BODIES) == sorted(kinds)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OF_TYPE: dict[type, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    type(None): st.none(),
    Mapping: st.dictionaries(st.text(), JSON, max_size=3),
    FittedRequest: st.just(EXAMPLE),
}
KNOWN_KEYS = sorted({field.name for body in BODIES for field in fields(body)})
KINDS = st.text() | st.sampled_from([body.kind for body in BODIES])
ANYTHING = st.dictionaries(st.text() | st.sampled_from(KNOWN_KEYS), JSON, max_size=5)


@st.composite
def bodies(draw: st.DrawFn) -> EventBody:
    """Each field has any value of its type, as the JSON codec sees the types."""
    body = draw(st.sampled_from(BODIES))
    values: dict[str, Any] = {}
    for field in _fields(body):
        types = (*field.types, type(None)) if field.is_optional else field.types
        values[field.name] = draw(st.one_of(*(OF_TYPE[each] for each in types)))
    return body(**values)


@given(bodies())
def test_every_event_survives_its_json(body: EventBody) -> None:
    assert from_json(body.kind, json.loads(json.dumps(to_json(body)))) == body


@given(KINDS, ANYTHING)
def test_what_another_version_wrote_is_readable_and_sent_on_unchanged(
    kind: str, data: dict[str, Any]
) -> None:
    """Keys that are missing, keys that are not known, values of another type."""
    body = from_json(kind, data)
    assert body.kind == kind
    assert to_json(body) == data


def test_a_step_of_an_older_version_is_a_step(store: JobStore, make_job: MakeJob) -> None:
    job = accept(store, make_job())
    write(store, job.id, 2, "step", {"index": 3, "seconds": 0.5})
    step = store.events(job.id)[-1]
    assert isinstance(step.body, StepDone)
    assert (step.body.index, step.body.eta_s) == (3, None)
    assert step.data == {"index": 3, "seconds": 0.5}


def test_a_kind_of_a_newer_version_breaks_no_watcher(store: JobStore, make_job: MakeJob) -> None:
    job = accept(store, make_job())
    write(store, job.id, 2, "interpolating", {"factor": 2})
    write(store, job.id, 3, "step", {"index": [1]})
    write(store, job.id, 4, "cancelled", {})
    seen = list(EventLog(store).watch(job.id))
    assert [event.kind for event in seen] == ["queued", "interpolating", "step", "cancelled"]
    assert seen[1].body == UnknownEvent("interpolating", {"factor": 2})
    assert isinstance(seen[2].body, UnknownEvent)
    assert Progress.of(seen).phase == "cancelled"


@pytest.mark.parametrize("loading", [None, Loading("transformer", 0.5), GPU_STARTS])
def test_health_says_what_loads_as_the_event_does(loading: Loading | None) -> None:
    health = ExecutorHealth(state="starting", loading=loading)
    assert health.model_dump()["loading"] == (loading and to_json(loading))
    assert ExecutorHealth.model_validate_json(health.model_dump_json()) == health


def test_what_a_newer_worker_loads_hides_no_worker() -> None:
    shown = {"name": "w", "host": "h", "pid": 1, "loading": {"phase": ["new"]}}
    assert WorkerInfo.model_validate_json(json.dumps(shown)).loading is None


def write(store: JobStore, job_id: str, n: int, kind: str, data: dict[str, Any]) -> None:
    row = {"job_id": job_id, "n": n, "at": 0.0, "kind": kind, "data": json.dumps(data)}
    with store.database.durable.begin() as tx:
        tx.execute(insert(events).values(row))
