"""A pytest plugin that prints what the tests of all classes found as a table: folders by checks.

KINORA_MATRIX=full pytest -p tests.pipelines.any.matrix tests/pipelines/any

It also writes the rows into the table in docs/models.md; the other rows there stay as they are.
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
    "noted": ("ignored*", "effect-*", "sound", "strength", "plan", "precision"),
    "sentence": ("sentence", "bare"),
}
"""Head of a column -> the checks behind it; `*` stands for anything."""
YES, NO, NOTHING = "yes", "**no**", ""

PROPERTY = "any class"
HEADS = ("class", "folder", "offers", *COLUMNS, "note")
NOT_YET = "not examined yet"
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
    lines = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    for each in sorted(rows, key=lambda cells: (cells["class"], cells["folder"])):
        lines.append("| " + " | ".join(each[head] for head in HEADS) + " |")
    return "\n".join([*lines, "", totals(rows)])


def totals(rows: list[dict[str, str]]) -> str:
    examined = [each for each in rows if each["note"] != NOT_YET]
    clean = [each for each in examined if NO not in each.values()]
    refused = [each for each in clean if each["offers"] == "refused"]
    classes = {each["class"] for each in rows}
    return (
        f"{len(classes)} classes in {len(rows)} folders: {len(clean) - len(refused)} are as they "
        f"should be in every column, {len(refused)} are refused with a reason before anything is "
        f"loaded, {len(examined) - len(clean)} have a **no**, {len(rows) - len(examined)} are "
        f"{NOT_YET}."
    )


def merged(text: str, rows: list[dict[str, str]], folders: dict[str, str]) -> str:
    """The text of the page with these rows. `folders` are all of them, with their classes: rows of
    others go, and those that were never examined say so."""
    kept = {each["folder"]: each for each in rows_of(text)} | {
        each["folder"]: each for each in rows
    }
    empty = dict.fromkeys(HEADS, NOTHING) | {"note": NOT_YET}
    every = [
        kept.get(folder, empty | {"class": f"`{of}`", "folder": folder})
        for folder, of in folders.items()
    ]
    return with_table(text, TABLE, table(every))


def rows_of(text: str) -> list[dict[str, str]]:
    """The rows of the page's table."""
    part = text.partition(f"<!-- {TABLE} -->")[2].partition(f"<!-- /{TABLE} -->")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [dict(zip(HEADS, cells, strict=True)) for cells in rows[2:] if len(cells) == len(HEADS)]


def write(rows: list[dict[str, str]]) -> None:
    from tests.zoo.any.folders import FOLDERS

    page = page_of(PAGE)
    folders = {each.name: each.of for each in FOLDERS}
    page.write_text(merged(page.read_text(encoding="utf-8"), rows, folders), encoding="utf-8")


# -- the plugin ----------------------------------------------------------------------------------

found: list[dict[str, str]] = []


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call":
        found.extend(value for name, value in report.user_properties if name == PROPERTY)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if found:
        write(found)
        terminalreporter.write_line("")
        for line in table(found).splitlines():
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"Written to docs/{PAGE}.md.")
