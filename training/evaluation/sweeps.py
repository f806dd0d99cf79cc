"""What the controls do: seeds, guidance, steps, the negative prompt."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from training.evaluation.confidence import Mean, mean, share, signs
from training.evaluation.generate import shrunk
from training.evaluation.judged_clips import (
    KINDS,
    Evidence,
    Findings,
    Seen,
    Table,
    rendered,
    shares,
)
from training.evaluation.metrics import distance, pairwise_distance


def _by_sentence(seen: list[Seen]) -> dict[int, list[Seen]]:
    groups: dict[int, list[Seen]] = defaultdict(list)
    for one in seen:
        groups[one.row.number].append(one)
    return {number: group for number, group in groups.items() if len(group) > 1}


def variety(seen: list[Seen]) -> tuple[Mean, float]:
    """One mean distance a sentence, and the least of any two clips."""
    each = [pairwise_distance([s.clip for s in group]) for group in _by_sentence(seen).values()]
    return mean([float(np.mean(d)) for d in each]), min((min(d) for d in each), default=0.0)


def real_variety(seen: list[Seen]) -> Mean:
    groups = _by_sentence(seen).values()
    real = [[shrunk(clip) for clip in rendered(group[0], len(group))] for group in groups]
    return mean([float(np.mean(pairwise_distance(clips))) for clips in real])


def guidance(evidence: Evidence, usual: float) -> Findings:
    found = Findings()
    rows = []
    for group in sorted(evidence.groups("guidance"), key=float):
        seen = evidence.of("guidance", group)
        apart, least = variety(seen)
        right = shares(seen)
        rows.append((group, *(str(right[k]) for k in KINDS), apart.text(1), f"{least:.1f}"))
        found.figures |= {f"guidance_{group}_{k}": v for k, v in right.items()}
        found.figures[f"guidance_{group}_variety"] = apart
        if float(group) == usual:
            real = real_variety(seen)
            ratio = apart.value / real.value
            found.figures |= {
                "seeds_distance": apart,
                "seeds_distance_of_renderings": real,
                "seeds_ratio": ratio,
                "seeds_least_distance": least,
            }
            found.said.append(
                f"Seeds: clips of one sentence differ by {apart.text(1)} levels of 255, renderings "
                f"of the same sentences by {real.text(1)} (ratio {ratio:.2f}); the two clips most "
                f"alike differ by {least:.1f}."
            )
    if rows:
        heads = ("guidance", *KINDS, "seeds differ by", "least")
        note = "the same sentences and seeds in every row; distance in levels of 255"
        found.tables.append(Table("Guidance: obedience against variety", heads, rows, note))
        found.card.append(found.tables[-1])
    return found


def steps(evidence: Evidence) -> Findings:
    found = Findings()
    groups = sorted(evidence.groups("steps"), key=int)
    if not groups:
        return found
    most = {s.row.number: s for s in evidence.of("steps", groups[-1])}
    rows = []
    for group in groups:
        seen = evidence.of("steps", group)
        right = shares(seen)
        both = [s for s in seen if s.row.number in most]
        away = mean([distance(s.clip, most[s.row.number].clip) for s in both])
        sharp = mean([s.measures["sharpness"] for s in seen])
        flicker = mean([s.measures["flicker"] for s in seen])
        seconds = mean([s.seconds for s in seen])
        rows.append((group, *(str(right[k]) for k in KINDS), sharp.text(2), flicker.text(2),
                     away.text(1), f"{seconds.value:.1f} s"))  # fmt: skip
        found.figures |= {f"steps_{group}_{k}": v for k, v in right.items()}
        found.figures |= {f"steps_{group}_sharpness": sharp, f"steps_{group}_away": away}
    heads = ("steps", *KINDS, "sharpness", "flicker", f"from {groups[-1]} steps", "a clip")
    note = (
        "the same sentences and seeds in every row; sharpness: mean Laplacian, flicker of the "
        "middle pixel and distance in levels of 255"
    )
    found.tables.append(Table("Steps", heads, rows, note))
    found.card.append(found.tables[-1])
    return found


def negative(evidence: Evidence) -> Findings:
    found = Findings()
    rows = []
    for group in evidence.groups("negative"):
        seen = evidence.of("negative", group)
        without = {s.row.number: s for s in seen if not s.row.request.negative}
        with_it = {s.row.number: s for s in seen if s.row.request.negative}
        both = sorted(without.keys() & with_it.keys())
        before, after = (
            np.array([x[i].right("subject") for i in both]) for x in (without, with_it)
        )
        likely = [
            mean([x[i].verdict.likely.get("dog", 0.0) for i in both]) for x in (without, with_it)
        ]
        chance = signs(int(np.sum(before & ~after)), int(np.sum(~before & after)))
        name = group.replace(" ", "_")
        found.figures |= {
            f"negative_{name}_dogs_without": share(before),
            f"negative_{name}_dogs_with": share(after),
            f"negative_{name}_p": chance,
        }
        rows.append((group, str(share(before)), str(share(after)), f"{chance:.3f}",
                     f"{likely[0].text(2)} to {likely[1].text(2)}"))  # fmt: skip
    if rows:
        heads = ("who was asked for", "dogs", 'dogs with "dog" in the negative', "chance", "belief")
        note = (
            "the same seeds with and without; chance: how likely as one-sided a change is without "
            "any effect; belief: what the judge gives to 'dog', on average"
        )
        found.tables.append(Table("Negative prompt", heads, rows, note))
        found.card.append(found.tables[-1])
    return found
