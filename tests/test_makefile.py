"""`make test` as make runs it, with a python that only notes how it was called."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from settings import ROOT
from tests.conftest import LONGEST

READY = (
    *(".venv/.dev", ".venv/bin/promtool", "debian"),
    "tests/e2e/node_modules/axe-core/axe.min.js",
)
"""Prerequisites that make takes as they are."""


@pytest.mark.parametrize("failing", ["not e2e and not slow", "slow and not e2e", "m e2e", None])
def test_every_part_of_the_tests_runs_and_one_failure_is_enough(
    failing: str | None, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    status = f'case "$*" in *"-{failing}"*|*"-m {failing}"*) exit 1; esac' if failing else ""
    python.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n{status}\n')
    python.chmod(0o755)
    command = ["make", "test", f"RUN={python}", *(f"--old-file={each}" for each in READY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    parts = [re.findall(r"-m (?!pytest)(.+?)(?: --|$)", call)[0] for call in calls]
    assert parts == ["not e2e and not slow", "slow and not e2e", "e2e"], done.stderr
    assert (done.returncode != 0) == (failing is not None)


def test_no_test_is_skipped_for_want_of_a_program_or_a_package() -> None:
    """`make test` installs them. Docker Compose is in neither Debian 12 nor PyPI."""
    for path in (ROOT / "tests").rglob("*.py"):
        if path.name != "test_makefile.py" and "node_modules" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert "importorskip" not in text, path
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.If | ast.Call) and ".skip" in ast.unparse(node):
                    part = node.test if isinstance(node, ast.If) else node
                    assert "which(" not in ast.unparse(part), f"{path}:{node.lineno}"


def test_the_files_that_take_longest_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
