"""A pytest plugin that prints what the tests of all classes found as a table: folders by checks.

KINORA_MATRIX=full pytest -p tests.pipelines.any.matrix tests/pipelines/any

A full run also writes the table into docs/models.md.
"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

from tests.pipelines.any.findings import Report
from tools.tables import page_of, with_table

PAGE, TABLE = "models", "any class"

COLUMNS: dict[str, tuple[str, ...]] = {
    "tasks": ("tasks",),
    "defaults": (
        "fps",
        "num_inference_steps",
        "guidance_scale",
        "limits",
        "steps-limits",
        "takes-*",
    ),
    "runs": ("clip", "second-clip"),
    "bfloat16": ("half",),
    "equal frames": ("equal", "second-equal", "arguments"),
    "as promised": ("promise", "second-promise", "picture"),
    "progress": ("progress",),
    "preview": ("preview",),
    "finish": ("finish",),
    "discard": ("discard",),
    "told": ("ignored*", "effect-*", "sound", "strength", "plan", "precision"),
    "sentence": ("sentence", "bare"),
}
"""Head of a column -> the checks behind it; `*` stands for anything."""
YES, NO, NOTHING = "yes", "**no**", ""

PROPERTY = "any class"
LONGEST_NOTE = 160


def row(report: Report) -> dict[str, str]:
    """The cells of one folder. A check that was not made leaves its cell empty."""
    cells = {"class": f"`{report.class_name}`", "folder": report.folder}
    if report.offers == "refused":
        cells["offers"] = "refused"
    else:
        cells["offers"] = report.offers.replace(",", ", ")
    for head, checks in COLUMNS.items():
        failed = any(_is_of(each.check, checks) for each in report.findings)
        made = any(_is_of(each, checks) for each in report.examined)
        cells[head] = NO if failed else YES if made else NOTHING
    return cells | {"note": _note(report)}


def _is_of(check: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(check, each) for each in patterns)


def _note(report: Report) -> str:
    """Why there is no clip, or the first thing that is not as it should be."""
    upstream = dict.fromkeys(report.plain_failures)
    words = [report.sentence]
    words += [f"{each.task} {each.check}: {each.words}".strip() for each in report.findings]
    words += [f"diffusers alone fails: {each}" for each in upstream]
    note = next(filter(None, words), "").replace("|", "/").replace(f"local/{report.folder}", "It")
    return note if len(note) <= LONGEST_NOTE else note[:LONGEST_NOTE].rsplit(" ", 1)[0] + " …"


def table(rows: list[dict[str, str]]) -> str:
    """Markdown, with the totals below it."""
    heads = ["class", "folder", "offers", *COLUMNS, "note"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for each in sorted(rows, key=lambda cells: (cells["class"], cells["folder"])):
        lines.append("| " + " | ".join(each[head] for head in heads) + " |")
    return "\n".join([*lines, "", totals(rows)])


def totals(rows: list[dict[str, str]]) -> str:
    clean = [each for each in rows if NO not in each.values()]
    refused = [each for each in clean if each["offers"] == "refused"]
    classes = {each["class"] for each in rows}
    return (
        f"{len(classes)} classes in {len(rows)} folders: {len(clean) - len(refused)} are as they "
        f"should be in every column, {len(refused)} are refused with a reason before anything is "
        f"loaded, {len(rows) - len(clean)} have a **no**."
    )


# -- the plugin ----------------------------------------------------------------------------------

found: list[dict[str, str]] = []


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call":
        found.extend(value for name, value in report.user_properties if name == PROPERTY)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    from tests.zoo.any.folders import FOLDERS

    known = {each.name for each in FOLDERS}
    rows = [each for each in found if each["folder"] in known]
    if not rows:
        return
    terminalreporter.write_line("")
    for line in table(rows).splitlines():
        terminalreporter.write_line(line)
    if {each["folder"] for each in rows} == known:
        page = page_of(PAGE)
        text = with_table(page.read_text(encoding="utf-8"), TABLE, table(rows))
        page.write_text(text, encoding="utf-8")
        terminalreporter.write_line(f"Written to docs/{page.name}.")
