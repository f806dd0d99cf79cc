"""All that was found: on the screen, as JSON, and in the form of the model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.evaluation import (
    judge_accuracy,
    likeness,
    ood_prompts,
    pairs,
    prompt_following,
    sweeps,
)
from training.evaluation.confidence import Mean, Share
from training.evaluation.judged_clips import Evidence, Findings, Judge
from training.evaluation.plan import Settings

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
"""Between these lines a card holds what the evaluation printed."""


def findings(
    evidence: Evidence, judge: Judge, settings: Settings, renderings: int = 400
) -> Findings:
    own = judge_accuracy.judges(judge, renderings)
    parts = (
        prompt_following.obedience(evidence, own),
        pairs.pairs(evidence),
        likeness.drawn(evidence),
        sweeps.guidance(evidence, settings.guidance),
        sweeps.steps(evidence),
        sweeps.negative(evidence),
        ood_prompts.words(evidence),
        ood_prompts.nonsense(evidence),
        ood_prompts.pictures(evidence),
    )
    whole = Findings()
    for part in parts:
        whole.figures |= part.figures
        whole.tables += part.tables
        whole.card += part.card
        whole.said += part.said
    return whole


def plain(figure: Share | Mean | float) -> dict[str, Any] | float:
    match figure:
        case Share():
            low, high = figure.interval
            return {"share": figure.value, "right": figure.right, "count": figure.count,
                    "low": low, "high": high}  # fmt: skip
        case Mean():
            low, high = figure.interval
            ends = (min(figure.values), max(figure.values)) if figure.values else (None, None)
            return {"mean": figure.value, "count": len(figure.values), "low": low, "high": high,
                    "least": ends[0], "most": ends[1]}  # fmt: skip
        case _:
            return figure


def screen(found: Findings) -> str:
    parts = []
    for table in found.tables:
        if not table.rows:
            continue
        columns = zip(table.heads, *table.rows, strict=True)
        wide = [max(len(cell) for cell in column) for column in columns]
        lines = [table.title]
        for row in (table.heads, *table.rows):
            lines.append(
                "  " + "  ".join(c.ljust(n) for c, n in zip(row, wide, strict=True)).rstrip()
            )
        if table.note:
            lines.append(f"  ({table.note})")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, *found.said])


def card(found: Findings, command: str) -> str:
    """Markdown for between the marks of a model card."""
    parts = [f"Measured by `{command}`, on prompts, wordings, seeds and pictures of its own."]
    for table in found.card:
        parts += [f"### {table.title}", table.markdown()]
        if table.note:
            parts.append(table.note[0].upper() + table.note[1:] + ".")
    parts.append("\n".join(found.said))
    return "\n\n".join(part for part in parts if part)


def write_card(path: Path, text: str) -> None:
    """Between the marks of an existing card; nothing else of it changes."""
    page = path.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise SystemExit(f"{path} needs one line {BEGIN} and after it one line {END}")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def write_json(path: Path, found: Findings, about: dict[str, Any]) -> None:
    figures = {name: plain(figure) for name, figure in found.figures.items()}
    tables = [
        {"title": t.title, "heads": t.heads, "rows": t.rows, "note": t.note} for t in found.tables
    ]
    whole = {"about": about, "figures": _finite(figures), "tables": tables, "said": found.said}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8"
    )


def _finite(value: Any) -> Any:
    """Not-a-number is null: JSON knows no other."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and value != value else value
