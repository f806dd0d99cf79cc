"""Edits: jobs that make new clips of finished ones, in a worker without a model."""

from __future__ import annotations

import pytest

from errors import ErrorCode, KinoraError
from jobs.job import Job, State
from jobs.service import JobService
from media.operations.edit_request import EditRequest, read_edit_request
from pipelines.request import GenerationRequest
from tests.jobs.conftest import until

OWNER = "visitor:editor"


def edit_of(*clips: str, operations: object = (), **more: object) -> EditRequest:
    return read_edit_request({"clips": clips, "operations": operations, **more})


def finished(service: JobService, job: Job) -> Job:
    until(lambda: service.get(job.id).state.ended)
    return service.get(job.id)


@pytest.fixture(scope="module")
def clip(service: JobService) -> Job:
    """A finished clip of 9 frames."""
    request = GenerationRequest(prompt="a dog", seed=1, num_inference_steps=2, num_frames=9, fps=8)
    made = finished(service, service.submit(request, OWNER))
    assert made.state is State.SUCCEEDED
    return made


def test_an_edit_makes_a_new_clip_and_the_old_one_stays(service: JobService, clip: Job) -> None:
    before = service.clip_path(clip.id).read_bytes()
    trim = {"op": "trim", "start_s": 0.25, "end_s": 0.75}
    job = finished(service, service.submit_edit(edit_of(clip.id, operations=[trim]), OWNER))
    assert job.state is State.SUCCEEDED, job.error
    assert job.result is not None
    assert job.result.num_frames == 4
    assert service.clip_path(clip.id).read_bytes() == before
    assert job.parent == clip.id
    with pytest.raises(KinoraError) as refused:
        service.submit_edit(edit_of(clip.id), "visitor:another")
    assert refused.value.code is ErrorCode.NOT_FOUND
