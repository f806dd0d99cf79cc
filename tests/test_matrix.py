from __future__ import annotations

import ast
from pathlib import Path

from tests import matrix

ROOT = Path(__file__).resolve().parent.parent


def test_every_check_of_the_families_has_a_column() -> None:
    source = (ROOT / "tests/pipelines/engine/families/test_families.py").read_text(encoding="utf-8")
    tests = [
        node.name.removeprefix("test_").removeprefix("the_")
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert tests
    for name in tests:
        assert any(name.startswith(start) for start in matrix.CHECKS), name
    for start in matrix.CHECKS:
        assert any(name.startswith(start) for name in tests), start


def test_a_failure_cannot_be_overlooked() -> None:
    lines = matrix.table({"wan-t2v": {"steps": "yes", "cancel": "NO"}, "svd-i2v": {"steps": "-"}})
    heads = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert heads == ["model and task", *matrix.CHECKS.values()]
    row = next(line for line in lines if "wan-t2v" in line)
    assert row.count("NO") == 1
    assert len({line.count("|") for line in lines}) == 1
