from __future__ import annotations

import ast
from fnmatch import fnmatch
from pathlib import Path

from tests import matrix
from tests.pipelines.any import matrix as classes
from tests.pipelines.any.findings import Report

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


def test_a_check_that_was_not_made_is_no_yes() -> None:
    report = Report("lucy", "LucyEditPipeline", "generic", "v2v")
    report.examined |= {"tasks", "clip", "equal", "second-equal", "preview"}
    report.say("E", "effect-strength", "handed on, changes | nothing", "v2v")
    report.say("B", "second-equal", "differs by up to 3 levels", "v2v")
    cells = classes.row(report)
    assert (cells["tasks"], cells["runs"], cells["preview"]) == ("yes", "yes", "yes")
    assert (cells["equal frames"], cells["noted"]) == ("**no**", "**no**")
    assert cells["finish"] == ""
    assert cells["note"] == "v2v effect-strength: handed on, changes / nothing"


def test_the_table_of_classes_counts_what_is_clean_refused_and_wrong() -> None:
    right, refused, wrong = (
        Report(name, f"{name}Pipeline", offers=offers)
        for name, offers in (("Right", "t2v"), ("Refused", "refused"), ("Wrong", "t2v"))
    )
    refused.sentence = "local/Refused needs a face. Choose another model."
    wrong.plain_failures.append("TypeError: x")
    wrong.say("C", "clip", "crash", "t2v")
    rows = [classes.row(each) for each in (wrong, right, refused)]
    lines = classes.table(rows).splitlines()
    assert len({line.count("|") for line in lines[:-2]}) == 1
    assert [row.split(" | ")[1] for row in lines[2:-2]] == ["Refused", "Right", "Wrong"]
    assert "It needs a face. Choose another model." in lines[2]
    assert lines[-1].startswith("3 classes in 3 folders: 1 are as they should be")
    assert "1 are refused" in lines[-1]
    assert lines[-1].endswith("1 have a **no**, 0 are not examined yet.")


def test_a_partial_run_leaves_the_other_rows_as_they_are() -> None:
    page = "Before.\n\n<!-- any class -->\n<!-- /any class -->\n\nAfter.\n"
    folders = {"one": "OnePipeline", "two": "TwoPipeline"}
    one = classes.row(Report("one", "OnePipeline", offers="t2v,i2v", examined={"clip"}))
    first = classes.merged(page, [one], folders)
    assert first.startswith("Before.\n") and first.endswith("\nAfter.\n")
    assert [each["note"] for each in classes.rows_of(first)] == ["", classes.NOT_YET]

    two = classes.row(Report("two", "TwoPipeline", offers="t2v", examined={"discard"}))
    both = classes.merged(first, [two], folders)
    assert classes.rows_of(both) == [one, two]
    assert classes.merged(both, [], folders) == both
    assert [each["folder"] for each in classes.rows_of(classes.merged(both, [], {"two": "T"}))] == [
        "two"
    ]


def test_every_check_of_the_classes_has_a_column() -> None:
    """Whatever is said of a folder is seen in the table."""
    said = set[str]()
    for name in ("clip.py", "examine.py"):
        tree = ast.parse((ROOT / "tests/pipelines/any" / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "say":
                check = node.args[1]
                if isinstance(check, ast.JoinedStr):
                    check = check.values[0]
                if isinstance(check, ast.Constant):
                    said.add(str(check.value))
    assert {"equal", "promise", "ignored-", "half"} <= said
    patterns = [each for checks in classes.COLUMNS.values() for each in checks]
    for check in said:
        assert any(fnmatch(check, each) for each in patterns), check
