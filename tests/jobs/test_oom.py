"""G19: a clip that the memory is too small for fails with a hint, and the next one is made.

The memory is really short: the worker process gets a limit from the kernel, or the GPU is filled
by somebody else.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from errors import ErrorCode
from jobs.job import Job, State
from jobs.service import JobService
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny
from tests.goals import Goal, rounds
from tests.jobs.conftest import build_service, until

ME = "visitor:me"
SMALL = GenerationRequest(prompt="a dog", seed=3, num_inference_steps=2)
LARGE = SMALL.model_copy(
    update={"width": 768, "height": 768, "num_frames": 33, "num_inference_steps": 1}
)
HUGE = LARGE.model_copy(update={"width": 2048, "height": 2048})
SPARE_BYTES = 96 << 20
"""Room for a small clip; the frames of a large one are more than that in one piece."""
SPARE_ON_GPU_BYTES = 64 << 20

pytestmark = [pytest.mark.slow, pytest.mark.goal("G19")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Iterator[JobService]:
    base = tmp_path_factory.mktemp("oom")
    limits = tiny.CARD["limits"] | {"max_width": 2048, "max_height": 2048}  # type: ignore[operator]
    tiny.write_card(base / "cards", tiny_repo, limits=limits)
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=base / "data",
        models_dir=base / "cards",
    )
    with build_service(settings) as service:
        until(lambda: service.health()["state"] == "ready")
        assert made(service, SMALL).state is State.SUCCEEDED
        yield service


def made(service: JobService, request: GenerationRequest) -> Job:
    job = service.submit(request, ME)
    for _ in service.watch(job.id):
        pass
    return service.get(job.id)


@contextmanager
def short_of_memory(pid: int) -> Iterator[None]:
    """The kernel refuses what a process wants beyond what it has now, and a little."""
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    limit = psutil.Process(pid).memory_info().vms + SPARE_BYTES
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_the_next_clip_is_made_by_the_same_process(service: JobService, goal: Goal) -> None:
    how_many = rounds(2, 10)
    pid = service.health()["worker_pid"]
    with short_of_memory(pid):
        in_turns(service, LARGE, 1)
        floor = psutil.Process(pid).memory_info().rss
        told, went_on = in_turns(service, LARGE, how_many)
        kept = (psutil.Process(pid).memory_info().rss - floor) / 2**20
    goal.count("memory kept after them", kept, at_most=50, unit="MiB")
    goal.count("clips too large for the memory that were told so", told, at_least=how_many)
    goal.count("clips made after one, by the same process", went_on, at_least=how_many)


def test_the_next_clip_is_made_on_the_same_gpu(service: JobService, goal: Goal) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU here, whose memory could be filled")
    how_many = rounds(3, 10)
    free, _total = torch.cuda.mem_get_info()
    taken = torch.empty(free - SPARE_ON_GPU_BYTES, dtype=torch.uint8, device="cuda")
    try:
        told, went_on = in_turns(service, HUGE, how_many)
    finally:
        del taken
        torch.cuda.empty_cache()
    goal.count("clips too large for the GPU that were told so", told, at_least=how_many)
    goal.count("clips made after one, on the same GPU", went_on, at_least=how_many)


def in_turns(service: JobService, large: GenerationRequest, how_many: int) -> tuple[int, int]:
    """One that is too large, then a small one: how many of each ended as they should."""
    pid = service.health()["worker_pid"]
    told = went_on = 0
    for _ in range(how_many):
        failed = made(service, large)
        assert failed.state is State.FAILED, failed.result
        assert failed.error
        assert failed.error["error"] == ErrorCode.OUT_OF_MEMORY.value, failed.error
        told += "smaller or shorter" in failed.error["message"]
        small = made(service, SMALL)
        assert small.state is State.SUCCEEDED, small.error
        went_on += service.health()["worker_pid"] == pid
    return told, went_on
