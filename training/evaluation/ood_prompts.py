"""Robustness: unknown words, nonsense prompts, and pictures from outside the world."""

from __future__ import annotations

import numpy as np

from training.current_world import render
from training.evaluation.confidence import mean, proportion
from training.evaluation.judged_clips import Findings, JudgedClip, JudgedClips, Table
from training.evaluation.pixel_metrics import FLICKER_BOUND, SHARPNESS_BOUNDS, measure

LOOKS = ("contrast", "colour", "change", "flicker", "sharpness")
ENOUGH_TO_COMPARE = 20
UNREST_SHARE = 0.95


def evaluate_unknown_words(clips: JudgedClips) -> Findings:
    """Accuracy of the known parts of prompts with unknown words, beside known prompts."""
    findings = Findings()
    rows = []
    for group in clips.groups("strange words"):
        seen = clips.of("strange words", group)
        kinds = seen[0].row.expected.parts()
        right = {kind: proportion([s.right(kind) for s in seen]) for kind in kinds}
        whole = proportion([s.is_all_right() for s in seen])
        known = proportion([all(s.right(k) for k in kinds) for s in clips.of("text")])
        name = group.replace(" ", "_")
        findings.figures |= {f"words_{name}_{kind}": value for kind, value in right.items()}
        findings.figures[f"words_{name}_all"] = whole
        rows.append((group, ", ".join(f"{k} {v}" for k, v in right.items()), str(whole),
                     str(known)))  # fmt: skip
    if rows:
        heads = ("prompts with", "known parts right", "all of them", "same parts, known prompts")
        findings.tables.append(Table("Unknown words in prompts", heads, rows))
        findings.card.append(findings.tables[-1])
        examples = [
            f"  {s.row.request.words!r}: {s.verdict.subject}, {s.verdict.place}, {s.verdict.motion}"
            for s in clips.of("strange words")
            if "golden retriever surfing" in s.row.request.words
        ]
        findings.conclusions += ["A golden retriever surfing:", *examples] if examples else []
    return findings


def normal_range(values: list[float]) -> tuple[float, float]:
    """The range of 98 % of ordinary clips."""
    return float(np.quantile(values, 0.01)), float(np.quantile(values, 0.99))


def out_of_range(measures: dict[str, float], normal: dict[str, tuple[float, float]]) -> list[str]:
    """The metrics in which a clip is outside the range of ordinary ones."""
    return [k for k, (low, high) in normal.items() if not low <= measures[k] <= high]


def evaluate_nonsense(clips: JudgedClips) -> Findings:
    findings = Findings()
    ordinary, seen = clips.of("text"), clips.of("nonsense")
    if len(ordinary) < ENOUGH_TO_COMPARE or not seen:
        return findings
    normal = {k: normal_range([s.measures[k] for s in ordinary]) for k in LOOKS}
    ordinary_share = proportion([not out_of_range(s.measures, normal) for s in ordinary])
    good_share = proportion([not out_of_range(s.measures, normal) for s in seen])
    findings.figures |= {
        "nonsense_inside": good_share,
        "nonsense_inside_of_ordinary": ordinary_share,
    }
    rows = [
        (k, f"{low:.2f} to {high:.2f}", f"{np.mean([s.measures[k] for s in ordinary]):.2f}",
         f"{np.mean([s.measures[k] for s in seen]):.2f}",
         f"{sum(k in out_of_range(s.measures, normal) for s in seen)} of {len(seen)}")
        for k, (low, high) in normal.items()
    ]  # fmt: skip
    heads = ("metric", "98 % of ordinary clips", "mean", "mean of nonsense", "out of range")
    note = (
        f"within every range: nonsense {good_share}, ordinary clips {ordinary_share} "
        "by construction"
    )
    findings.tables.append(Table("Nonsense", heads, rows, note))
    findings.conclusions.append(f"Nonsense prompts give ordinary-looking clips: {good_share}.")
    return findings


def is_stable(measures: dict[str, float], unrest: float) -> bool:
    low, high = SHARPNESS_BOUNDS
    return (
        measures["flicker"] <= FLICKER_BOUND
        and low <= measures["sharpness_kept"] <= high
        and measures["unrest"] <= unrest
    )


def unrest_limit(count: int = 100) -> float:
    """The 95th percentile of real renderings."""
    values = [
        measure(render(np.random.default_rng((818, i))).pixels)["unrest"] for i in range(count)
    ]
    return float(np.quantile(values, UNREST_SHARE))


def evaluate_unseen_pictures(clips: JudgedClips) -> Findings:
    findings = Findings()
    kinds = clips.groups("strange pictures")
    if not kinds:
        return findings
    unrest = unrest_limit()

    def row(label: str, seen: list[JudgedClip]) -> tuple[str, ...]:
        values = {k: mean([s.measures[k] for s in seen]) for k in seen[0].measures}
        good_share = proportion([is_stable(s.measures, unrest) for s in seen])
        if label:
            name = label.replace(" ", "_")
            findings.figures |= {
                f"strange_{name}_calm": good_share,
                f"strange_{name}_first_frame_db": values["first_frame_db"],
                f"strange_{name}_first_frame_at_best_db": values["first_frame_at_best_db"],
                f"strange_{name}_flicker": values["flicker"],
                f"strange_{name}_sharpness_kept": values["sharpness_kept"],
            }
        return (label, f"{good_share.right} of {good_share.count}, {good_share}",
                values["first_frame_db"].text(1), values["first_frame_at_best_db"].text(1),
                values["flicker"].text(2), values["unrest"].text(2),
                values["sharpness_kept"].text(2))  # fmt: skip

    rows = [row(kind, clips.of("strange pictures", kind)) for kind in kinds]
    everything = clips.of("strange pictures")
    findings.figures["strange_pictures_calm"] = proportion(
        [is_stable(s.measures, unrest) for s in everything]
    )
    if own := clips.of("pictures"):
        rows.append(("(renderings)", *row("", own)[1:]))
    low, high = SHARPNESS_BOUNDS
    heads = ("pictures", "calm and stable", "first frame, dB", "at best, dB", "flicker",
             "unrest", "sharpness kept")  # fmt: skip
    note = (
        f"calm: flicker of the middle pixel at most {FLICKER_BOUND:g} levels (noise at 40 dB), "
        f"unrest at most {unrest:.2f} (95 % of renderings), {low:g} to {high:g} "
        "of the first frame's edges in the last ones; at best: the autoencoder alone"
    )
    findings.tables.append(Table("Pictures from outside the world", heads, rows, note))
    findings.card.append(findings.tables[-1])
    return findings
