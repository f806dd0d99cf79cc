"""Makes what is missing, in one process or in several; a run that was stopped goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import torch

from training.evaluation.generate import POCKET, Maker, shrunk
from training.evaluation.request import Request
from training.evaluation.results_store import Made, Shelf


def one(maker: Maker, shelf: Shelf, request: Request, large: bool) -> Made:
    begun = time.monotonic()
    clip = maker.clip(request)
    seconds = time.monotonic() - begun
    shelf.put_clip(request.key, clip if large else shrunk(clip))
    return Made(request.key, asdict(request), maker.facts(request, clip), seconds)


def make(
    requests: Iterable[Request],
    shelf: Shelf,
    weights: Path = POCKET,
    workers: int = 1,
    large: Sequence[Request] = (),
    tell: Callable[[str], None] = print,
    transformer: Path | None = None,
) -> None:
    """What is not on the shelf yet. `large`: those to be kept in full size."""
    wide = {request.key for request in large}
    missing = {r.key: r for r in requests if r.key not in shelf.made}
    begun, total = time.monotonic(), len(missing)

    def done(made: Made, number: int) -> None:
        shelf.put_line(made)
        left_min = (time.monotonic() - begun) / number * (total - number) / 60
        words = repr(made.request["words"])[:70]
        tell(f"{number}/{total} {made.seconds:.1f} s {words} ({left_min:.0f} min left)")

    if not missing:
        return
    if workers == 1:
        maker = Maker(weights, transformer)
        for i, request in enumerate(missing.values()):
            done(one(maker, shelf, request, request.key in wide), i + 1)
        return
    threads = max(1, torch.get_num_threads() // workers)
    start = (weights, transformer, shelf.folder, threads)
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, start) as pool:
        tasks = [pool.submit(_in_worker, r, r.key in wide) for r in missing.values()]
        try:
            for i, task in enumerate(as_completed(tasks)):
                done(task.result(), i + 1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


# -- in a worker process -------------------------------------------------------------------------

_mine: tuple[Maker, Shelf]


def _start(weights: Path, transformer: Path | None, folder: Path, threads: int) -> None:
    global _mine
    torch.set_num_threads(threads)
    _mine = Maker(weights, transformer), Shelf(folder)


def _in_worker(request: Request, large: bool) -> Made:
    return one(*_mine, request, large)
