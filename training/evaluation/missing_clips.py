"""Generates the missing clips, in one or several processes. A stopped run can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import torch

from training.evaluation.clip_generator import POCKET, ClipGenerator, downscale
from training.evaluation.clip_request import ClipRequest
from training.evaluation.results_store import ClipResult, ResultsStore


def generate_one(
    generator: ClipGenerator, results: ResultsStore, request: ClipRequest, full_size: bool
) -> ClipResult:
    started = time.monotonic()
    clip = generator.clip(request)
    seconds = time.monotonic() - started
    results.save_clip(request.key, clip if full_size else downscale(clip))
    return ClipResult(
        request.key, asdict(request), generator.compute_metrics(request, clip), seconds
    )


def generate_missing(
    requests: Iterable[ClipRequest],
    results: ResultsStore,
    weights: Path = POCKET,
    workers: int = 1,
    full_size: Sequence[ClipRequest] = (),
    report: Callable[[str], None] = print,
    transformer: Path | None = None,
) -> None:
    """Generates the clips that `results` lacks; those of `full_size` are stored at full size."""
    full_size_keys = {request.key for request in full_size}
    missing = {r.key: r for r in requests if r.key not in results.results}
    started, total = time.monotonic(), len(missing)

    def done(result: ClipResult, number: int) -> None:
        results.append_result(result)
        left_min = (time.monotonic() - started) / number * (total - number) / 60
        prompt = repr(result.request["words"])[:70]
        report(f"{number}/{total} {result.seconds:.1f} s {prompt} ({left_min:.0f} min left)")

    if not missing:
        return
    if workers == 1:
        generator = ClipGenerator(weights, transformer)
        for i, request in enumerate(missing.values()):
            done(generate_one(generator, results, request, request.key in full_size_keys), i + 1)
        return
    threads = max(1, torch.get_num_threads() // workers)
    start = (weights, transformer, results.folder, threads)
    with ProcessPoolExecutor(workers, get_context("spawn"), _init_worker, start) as pool:
        tasks = [
            pool.submit(_generate_in_worker, r, r.key in full_size_keys) for r in missing.values()
        ]
        try:
            for i, task in enumerate(as_completed(tasks)):
                done(task.result(), i + 1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


# -- in a worker process -------------------------------------------------------------------------

_worker_state: tuple[ClipGenerator, ResultsStore]


def _init_worker(weights: Path, transformer: Path | None, folder: Path, threads: int) -> None:
    global _worker_state
    torch.set_num_threads(threads)
    _worker_state = ClipGenerator(weights, transformer), ResultsStore(folder)


def _generate_in_worker(request: ClipRequest, full_size: bool) -> ClipResult:
    return generate_one(*_worker_state, request, full_size)
