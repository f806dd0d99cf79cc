"""The goals of reliability: what a test marked `goal` found, held against its bound and printed.

    make reliability        every goal with its full count, and one table at the end

In `make test` the same tests run with small counts. Times are held only in the full run, which has
the machine to itself; counts and sizes always.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FULL = os.environ.get("KINORA_RELIABILITY") == "full"
PROPERTY = "goal"


def rounds(quick: int, full: int) -> int:
    """How often: a few times in `make test`, as often as the goal says in `make reliability`."""
    return full if FULL else quick


@dataclass(frozen=True)
class Finding:
    goal: str
    what: str
    value: float
    bound: float | None
    unit: str
    holds: bool

    def row(self) -> tuple[str, ...]:
        bound = "" if self.bound is None else f"{self.bound:g}"
        return (self.goal, self.what, f"{self.value:.4g}", bound, self.unit, _sign(self.holds))


class Goal:
    """What one test has found for its goal, such as G3."""

    def __init__(self, node: Any) -> None:
        marker = node.get_closest_marker("goal")
        if marker is None:
            raise ValueError(f"{node.nodeid} uses the fixture `goal` without the marker `goal`")
        self._name, self._node = str(marker.args[0]), node

    def count(
        self,
        what: str,
        value: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        unit: str = "",
    ) -> None:
        """A figure that holds on any machine, in every run."""
        self._find(what, value, at_most, at_least, unit, held=True)

    def time(
        self,
        what: str,
        value: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        unit: str = "s",
    ) -> None:
        """A figure of how fast: held in the full run only."""
        self._find(what, value, at_most, at_least, unit, held=FULL)

    def _find(
        self,
        what: str,
        value: float,
        at_most: float | None,
        at_least: float | None,
        unit: str,
        *,
        held: bool,
    ) -> None:
        holds = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        bound = at_most if at_most is not None else at_least
        finding = Finding(self._name, what, float(value), bound, unit, holds)
        self._node.user_properties.append((PROPERTY, vars(finding)))
        assert holds or not held, f"{self._name}, {what}: {value:g} {unit}, allowed {bound:g}"


# -- as a plugin: pytest -p tests.goals ----------------------------------------------------------

_found: list[Finding] = []
_failed: list[str] = []


def pytest_runtest_logreport(report: Any) -> None:
    if report.outcome == "failed":
        _failed.append(report.nodeid)
    if report.when == "teardown":
        told = [value for name, value in report.user_properties if name == PROPERTY]
        _found.extend(Finding(**value) for value in told)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _found or _failed:
        terminalreporter.write_line("")
        for line in [*table(_found), *(f"FAILED {name}" for name in _failed)]:
            terminalreporter.write_line(line)


def table(findings: Iterable[Finding]) -> list[str]:
    """Markdown, so that it can be pasted; in the order of the goals."""
    heads = ("goal", "what", "found", "bound", "", "holds")
    rows = [f.row() for f in sorted(findings, key=lambda f: (int(f.goal.lstrip("G")), f.what))]
    wide = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [heads, tuple("-" * n for n in wide), *rows]
    return [
        "| " + " | ".join(c.ljust(n) for c, n in zip(row, wide, strict=True)) + " |"
        for row in lines
    ]


def _sign(holds: bool) -> str:
    return "yes" if holds else "NO"
