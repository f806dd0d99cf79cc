"""A pytest plugin that prints what test_families.py found as a table: cases by checks.

pytest -p tests.matrix tests/pipelines/engine/families/test_families.py
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

CHECKS = {
    "frames_equal": "equal frames",
    "in_half_precision": "bfloat16",
    "every_step": "steps",
    "words_that_are_not_read": "long prompt",
    "previews": "previews",
    "clip_sounds": "sound",
    "cancel": "cancel",
    "after_a_cancel": "again",
    "short_of_memory": "in tiles",
    "finish_now": "finish",
}
"""The beginning of a test's name, and the head of its column."""
SIGNS = {"passed": "yes", "failed": "NO", "skipped": "-"}

found: dict[str, dict[str, str]] = defaultdict(dict)


def pytest_runtest_logreport(report: Any) -> None:
    told = re.search(r"test_families\.py::test_(?:the_)?(\w+)\[(.+)\]$", report.nodeid)
    if told is None or (report.when != "call" and report.outcome == "passed"):
        return
    name, case = told.groups()
    check = next((head for start, head in CHECKS.items() if name.startswith(start)), name)
    found[case][check] = SIGNS[report.outcome]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if found:
        terminalreporter.write_line("")
        for line in table(found):
            terminalreporter.write_line(line)


def table(results: dict[str, dict[str, str]]) -> list[str]:
    """Markdown, so that it can be pasted."""
    heads = list(CHECKS.values())
    heads += sorted({check for row in results.values() for check in row} - set(heads))
    width = max(len(case) for case in results)
    lines = [
        "| " + " | ".join(["model and task".ljust(width), *heads]) + " |",
        "|" + "|".join("-" * (n + 2) for n in [width, *map(len, heads)]) + "|",
    ]
    for case in sorted(results):
        cells = [results[case].get(head, "").ljust(len(head)) for head in heads]
        lines.append("| " + " | ".join([case.ljust(width), *cells]) + " |")
    return lines
