"""A goal that is missed fails its test, and is printed all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT

TESTS = """
import pytest

@pytest.mark.goal("G3")
def test_counts(goal):
    goal.count("jobs lost", 0, at_most=0)
    goal.count("jobs kept", 99, at_least=100)

@pytest.mark.goal("G1")
def test_times(goal):
    goal.time("seen after", 20, at_most=15)
"""


@pytest.mark.parametrize("full", [False, True])
def test_missed_goals_fail_and_are_printed(tmp_path: Path, full: bool) -> None:
    (tmp_path / "test_two.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text("from tests.conftest import goal\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.goals", "--rootdir", tmp_path]
    run = subprocess.run(
        [*command, "-c", ROOT / "pyproject.toml", tmp_path],
        cwd=ROOT,
        env=os.environ | {"KINORA_RELIABILITY": "full" if full else ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    rows = [line.split("|")[1:-1] for line in run.stdout.splitlines() if line.startswith("| G")]
    told = [tuple(cell.strip() for cell in row) for row in rows]
    assert told == [
        ("G1", "seen after", "20", "15", "s", "NO"),
        ("G3", "jobs kept", "99", "100", "", "NO"),
        ("G3", "jobs lost", "0", "0", "", "yes"),
    ]
    assert f"{2 if full else 1} failed" in run.stdout  # times are held in the full run only
