"""Prometheus metrics: jobs, queue, seconds by phase, the worker, the GPU, HTTP requests.

Counters follow the events; gauges are read when the metrics are scraped. Label values are names of
ours only, never input of clients.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psutil
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from typing_extensions import assert_never

from jobs.event_types import (
    Decoding,
    Encoding,
    Event,
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
)
from web.moderation_metrics import ModerationMetrics

if TYPE_CHECKING:
    from jobs.service import JobService

FAST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
SLOW_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
GPU_LOOK_S = 5.0
DRIFT_JOBS, DRIFT_LEAST = 100, 5
PHASES = ("load", "encode_prompt", "denoise", "decode", "encode", "total")
STATES = ("starting", "ready", "busy", "setup_failed", "defunct")


class Metrics:
    def __init__(self, service: JobService) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        of_model, here = ("model",), self.registry
        self.created = Counter("kinora_jobs_created", "Accepted clips.", of_model, registry=here)
        self.ended = Counter(
            "kinora_jobs_ended", "Clips by how they ended.", ("model", "state"), registry=here
        )
        self.reused = Counter("kinora_cache_hits", "Clips that were there already.", registry=here)
        self.signed = Counter(
            "kinora_clips_signed", "Finished clips by whether they were signed.", ("signed",),
            registry=here,
        )  # fmt: skip
        self.refused = Counter(
            "kinora_policy_refusals", "Refused by the content policy.", ("stage", "category"),
            registry=here,
        )  # fmt: skip
        self.requeued = Counter(
            "kinora_jobs_requeued", "Clips made again: their worker was lost.", registry=here
        )
        self.waited = Histogram(
            "kinora_queue_wait_seconds", "From accepted to begun.", buckets=SLOW_S, registry=here
        )
        self.step = Histogram(
            "kinora_step_seconds", "One sampling step.", of_model, buckets=SLOW_S, registry=here
        )
        self.phase = Histogram(
            "kinora_phase_seconds", "One phase of a clip.", ("model", "phase"), buckets=SLOW_S,
            registry=here,
        )  # fmt: skip
        self.requests = Counter(
            "kinora_http_requests",
            "Requests to the API.",
            ("method", "route", "status"),
            registry=here,
        )
        self.request_s = Histogram(
            "kinora_http_request_duration_seconds", "Until the answer's end; streams left out.",
            ("method", "route"), buckets=FAST_S, registry=here,
        )  # fmt: skip
        self.drift = {"server": Drift(), "worker": Drift()}
        self.registry.register(_Gauges(self))
        ModerationMetrics(service, self.registry)
        self._steps: dict[str, float] = {}
        self._models: dict[str, str] = {}
        service.subscribe(self._on_event)
        service.policy.subscribe(
            lambda refusal: self.refused.labels(refusal.stage, refusal.category).inc()
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def request(self, method: str, route: str, status: int, seconds: float | None) -> None:
        self.requests.labels(method, route, str(status)).inc()
        if seconds is not None:
            self.request_s.labels(method, route).observe(seconds)

    def _on_event(self, event: Event) -> None:
        """Called for every event of this process, in order, in the thread that stored it."""
        job_id = event.job_id
        match event.body:
            case Queued(model):
                self._models[job_id] = model
                self.created.labels(model).inc()
            case Started():
                accepted_at = self.service.get(job_id).created_at
                self.waited.observe(max(0.0, event.at - accepted_at))
            case StepDone():
                before = self._steps.get(job_id)
                self._steps[job_id] = event.at
                if before is not None:
                    self.step.labels(self._model(job_id)).observe(max(0.0, event.at - before))
            case Requeued():
                self.requeued.inc()
                self._steps.pop(job_id, None)
            case Succeeded(seconds, reused=reused, signed=signed):
                if signed is not None:
                    self.signed.labels("yes" if signed else "no").inc()
                if reused:
                    self.reused.inc()
                for phase, phase_s in (seconds or {}).items():
                    if phase in PHASES:
                        self.phase.labels(self._model(job_id), phase).observe(phase_s)
                self._count_end(event)
            case Failed() | JobCancelled():
                self._count_end(event)
            case (
                WaitingForGpu() | Loading() | Fallback() | PreviewReady() | Decoding() | Encoding()
                | UnknownEvent()
            ):  # fmt: skip
                pass
            case _:
                assert_never(event.body)

    def _count_end(self, event: Event) -> None:
        self.ended.labels(self._model(event.job_id), event.kind).inc()
        self._steps.pop(event.job_id, None)
        self._models.pop(event.job_id, None)
        for name, pid in self.processes():
            self.drift[name].after_a_job(pid)

    def processes(self) -> list[tuple[str, int]]:
        """(name, pid) of our processes on this machine; workers behind Redis are on others."""
        worker = self.service.worker_pid()
        return [("server", os.getpid()), *([("worker", worker)] if worker else [])]

    def _model(self, job_id: str) -> str:
        if job_id not in self._models:
            self._models[job_id] = self.service.model_of(job_id)
        return self._models[job_id]


class _Gauges:
    """Gauges, read when the metrics are scraped."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._service = metrics.service
        self._gpu = GpuMemory()

    def describe(self) -> list[Metric]:
        return []  # so that registering it looks at nothing yet

    def collect(self) -> Iterator[Metric]:
        health = self._service.health()

        jobs = GaugeMetricFamily("kinora_jobs", "Clips kept here.", labels=("state", "model"))
        for (state, model), count in sorted(self._service.counts().items()):
            jobs.add_metric((state, model), count)
        yield jobs
        yield GaugeMetricFamily("kinora_queue_depth", "Clips that wait.", health["queued"])
        yield GaugeMetricFamily("kinora_running", "Clips being made.", health["running"])
        yield GaugeMetricFamily(
            "kinora_queue_oldest_seconds", "How long the next in turn has waited.", self._oldest_s()
        )
        yield CounterMetricFamily(
            "kinora_worker_restarts", "Workers that were replaced.", health.get("restarts") or 0
        )
        yield GaugeMetricFamily("kinora_workers", "Workers that are up.", self._workers(health))
        state = GaugeMetricFamily(
            "kinora_worker_state", "1 for the state it is in.", labels=("state",)
        )
        for each in STATES:
            state.add_metric((each,), float(health["state"] == each))
        yield state
        yield from self._memory()

    def _memory(self) -> Iterator[Metric]:
        resident = GaugeMetricFamily(
            "kinora_resident_memory_bytes", "Memory of our processes.", labels=("process",)
        )
        drift = GaugeMetricFamily(
            "kinora_resident_memory_drift_bytes",
            "How much it grew with each of the last clips.",
            labels=("process",),
        )
        for name, pid in self._metrics.processes():
            with contextlib.suppress(psutil.Error):
                resident.add_metric((name,), psutil.Process(pid).memory_info().rss)
            drift.add_metric((name,), self._metrics.drift[name].per_job())
        yield resident
        yield drift
        used = GaugeMetricFamily("kinora_gpu_memory_used_bytes", "In use.", labels=("gpu",))
        total = GaugeMetricFamily("kinora_gpu_memory_total_bytes", "In all.", labels=("gpu",))
        for gpu, (used_bytes, total_bytes) in self._gpu.look().items():
            used.add_metric((gpu,), used_bytes)
            total.add_metric((gpu,), total_bytes)
        yield used
        yield total

    def _workers(self, health: dict[str, Any]) -> int:
        """1 while the process of the worker runs; behind Redis, the number of workers."""
        if self._service.settings.executor_kind == "process":
            return int(health["worker_pid"] is not None)
        return int(health["workers"])

    def _oldest_s(self) -> float:
        return self._service.oldest_waiting_s()


