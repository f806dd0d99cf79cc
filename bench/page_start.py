"""Seconds from `python app.py` to a page that answers."""

from __future__ import annotations

from pathlib import Path

from bench.common import Figure, figure, server


def measure(folder: Path, rounds: int) -> list[Figure]:
    seconds: list[float] = []
    for number in range(rounds):
        with server(folder / f"page-{number}") as (_, answered_s):
            seconds.append(answered_s)
    return [figure("the page answers after", seconds, 4)]
