"""`make docs`: rewrites the generated tables in docs/. A test fails when they are stale.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from media.operations.registry import schemas
from pipelines.models.cards import load_cards
from settings import ROOT, Settings

TASKS = {"t2v": "text to video", "i2v": "image to video", "v2v": "video to video"}


def settings_table() -> str:
    rows = ["| name | default | what it does |", "|---|---|---|"]
    for name, default, description in Settings.table():
        rows.append(f"| `{name}` | {f'`{default}`' if default else ''} | {description} |")
    return "\n".join(rows)


def models_table() -> str:
    rows = ["| model | tasks | defaults | needs | licence |", "|---|---|---|---|---|"]
    for card in load_cards(ROOT / "presets" / "models").values():
        d, needs = card.defaults, card.needs
        tasks = ", ".join(TASKS[task] for task in card.tasks)
        size = f"{d.width}x{d.height}, {d.num_frames} frames at {d.fps} fps"
        memory = f"{needs.vram_gb:g} GB of VRAM" if needs.vram_gb else f"{needs.ram_gb:g} GB of RAM"
        rows.append(f"| `{card.id}` {card.name} | {tasks} | {size} | {memory} | {card.license} |")
    return "\n".join(rows)


def operations_table() -> str:
    rows = ["| operation | fields | what it does |", "|---|---|---|"]
    for each in schemas():
        fields = [
            f"`{name}`{default_of(field)}: {field.get('description', '')}"
            for name, field in each["schema"]["properties"].items()
            if name != "op"
        ]
        short = ":".join(each["by_position"]).upper()
        written = f"`{each['op']}{f'={short}' if short else ''}`"
        rows.append(f"| {written} | {'<br>'.join(fields)} | {each['description']} |")
    return "\n".join(rows)


def default_of(field: dict[str, Any]) -> str:
    default = field.get("default")
    return "" if default in (None, "", [], ()) else f" ({json.dumps(default)})"


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "models": models_table,
    "editing": operations_table,
}


def page_of(name: str) -> Path:
    return ROOT / "docs" / f"{name}.md"


def with_table(text: str, name: str, table: str) -> str:
    """The text of a page with another table in the place called `name`."""
    part = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not part.search(text):
        raise SystemExit(f"The page has no table called {name}.")
    return part.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


def updated(name: str) -> str:
    """The page with a fresh table."""
    return with_table(page_of(name).read_text(encoding="utf-8"), name, TABLES[name]())


if __name__ == "__main__":
    for name in TABLES:
        page_of(name).write_text(updated(name), encoding="utf-8")