class Drift:
    """How fast a process grows: a line fitted to its memory after each of the last clips."""

    def __init__(self) -> None:
        self._pid = 0
        self._sizes: deque[int] = deque(maxlen=DRIFT_JOBS)

    def after_a_job(self, pid: int) -> None:
        if pid != self._pid:
            self._pid = pid
            self._sizes.clear()
        with contextlib.suppress(psutil.Error):
            self._sizes.append(psutil.Process(pid).memory_info().rss)

    def per_job(self) -> float:
        """Bytes per clip; 0 before there are a handful of them."""
        sizes = list(self._sizes)
        if len(sizes) < DRIFT_LEAST:
            return 0.0
        return statistics.linear_regression(range(len(sizes)), sizes).slope


class GpuMemory:
    """The memory of the GPUs by nvidia-smi, read at most every few seconds; none without it."""

    def __init__(self, program: str | None = None) -> None:
        self._program = program or shutil.which("nvidia-smi")
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int]] = {}
        self._read_at = 0.0

    def look(self) -> dict[str, tuple[int, int]]:
        """(used, total) in bytes, by GPU index."""
        if self._program is None:
            return {}
        with self._lock:
            if time.monotonic() - self._read_at > GPU_LOOK_S:
                self._seen, self._read_at = self._read(self._program), time.monotonic()
            return self._seen

    def _read(self, program: str) -> dict[str, tuple[int, int]]:
        query = ("--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits")
        try:
            output = subprocess.run(  # noqa: S603  # a fixed program with fixed arguments
                [program, *query], capture_output=True, text=True, timeout=5, check=True
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return {}
        found: dict[str, tuple[int, int]] = {}
        for line in output.splitlines():
            parts: list[Any] = [part.strip() for part in line.split(",")]
            if len(parts) == 3 and all(part.isdigit() for part in parts):
                found[parts[0]] = (int(parts[1]) * 2**20, int(parts[2]) * 2**20)
        return found
