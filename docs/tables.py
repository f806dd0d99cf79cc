"""Rewrites the generated parts of the README: `make docs`. A test fails where they are stale.

Knows the README's markers `<!-- NAME -->` ... `<!-- /NAME -->` and where each part comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipelines.models.cards import load_cards
from settings import ROOT, Settings

README = ROOT / "README.md"
TASKS = {"t2v": "text to video", "i2v": "image to video", "v2v": "video to video"}


def settings_table() -> str:
    rows = ["| name | default | what it does |", "|---|---|---|"]
    for name, default, description in Settings.table():
        rows.append(f"| `{name}` | {f'`{default}`' if default else ''} | {description} |")
    return "\n".join(rows)


def models_table() -> str:
    rows = ["| model | makes | by default | needs | licence |", "|---|---|---|---|---|"]
    for card in load_cards(ROOT / "presets" / "models").values():
        d, needs = card.defaults, card.needs
        tasks = ", ".join(TASKS[task] for task in card.tasks)
        size = f"{d.width}x{d.height}, {d.num_frames} frames, {d.fps} a second"
        memory = (
            f"{needs.vram_gb:g} GB on a GPU" if needs.vram_gb else f"{needs.ram_gb:g} GB, no GPU"
        )
        rows.append(f"| `{card.id}` {card.name} | {tasks} | {size} | {memory} | {card.license} |")
    return "\n".join(rows)


PARTS: dict[str, Callable[[], str]] = {"settings": settings_table, "models": models_table}


def rewritten(text: str) -> str:
    for name, make in PARTS.items():
        part = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not part.search(text):
            raise SystemExit(f"The README has no part called {name}.")
        made = make()
        text = part.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
    return text


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
