"""More workers, more clips: throughput against the ideal, and what a clip costs the server.

Workers here are real ones whose GPU is a clock (`pretender`): a clip takes a fixed time, however
busy the processor is, so what is missing to the ideal is ours. Then a thousand clips wait at once.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from bench.common import Figure, server
from jobs.service import JobService
from pipelines.request import GenerationRequest
from settings import ROOT, Settings

CLIP_S = 2.0
STEPS = 4
CLIPS_PER_WORKER = 6
WORKERS = (1, 2, 4, 8)
LEAST = 0.95
QUEUED = 1000
SUBMIT_MS = 150.0
CLIP = GenerationRequest(prompt="a dog", seed=1)


def measure(folder: Path, rounds: int) -> Iterator[Figure]:
    if not shutil.which("redis-server"):
        print("scaling: redis-server is not installed; left out")
        return
    for count in WORKERS:
        share = max(_throughput(folder / f"{count}-{n}", count) for n in range(min(rounds, 2)))
        yield Figure(
            f"{count} workers: time lost to the ideal", 100 * (1 - share), 100 * (1 - LEAST), "%"
        )
    yield from _thousand(folder / "queued")
    yield from _thousand_requests(folder / "asked")


def _throughput(folder: Path, count: int) -> float:
    """A fraction of what that many workers could make if nothing else took time."""
    with fleet(folder, count) as service:
        # all there at once: what handing them in takes is measured below
        handed_in = service.submit_batch([CLIP] * (count * CLIPS_PER_WORKER), "somebody")
        ids = [job.id for job in handed_in]
        for job_id in ids:
            _end(service, job_id)
        jobs = [service.get(job_id) for job_id in ids]
    began = min(job.started_at or 0.0 for job in jobs)
    ended = max(job.ended_at or 0.0 for job in jobs)
    return CLIPS_PER_WORKER * CLIP_S / (ended - began)


def _thousand(folder: Path) -> Iterator[Figure]:
    with fleet(folder, 2) as service:
        took: list[float] = []
        for n in range(QUEUED):
            began = time.perf_counter()
            service.submit(CLIP, f"v{n % 50}")
            took.append(time.perf_counter() - began)
        yield from _of_the_last(took, "a submit")

        # what the clips that are made meanwhile cost this process
        me, before = psutil.Process(), _done(service)
        spent, began = sum(me.cpu_times()[:2]), time.perf_counter()
        time.sleep(5 * CLIP_S)
        made = _done(service) - before
        cost = (sum(me.cpu_times()[:2]) - spent) / max(made, 1)
        yield Figure("processor time of the server per clip made", 1000 * cost, SUBMIT_MS, "ms")
        waits = made * CLIP_S / 2 / (time.perf_counter() - began)
        print(f"   meanwhile the two workers were busy {100 * waits:.0f} % of the time")


def _thousand_requests(folder: Path) -> Iterator[Figure]:
    """The same through the API, one after the other, with two workers at it."""
    with ExitStack() as stack:
        redis_url = _redis(stack, folder)
        _workers(stack, 2, redis_url, folder / "data")
        unlimited = dict.fromkeys(("MAX_QUEUE", "MAX_JOBS_PER_VISITOR"), str(10 * QUEUED))
        unlimited |= {"CLIPS_PER_MINUTE": "0"}
        more = {f"KINORA_{name}": value for name, value in unlimited.items()}
        url, _ = stack.enter_context(server(folder / "data", REDIS_URL=redis_url, **more))
        client = stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=60))
        took: list[float] = []
        for _ in range(QUEUED):
            began = time.perf_counter()
            client.post("/api/generate", json={"prompt": CLIP.prompt}).raise_for_status()
            took.append(time.perf_counter() - began)
        yield from _of_the_last(took, "a request to the API")


def _of_the_last(took: list[float], what: str) -> Iterator[Figure]:
    full = took[-200:]  # with 800 and more before them
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        label = f"{what} with {QUEUED} waiting, {name}"
        yield Figure(label, 1000 * _at(full, share), SUBMIT_MS, "ms")


def _done(service: JobService) -> int:
    return sum(n for (state, _), n in service.counts().items() if state == "succeeded")


def _end(service: JobService, job_id: str) -> None:
    for _ in service.watch(job_id):
        pass


def _at(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100)[round(share * 100) - 1]


@contextmanager
def fleet(folder: Path, count: int) -> Iterator[JobService]:
    """A server in this process, a Redis, and that many workers, all up."""
    from jobs.fleet.dispatcher import RedisExecutor
    from jobs.store import JobStore
    from pipelines.models.cards import load_cards

    with ExitStack() as stack:
        settings = Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue]
            data_dir=folder / "data",
            redis_url=_redis(stack, folder),
            max_queue=10 * QUEUED,
            max_jobs_per_visitor=10 * QUEUED,
            max_batch=QUEUED,
        )
        _workers(stack, count, settings.redis_url or "", settings.data_dir)
        store, cards = JobStore(settings.database_url), load_cards(settings.models_dir)
        service = stack.enter_context(JobService(store, RedisExecutor(settings), cards, settings))
        ready = threading.Event()
        while service.health()["workers"] < count or service.health()["state"] != "ready":
            ready.wait(0.05)
        yield service


def _redis(stack: ExitStack, folder: Path) -> str:
    """The address of one of our own."""
    folder.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)]
    _begin(stack, [*command, "--loglevel", "warning"], {})
    return f"redis://127.0.0.1:{port}/0"


def _workers(stack: ExitStack, count: int, redis_url: str, data_dir: Path) -> None:
    pretend = json.dumps({"steps": STEPS, "step_s": CLIP_S / STEPS})
    env = {"REDIS_URL": redis_url, "KINORA_DATA_DIR": str(data_dir), "PRETEND": pretend}
    for _ in range(count):
        _begin(stack, [sys.executable, "-m", "bench.pretender"], env)


def _begin(stack: ExitStack, command: list[str], env: dict[str, str]) -> None:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
