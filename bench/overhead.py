"""The whole job against a plain diffusers call with the same settings, alternately.

Ours: submit, store, queue, worker, sampling with previews, decoding, encoding, poster, last frame,
events, until the job has succeeded. Theirs: `LTXPipeline(...)` and `export_to_video`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

from app import build_service
from bench.common import PROMPT, SEED, Figure, environment
from jobs.job import State
from jobs.service import JobService
from pipelines.request import FittedRequest, GenerationRequest
from settings import ROOT, Settings

MODEL = "pocket"
"""All its weights are in one folder, as plain diffusers needs them."""


def measure(folder: Path, rounds: int) -> list[Figure]:
    settings = Settings.load().model_copy(
        update={"data_dir": folder, "database_url": f"sqlite:///{folder / 'kinora.db'}"}
    )
    with build_service(settings) as service:
        request = GenerationRequest(model=MODEL, prompt=PROMPT, seed=SEED)
        fitted = service.fit(request)
        bare = _BarePipeline(service, fitted, folder)
        while service.health()["state"] == "starting":
            time.sleep(0.1)
        ours_s: list[float] = []
        bare_s: list[float] = []
        cpu_time = CpuTime(bare=bare.pid, worker=service.health()["worker_pid"])
        for number in range(rounds + 1):
            seed = SEED + number
            theirs = bare.time_clip(seed)
            ours = _time_our_clip(service, request.model_copy(update={"seed": seed}))
            if number:  # the first round is a warm-up
                bare_s.append(theirs)
                ours_s.append(ours)
            else:
                cpu_time.restart()
        ours_cpu_s, bare_cpu_s = (seconds / rounds for seconds in cpu_time.elapsed())
        bare.close()
    ratios = [ours / theirs for ours, theirs in zip(ours_s, bare_s, strict=True)]
    print(
        f"    ours {statistics.median(ours_s):.3f} s ({ours_cpu_s:.2f} s of CPU), "
        f"bare {statistics.median(bare_s):.3f} s ({bare_cpu_s:.2f} s of CPU)"
    )
    ratio = statistics.median(ours_s) / statistics.median(bare_s)
    spread = (min(ratios), max(ratios))
    return [Figure("the whole job : bare diffusers", ratio, 1.05, "x", spread)]


def _time_our_clip(service: JobService, request: GenerationRequest) -> float:
    started = time.perf_counter()
    job = service.submit(request, "bench")
    for _ in service.watch(job.id):
        pass
    seconds = time.perf_counter() - started
    if service.get(job.id).state is not State.SUCCEEDED:
        raise RuntimeError(f"the job failed: {service.get(job.id).error}")
    return seconds


class CpuTime:
    """CPU seconds of both sides with their child processes: comparable on a busy machine."""

    def __init__(self, bare: int, worker: int) -> None:
        self._bare = [psutil.Process(bare)]
        self._ours = [psutil.Process(), psutil.Process(worker)]
        self.restart()

    def restart(self) -> None:
        self.x = self._now()

    def elapsed(self) -> tuple[float, float]:
        """(ours, bare)"""
        now, started = self._now(), self.x
        return now[0] - started[0], now[1] - started[1]

    def _now(self) -> tuple[float, float]:
        return sum(map(_cpu_s, self._ours)), sum(map(_cpu_s, self._bare))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


class _BarePipeline:
    """Plain diffusers in a separate process, without our imports."""

    def __init__(self, service: JobService, fitted: FittedRequest, folder: Path) -> None:
        weights = service.cards[fitted.model].local_path
        self._arguments = {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt,
            "width": fitted.width,
            "height": fitted.height,
            "num_frames": fitted.num_frames,
            "frame_rate": fitted.fps,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
        }
        self._process = subprocess.Popen(
            [sys.executable, "bench/bare.py", str(weights)],
            cwd=ROOT,
            env=environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.pid = self._process.pid
        self._read_line()

    def time_clip(self, seed: int) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._arguments | {"seed": seed}) + "\n")
        self._process.stdin.flush()
        return float(self._read_line())

    def close(self) -> None:
        self._process.communicate()

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the bare pipeline exited")
        return line
