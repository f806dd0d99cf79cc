"""Whose turn it is: one queue that nobody can fill up for the others.

Start-time fair queueing. A job's key is the moment it was accepted or the moment its owner was last
served, whichever is later; the smallest key goes first. So a visitor with ten clips waiting lets a
newcomer in after each of them, and no stream of newcomers can starve anyone: a key stands still
until its owner is served.

Knows owners and times only; no database and no worker.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


class Waiting(NamedTuple):
    id: str
    owner: str
    created_at: float


def in_turn(waiting: Iterable[Waiting], last_served: Mapping[str, float]) -> Iterator[Waiting]:
    """The waiting jobs in the order in which they will be started if nobody else comes."""
    lines: dict[str, deque[Waiting]] = {}
    for job in sorted(waiting, key=lambda job: (job.created_at, job.id)):
        lines.setdefault(job.owner, deque()).append(job)
    now = max([0.0, *last_served.values(), *(line[-1].created_at for line in lines.values())])
    heap = [_key(line[0], last_served.get(owner, 0.0)) for owner, line in lines.items()]
    heapq.heapify(heap)
    served = 0
    while heap:
        _, _, owner = heapq.heappop(heap)
        line = lines[owner]
        yield line.popleft()
        served += 1
        if line:
            heapq.heappush(heap, _key(line[0], now + served))


def _key(job: Waiting, last_served: float) -> tuple[float, float, str]:
    return (max(job.created_at, last_served), job.created_at, job.owner)
