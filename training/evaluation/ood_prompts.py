"""From outside the world: words it does not know, nonsense, and pictures by other hands."""

from __future__ import annotations

import numpy as np

from training.current_world import render
from training.evaluation.confidence import mean, share
from training.evaluation.judged_clips import Evidence, Findings, Seen, Table
from training.evaluation.metrics import FLICKER_BOUND, SHARPNESS_BOUNDS, measure

LOOKS = ("contrast", "colour", "change", "flicker", "sharpness")
ENOUGH_TO_COMPARE = 20
UNREST_SHARE = 0.95


def words(evidence: Evidence) -> Findings:
    """The known part of a sentence, beside sentences that are known as a whole."""
    found = Findings()
    rows = []
    for group in evidence.groups("strange words"):
        seen = evidence.of("strange words", group)
        kinds = seen[0].row.asked.parts()
        right = {kind: share([s.right(kind) for s in seen]) for kind in kinds}
        whole = share([s.all_right() for s in seen])
        known = share([all(s.right(k) for k in kinds) for s in evidence.of("text")])
        name = group.replace(" ", "_")
        found.figures |= {f"words_{name}_{kind}": value for kind, value in right.items()}
        found.figures[f"words_{name}_all"] = whole
        rows.append((group, ", ".join(f"{k} {v}" for k, v in right.items()), str(whole),
                     str(known)))  # fmt: skip
    if rows:
        heads = ("with", "known parts right", "all of them", "the same parts, known sentences")
        found.tables.append(Table("Words from outside the world", heads, rows))
        found.card.append(found.tables[-1])
        told = [
            f"  {s.row.request.words!r}: {s.verdict.subject}, {s.verdict.place}, {s.verdict.motion}"
            for s in evidence.of("strange words")
            if "golden retriever surfing" in s.row.request.words
        ]
        found.said += ["The sentence of everybody:", *told] if told else []
    return found


def bounds(values: list[float]) -> tuple[float, float]:
    """Where 98 in 100 of ordinary clips lie."""
    return float(np.quantile(values, 0.01)), float(np.quantile(values, 0.99))


def outside(measures: dict[str, float], normal: dict[str, tuple[float, float]]) -> list[str]:
    """The looks in which a clip is not as ordinary ones are."""
    return [k for k, (low, high) in normal.items() if not low <= measures[k] <= high]


def nonsense(evidence: Evidence) -> Findings:
    found = Findings()
    ordinary, seen = evidence.of("text"), evidence.of("nonsense")
    if len(ordinary) < ENOUGH_TO_COMPARE or not seen:
        return found
    normal = {k: bounds([s.measures[k] for s in ordinary]) for k in LOOKS}
    usual = share([not outside(s.measures, normal) for s in ordinary])
    good = share([not outside(s.measures, normal) for s in seen])
    found.figures |= {"nonsense_inside": good, "nonsense_inside_of_ordinary": usual}
    rows = [
        (k, f"{low:.2f} to {high:.2f}", f"{np.mean([s.measures[k] for s in ordinary]):.2f}",
         f"{np.mean([s.measures[k] for s in seen]):.2f}",
         f"{sum(k in outside(s.measures, normal) for s in seen)} of {len(seen)}")
        for k, (low, high) in normal.items()
    ]  # fmt: skip
    heads = ("look", "98 in 100 ordinary clips", "their mean", "of nonsense", "outside")
    note = (
        f"inside in every look: nonsense {good}, ordinary clips {usual} by the making of the bounds"
    )
    found.tables.append(Table("Nonsense", heads, rows, note))
    found.said.append(f"Nonsense gives a clip that looks as ordinary ones do: {good}.")
    return found


def calm(measures: dict[str, float], unrest: float) -> bool:
    low, high = SHARPNESS_BOUNDS
    return (
        measures["flicker"] <= FLICKER_BOUND
        and low <= measures["sharpness_kept"] <= high
        and measures["unrest"] <= unrest
    )


def restlessness(count: int = 100) -> float:
    """What 95 in 100 real renderings stay under: a lively clip that nobody would call noise."""
    values = [
        measure(render(np.random.default_rng((818, i))).pixels)["unrest"] for i in range(count)
    ]
    return float(np.quantile(values, UNREST_SHARE))


def pictures(evidence: Evidence) -> Findings:
    found = Findings()
    kinds = evidence.groups("strange pictures")
    if not kinds:
        return found
    unrest = restlessness()

    def row(label: str, seen: list[Seen]) -> tuple[str, ...]:
        values = {k: mean([s.measures[k] for s in seen]) for k in seen[0].measures}
        good = share([calm(s.measures, unrest) for s in seen])
        if label:
            name = label.replace(" ", "_")
            found.figures |= {
                f"strange_{name}_calm": good,
                f"strange_{name}_first_frame_db": values["first_frame_db"],
                f"strange_{name}_first_frame_at_best_db": values["first_frame_at_best_db"],
                f"strange_{name}_flicker": values["flicker"],
                f"strange_{name}_sharpness_kept": values["sharpness_kept"],
            }
        return (label, f"{good.right} of {good.count}, {good}",
                values["first_frame_db"].text(1), values["first_frame_at_best_db"].text(1),
                values["flicker"].text(2), values["unrest"].text(2),
                values["sharpness_kept"].text(2))  # fmt: skip

    rows = [row(kind, evidence.of("strange pictures", kind)) for kind in kinds]
    everything = evidence.of("strange pictures")
    found.figures["strange_pictures_calm"] = share([calm(s.measures, unrest) for s in everything])
    if own := evidence.of("pictures"):
        rows.append(("(renderings)", *row("", own)[1:]))
    low, high = SHARPNESS_BOUNDS
    heads = ("pictures", "calm and stable", "first frame, dB", "at best, dB", "flicker",
             "unrest", "sharpness kept")  # fmt: skip
    note = (
        f"calm: flicker of the middle pixel at most {FLICKER_BOUND:g} levels (noise at 40 dB), "
        f"unrest at most {unrest:.2f} (95 in 100 real renderings), {low:g} to {high:g} "
        "of the first frame's edges in the last ones; at best: the autoencoder alone"
    )
    found.tables.append(Table("Pictures by other hands", heads, rows, note))
    found.card.append(found.tables[-1])
    return found
