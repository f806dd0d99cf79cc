"""The failures that are known: one line each in known.txt, `folder task check KIND: words`.

A check that begins to pass must lose its line, and no line may be added: the table only shrinks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from tests.pipelines.any.findings import KINDS, Finding

TABLE = Path(__file__).with_name("known.txt")
LINE = re.compile(
    rf"(?P<folder>\S+) (?P<task>\S+) (?P<check>\S+) (?P<kind>[{KINDS}]): (?P<words>.+)"
)


def known() -> dict[str, set[Finding]]:
    found: dict[str, set[Finding]] = defaultdict(set)
    for text in TABLE.read_text(encoding="utf-8").splitlines():
        if text and not text.startswith("#"):
            line = LINE.fullmatch(text)
            if line is None:
                raise ValueError(f"{TABLE.name}: {text}")
            task = line["task"].replace("-", "")
            found[line["folder"]].add(Finding(task, line["check"], line["kind"], line["words"]))
    return found


def compare(found: list[Finding], known: set[Finding]) -> list[str]:
    """What is new, and what has gone: the words are for people and do not count."""
    there = {(each.task, each.check, each.kind): each for each in found}
    listed = {(each.task, each.check, each.kind): each for each in known}
    new = [f"new: {there[key]}" for key in sorted(there.keys() - listed.keys())]
    gone = [
        f"passes now, take its line out of {TABLE.name}: {listed[key]}"
        for key in sorted(listed.keys() - there.keys())
    ]
    return new + gone
