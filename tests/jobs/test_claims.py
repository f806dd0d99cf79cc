"""Eight processes claim from one store: each clip is handed out exactly once.

On SQLite and on PostgreSQL.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.store import JobStore
from tests.goals import Goal, rounds
from tests.jobs.conftest import MakeJob
from tests.jobs.services import PostgresServer

pytestmark = pytest.mark.slow

CLAIMERS = 8
ITEMS = 500


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Its kind and its address."""
    if request.param == "SQLite":
        return request.param, f"sqlite:///{tmp_path / 'kinora.db'}"
    return request.param, request.getfixturevalue("postgres").database()


class Claimer:
    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.claimer", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.endswith("\n"), "it died"
        return line.strip()

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.mark.goal("G7")
def test_each_job_is_claimed_exactly_once(
    goal: Goal, database: tuple[str, str], make_job: MakeJob
) -> None:
    kind, url = database
    store = JobStore(url)
    claimers = [Claimer(url) for _ in range(CLAIMERS)]
    assert [each.line() for each in claimers] == ["ready"] * CLAIMERS
    twice = lost = strange = asked_again = 0
    busy: set[int] = set()
    runs = rounds(1, 20)
    for _ in range(runs):
        accepted = [make_job(owner=f"v{n % 7}") for n in range(ITEMS)]
        for owner in range(7):
            theirs = accepted[owner::7]
            store.add_all(theirs, max_queue=100 * ITEMS, max_per_owner=100 * ITEMS)
        for each in claimers:
            each.go()
        claimed: Counter[str] = Counter()
        for number, each in enumerate(claimers):
            again, *ids = each.line().split()
            asked_again += int(again)
            claimed.update(ids)
            busy |= {number} if ids else set()
        twice += sum(n - 1 for n in claimed.values())
        lost += len({job.id for job in accepted} - claimed.keys())
        strange += len(claimed.keys() - {job.id for job in accepted})
        started = [e for job in accepted for e in store.events(job.id) if e.kind == "started"]
        twice += len(started) - ITEMS
    for each in claimers:
        each.close()
    store.close()
    goal.count(f"{kind}: runs of {CLAIMERS} x {ITEMS}", runs)
    goal.count(f"{kind}: claimers that got any", len(busy), at_least=2)
    goal.count(f"{kind}: asked again, as the database was taken", asked_again)
    goal.count(f"{kind}: claimed twice", twice, at_most=0)
    goal.count(f"{kind}: lost", lost, at_most=0)
    goal.count(f"{kind}: claimed and never accepted", strange, at_most=0)
