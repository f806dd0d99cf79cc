"""Throughput with 1 to 8 workers against the ideal, and the server's cost per clip.

The workers are real, their GPU is simulated by a clock (`fake_gpu_worker`): a clip takes a fixed
time whatever the CPU load, so any loss is our overhead. Then a thousand jobs are queued at once.
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
MIN_THROUGHPUT = 0.95
QUEUED = 1000
SUBMIT_MS = 150.0
CLIP = GenerationRequest(prompt="a dog", seed=1)


def measure(folder: Path, rounds: int) -> Iterator[Figure]:
    if not shutil.which("redis-server"):
        print("scaling: skipped, redis-server is not installed")
        return
    for count in WORKERS:
        share = max(_throughput(folder / f"{count}-{n}", count) for n in range(min(rounds, 2)))
        yield Figure(
            f"{count} workers: loss against the ideal",
            100 * (1 - share),
            100 * (1 - MIN_THROUGHPUT),
            "%",
        )
    yield from _submit_thousand(folder / "queued")
    yield from _request_thousand(folder / "asked")


def _throughput(folder: Path, count: int) -> float:
    """Clips per second as a fraction of the ideal."""
    with fleet(folder, count) as service:
        # one batch: the cost of submitting is measured below
        handed_in = service.submit_batch([CLIP] * (count * CLIPS_PER_WORKER), "bench")
        ids = [job.id for job in handed_in]
        for job_id in ids:
            _wait_for(service, job_id)
        jobs = [service.get(job_id) for job_id in ids]
    started = min(job.started_at or 0.0 for job in jobs)
    ended = max(job.ended_at or 0.0 for job in jobs)
    return CLIPS_PER_WORKER * CLIP_S / (ended - started)


def _submit_thousand(folder: Path) -> Iterator[Figure]:
    with fleet(folder, 2) as service:
        seconds: list[float] = []
        for n in range(QUEUED):
            started = time.perf_counter()
            service.submit(CLIP, f"v{n % 50}")
            seconds.append(time.perf_counter() - started)
        yield from _percentiles(seconds, "a submit")

        # CPU time of this process per clip that the workers make meanwhile
        me, before = psutil.Process(), _count_succeeded(service)
        cpu_before, started = sum(me.cpu_times()[:2]), time.perf_counter()
        time.sleep(5 * CLIP_S)
        made = _count_succeeded(service) - before
        cost = (sum(me.cpu_times()[:2]) - cpu_before) / max(made, 1)
        yield Figure("CPU time of the server per clip", 1000 * cost, SUBMIT_MS, "ms")
        busy = made * CLIP_S / 2 / (time.perf_counter() - started)
        print(f"    the two workers were busy {100 * busy:.0f} % of that time")


def _request_thousand(folder: Path) -> Iterator[Figure]:
    """The same through the HTTP API, one request after the other, with two workers."""
    with ExitStack() as stack:
        redis_url = _start_redis(stack, folder)
        _start_workers(stack, 2, redis_url, folder / "data")
        unlimited = dict.fromkeys(("MAX_QUEUE", "MAX_JOBS_PER_VISITOR"), str(10 * QUEUED))
        unlimited |= {"CLIPS_PER_MINUTE": "0"}
        more = {f"KINORA_{name}": value for name, value in unlimited.items()}
        url, _ = stack.enter_context(server(folder / "data", REDIS_URL=redis_url, **more))
        client = stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=60))
        seconds: list[float] = []
        for _ in range(QUEUED):
            started = time.perf_counter()
            client.post("/api/generate", json={"prompt": CLIP.prompt}).raise_for_status()
            seconds.append(time.perf_counter() - started)
        yield from _percentiles(seconds, "a request to the API")


def _percentiles(seconds: list[float], what: str) -> Iterator[Figure]:
    last = seconds[-200:]  # with at least 800 queued
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        label = f"{what} with {QUEUED} waiting, {name}"
        yield Figure(label, 1000 * _quantile(last, share), SUBMIT_MS, "ms")


def _count_succeeded(service: JobService) -> int:
    return sum(n for (state, _), n in service.counts().items() if state == "succeeded")


def _wait_for(service: JobService, job_id: str) -> None:
    for _ in service.watch(job_id):
        pass


def _quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100)[round(share * 100) - 1]


@contextmanager
def fleet(folder: Path, count: int) -> Iterator[JobService]:
    """Yields a service in this process with a Redis and `count` workers, once all are ready."""
    from jobs.fleet.dispatcher import RedisExecutor
    from jobs.store import JobStore
    from pipelines.models.cards import load_cards

    with ExitStack() as stack:
        settings = Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue]
            data_dir=folder / "data",
            redis_url=_start_redis(stack, folder),
            max_queue=10 * QUEUED,
            max_jobs_per_visitor=10 * QUEUED,
            max_batch=QUEUED,
        )
        _start_workers(stack, count, settings.redis_url or "", settings.data_dir)
        store, cards = JobStore(settings.database_url), load_cards(settings.models_dir)
        service = stack.enter_context(JobService(store, RedisExecutor(settings), cards, settings))
        ready = threading.Event()
        while service.health()["workers"] < count or service.health()["state"] != "ready":
            ready.wait(0.05)
        yield service


def _start_redis(stack: ExitStack, folder: Path) -> str:
    """Starts a Redis server; returns its URL."""
    folder.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)]
    _start_process(stack, [*command, "--loglevel", "warning"], {})
    return f"redis://127.0.0.1:{port}/0"


def _start_workers(stack: ExitStack, count: int, redis_url: str, data_dir: Path) -> None:
    timing = json.dumps({"steps": STEPS, "step_s": CLIP_S / STEPS})
    env = {"REDIS_URL": redis_url, "KINORA_DATA_DIR": str(data_dir), "FAKE_GPU": timing}
    for _ in range(count):
        _start_process(stack, [sys.executable, "-m", "bench.fake_gpu_worker"], env)


def _start_process(stack: ExitStack, command: list[str], env: dict[str, str]) -> None:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
