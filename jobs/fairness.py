"""Whose turn it is: one queue that nobody can fill up for the others.

Start-time fair queueing. A job's key is the moment it was accepted or the moment its owner was last
served, whichever is later; the smallest key goes first. So a visitor with ten clips waiting lets a
newcomer in after each of them, and no stream of newcomers can starve anyone: a key stands still
until its owner is served.

Knows owners and times only; no database and no worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from operator import itemgetter
from typing import NamedTuple


class Waiting(NamedTuple):
    id: str
    owner: str
    created_at: float
    model: str | None = None


def in_turn(waiting: Iterable[Waiting], last_served: Mapping[str, float]) -> Iterator[Waiting]:
    """The waiting jobs in the order in which they will be started if nobody else comes."""
    lines = list(lines_of(waiting, last_served).values())
    for place in range(max(map(len, lines), default=0)):
        for line in lines:
            if place < len(line):
                yield line[place]


def lines_of(
    waiting: Iterable[Waiting], last_served: Mapping[str, float]
) -> dict[str, list[Waiting]]:
    """Each owner's jobs in their order, whoever is next first. Once served, an owner's key is later
    than that of all who wait, so the first of each line goes, then the second of each, and so on.
    """
    lines: dict[str, list[Waiting]] = {}
    for job in sorted(waiting, key=itemgetter(2, 0)):
        lines.setdefault(job.owner, []).append(job)
    return dict(sorted(lines.items(), key=lambda line: _key(line[1][0], last_served)))


def places_before(owner: str, place: int, lines: Mapping[str, Sized]) -> Iterator[tuple[str, int]]:
    """How many jobs of each line go before the one at that place in its owner's line."""
    passed = False
    for other, line in lines.items():
        passed = passed or other == owner
        yield other, min(len(line), place + (not passed))


def _key(job: Waiting, last_served: Mapping[str, float]) -> tuple[float, float, str]:
    return (max(job.created_at, last_served.get(job.owner, 0.0)), job.created_at, job.owner)
