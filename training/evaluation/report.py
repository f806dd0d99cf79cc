"""Runs every analysis; writes the findings as text, JSON and model card."""

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
from training.evaluation.confidence import Mean, Proportion
from training.evaluation.evaluation_plan import SamplingOptions
from training.evaluation.judged_clips import Findings, Judge, JudgedClips

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
"""The evaluation's part of a model card is between these lines."""


def evaluate_all(
    clips: JudgedClips, judge: Judge, options: SamplingOptions, renderings: int = 400
) -> Findings:
    judge_accuracies = judge_accuracy.measure_judge_accuracy(judge, renderings)
    parts = (
        prompt_following.evaluate_prompt_following(clips, judge_accuracies),
        pairs.evaluate_pairs(clips),
        likeness.evaluate_likeness(clips),
        sweeps.evaluate_guidance(clips, options.guidance),
        sweeps.evaluate_steps(clips),
        sweeps.evaluate_negative_prompt(clips),
        ood_prompts.evaluate_unknown_words(clips),
        ood_prompts.evaluate_nonsense(clips),
        ood_prompts.evaluate_unseen_pictures(clips),
    )
    everything = Findings()
    for part in parts:
        everything.figures |= part.figures
        everything.tables += part.tables
        everything.card += part.card
        everything.conclusions += part.conclusions
    return everything


def to_json(figure: Proportion | Mean | float) -> dict[str, Any] | float:
    match figure:
        case Proportion():
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


def format_text(findings: Findings) -> str:
    parts = []
    for table in findings.tables:
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
    return "\n\n".join([*parts, *findings.conclusions])


def format_card(findings: Findings, command: str) -> str:
    """Markdown for the model card."""
    parts = [
        f"Measured by `{command}`, on prompts, wordings, seeds and pictures not used in training."
    ]
    for table in findings.card:
        parts += [f"### {table.title}", table.markdown()]
        if table.note:
            parts.append(table.note[0].upper() + table.note[1:] + ".")
    parts.append("\n".join(findings.conclusions))
    return "\n\n".join(part for part in parts if part)


def write_card(path: Path, text: str) -> None:
    """Replaces the text between the marks of an existing card."""
    page = path.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise SystemExit(f"{path} needs one line {BEGIN} and after it one line {END}")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def write_json(path: Path, findings: Findings, about: dict[str, Any]) -> None:
    figures = {name: to_json(figure) for name, figure in findings.figures.items()}
    tables = [
        {"title": t.title, "heads": t.heads, "rows": t.rows, "note": t.note}
        for t in findings.tables
    ]
    everything = {
        "about": about,
        "figures": _nan_to_null(figures),
        "tables": tables,
        "said": findings.conclusions,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(everything, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8"
    )


def _nan_to_null(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {k: _nan_to_null(v) for k, v in value.items()}
    return None if isinstance(value, float) and value != value else value
