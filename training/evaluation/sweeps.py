"""The effect of seed, guidance, steps and negative prompt."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from training.evaluation.clip_generator import downscale
from training.evaluation.confidence import Mean, mcnemar_p_value, mean, proportion
from training.evaluation.judged_clips import (
    KINDS,
    Findings,
    JudgedClip,
    JudgedClips,
    Table,
    proportions_right,
    render_expected,
)
from training.evaluation.pixel_metrics import distance, pairwise_distance


def _by_sentence(seen: list[JudgedClip]) -> dict[int, list[JudgedClip]]:
    groups: dict[int, list[JudgedClip]] = defaultdict(list)
    for one in seen:
        groups[one.row.number].append(one)
    return {number: group for number, group in groups.items() if len(group) > 1}


def seed_variety(seen: list[JudgedClip]) -> tuple[Mean, float]:
    """Mean distance per prompt, and the smallest distance of any two clips."""
    each = [pairwise_distance([s.clip for s in group]) for group in _by_sentence(seen).values()]
    return mean([float(np.mean(d)) for d in each]), min((min(d) for d in each), default=0.0)


def rendered_variety(seen: list[JudgedClip]) -> Mean:
    groups = _by_sentence(seen).values()
    real = [[downscale(clip) for clip in render_expected(group[0], len(group))] for group in groups]
    return mean([float(np.mean(pairwise_distance(clips))) for clips in real])


def evaluate_guidance(clips: JudgedClips, usual: float) -> Findings:
    findings = Findings()
    rows = []
    for group in sorted(clips.groups("guidance"), key=float):
        seen = clips.of("guidance", group)
        variety, smallest = seed_variety(seen)
        right = proportions_right(seen)
        rows.append((group, *(str(right[k]) for k in KINDS), variety.text(1), f"{smallest:.1f}"))
        findings.figures |= {f"guidance_{group}_{k}": v for k, v in right.items()}
        findings.figures[f"guidance_{group}_variety"] = variety
        if float(group) == usual:
            real = rendered_variety(seen)
            ratio = variety.value / real.value
            findings.figures |= {
                "seeds_distance": variety,
                "seeds_distance_of_renderings": real,
                "seeds_ratio": ratio,
                "seeds_least_distance": smallest,
            }
            findings.conclusions.append(
                f"Seeds: clips of one prompt differ by {variety.text(1)} levels of 255, renderings "
                f"of the same prompts by {real.text(1)} (ratio {ratio:.2f}); the two clips most "
                f"alike differ by {smallest:.1f}."
            )
    if rows:
        heads = ("guidance", *KINDS, "seeds differ by", "minimum")
        note = "the same sentences and seeds in every row; distance in levels of 255"
        findings.tables.append(
            Table("Guidance: prompt following against variety", heads, rows, note)
        )
        findings.card.append(findings.tables[-1])
    return findings


def evaluate_steps(clips: JudgedClips) -> Findings:
    findings = Findings()
    groups = sorted(clips.groups("steps"), key=int)
    if not groups:
        return findings
    at_most_steps = {s.row.number: s for s in clips.of("steps", groups[-1])}
    rows = []
    for group in groups:
        seen = clips.of("steps", group)
        right = proportions_right(seen)
        both = [s for s in seen if s.row.number in at_most_steps]
        distance_to_most_steps = mean(
            [distance(s.clip, at_most_steps[s.row.number].clip) for s in both]
        )
        sharp = mean([s.measures["sharpness"] for s in seen])
        flicker = mean([s.measures["flicker"] for s in seen])
        seconds = mean([s.seconds for s in seen])
        rows.append((group, *(str(right[k]) for k in KINDS), sharp.text(2), flicker.text(2),
                     distance_to_most_steps.text(1), f"{seconds.value:.1f} s"))  # fmt: skip
        findings.figures |= {f"steps_{group}_{k}": v for k, v in right.items()}
        findings.figures |= {
            f"steps_{group}_sharpness": sharp,
            f"steps_{group}_away": distance_to_most_steps,
        }
    heads = ("steps", *KINDS, "sharpness", "flicker", f"from {groups[-1]} steps", "a clip")
    note = (
        "the same sentences and seeds in every row; sharpness: mean Laplacian, flicker of the "
        "middle pixel and distance in levels of 255"
    )
    findings.tables.append(Table("Steps", heads, rows, note))
    findings.card.append(findings.tables[-1])
    return findings


def evaluate_negative_prompt(clips: JudgedClips) -> Findings:
    findings = Findings()
    rows = []
    for group in clips.groups("negative"):
        seen = clips.of("negative", group)
        without = {s.row.number: s for s in seen if not s.row.request.negative}
        with_it = {s.row.number: s for s in seen if s.row.request.negative}
        both = sorted(without.keys() & with_it.keys())
        before, after = (
            np.array([x[i].right("subject") for i in both]) for x in (without, with_it)
        )
        probabilities = [
            mean([x[i].verdict.likely.get("dog", 0.0) for i in both]) for x in (without, with_it)
        ]
        p_value = mcnemar_p_value(int(np.sum(before & ~after)), int(np.sum(~before & after)))
        name = group.replace(" ", "_")
        findings.figures |= {
            f"negative_{name}_dogs_without": proportion(before),
            f"negative_{name}_dogs_with": proportion(after),
            f"negative_{name}_p": p_value,
        }
        rows.append((group, str(proportion(before)), str(proportion(after)), f"{p_value:.3f}",
                     f"{probabilities[0].text(2)} to {probabilities[1].text(2)}"))  # fmt: skip
    if rows:
        heads = ("prompt", "dogs", 'with "dog" in the negative prompt', "p-value", "probability")
        note = (
            "the same seeds with and without; p-value: probability of so one-sided a change "
            "without any effect; probability: what the judge gives to 'dog', on average"
        )
        findings.tables.append(Table("Negative prompt", heads, rows, note))
        findings.card.append(findings.tables[-1])
    return findings
