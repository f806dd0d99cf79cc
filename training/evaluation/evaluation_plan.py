"""The clips of the evaluation, as data: prompts, seeds and pictures not used in training.

The first n clips of a section are a balanced smaller section, for shorter runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from training.captions_held_out import sentence
from training.current_world import PLACES, SUBJECTS
from training.evaluation.clip_request import ClipRequest, Expected, PlannedClip
from training.evaluation.coverage import balanced_triples
from training.evaluation.ood_images import KINDS
from training.evaluation.sentences import NONSENSE, random_tail, sentences
from training.world.motions import MOTIONS

STEPS = (4, 8, 12, 20, 32)
GUIDANCES = (1.0, 2.0, 3.0, 5.0)
SAMPLES = 64
SECTIONS = (
    "text",
    "pictures",
    "autoencoder",
    "samples",
    "guidance",
    "steps",
    "strange words",
    "nonsense",
    "negative",
    "strange pictures",
)
IN_FULL_SIZE = ("samples", "autoencoder")
"""Sections whose clips are kept at full size."""


@dataclass(frozen=True)
class PlanSize:
    """Number of clips; `others` is the share of the full count in the other sections."""

    clips: int = 500
    pictures: int = 200
    others: float = 1.0

    def of(self, full: int, least: int = 1) -> int:
        return max(least, round(self.others * full)) if self.others else 0


@dataclass(frozen=True)
class SamplingOptions:
    """The app's defaults."""

    steps: int = 20
    guidance: float = 3.0
    seed: int = 90_001


def plan(
    size: PlanSize, options: SamplingOptions, only: tuple[str, ...] = SECTIONS
) -> list[PlannedClip]:
    made = {
        "text": _text("text", size.clips, options),
        "pictures": _pictures(size.pictures, options),
        "autoencoder": _autoencoder(size.of(60, 4)),
        "samples": _samples(size.of(SAMPLES), options),
        "guidance": _guidance(size.of(12), 4, options),
        "steps": _steps(size.of(40), options),
        "strange words": _unknown_words(size, options),
        "nonsense": [
            PlannedClip(
                "nonsense", ClipRequest(words, options.seed + i, options.steps, options.guidance)
            )
            for i, words in enumerate(NONSENSE[: size.of(len(NONSENSE))])
        ],
        "negative": _negative(size, options),
        "strange pictures": _unseen_pictures(size.of(12), options),
    }
    if unknown := set(only) - set(made):
        raise ValueError(f"unknown section: {', '.join(sorted(unknown))}; expected {SECTIONS}")
    return [row for section in SECTIONS if section in only for row in made[section]]


def _expected(s: int, p: int, m: int) -> Expected:
    return Expected((SUBJECTS[s].name,), (PLACES[p].name,), (MOTIONS[m].name,))


def _text(section: str, count: int, options: SamplingOptions) -> list[PlannedClip]:
    rng = np.random.default_rng(options.seed)
    rows = []
    for i, (s, p, m) in enumerate(balanced_triples(count, options.seed)):
        colours = getattr(SUBJECTS[s], "colours", ("",))  # storybook subjects only
        colour = colours[rng.integers(len(colours))] if len(colours) > 1 else ""
        words = sentence(SUBJECTS[s], PLACES[p], MOTIONS[m], rng, colour)
        request = ClipRequest(words, options.seed + i, options.steps, options.guidance)
        expected = replace(_expected(s, p, m), colour=(colour,) if colour else ())
        rows.append(PlannedClip(section, request, expected, number=i))
    return rows


def _pictures(count: int, options: SamplingOptions) -> list[PlannedClip]:
    seed = options.seed + 1
    rng = np.random.default_rng(seed)
    rows = []
    for i, (s, p, m) in enumerate(balanced_triples(count, seed)):
        words = sentence(SUBJECTS[s], PLACES[p], MOTIONS[m], rng)
        request = ClipRequest(
            words,
            options.seed + i,
            options.steps,
            options.guidance,
            picture=f"rendering:{seed}:{i}:{s}:{p}:{m}",
        )
        rows.append(PlannedClip("pictures", request, _expected(s, p, m), number=i))
    return rows


def _autoencoder(count: int) -> list[PlannedClip]:
    seed = 77_001
    return [
        PlannedClip(
            "autoencoder",
            ClipRequest("", 0, picture=f"rendering:{seed}:{i}:{s}:{p}:{m}", recode=True),
            _expected(s, p, m),
            number=i,
        )
        for i, (s, p, m) in enumerate(balanced_triples(count, seed))
    ]


def _samples(count: int, options: SamplingOptions) -> list[PlannedClip]:
    """Seeds 0, 1, 2 and so on, not selected."""
    rows = _text("samples", count, replace(options, seed=640))
    return [replace(row, request=replace(row.request, seed=i)) for i, row in enumerate(rows)]


def _guidance(prompts: int, seeds: int, options: SamplingOptions) -> list[PlannedClip]:
    """The same prompts and seeds at every guidance scale; only 1 for a model without guidance."""
    tried = {*GUIDANCES, options.guidance} if options.guidance > 1 else {options.guidance}
    rows = _text("guidance", prompts, replace(options, seed=options.seed + 2))
    return [
        replace(
            row,
            group=f"{guidance:g}",
            request=replace(row.request, seed=options.seed + 1000 * k, guidance=guidance),
        )
        for guidance in sorted(tried)
        for row in rows
        for k in range(seeds)
    ]


def _steps(prompts: int, options: SamplingOptions) -> list[PlannedClip]:
    """The same prompts and seeds with different numbers of steps."""
    rows = _text("steps", prompts, options)
    return [
        replace(row, group=str(steps), request=replace(row.request, steps=steps))
        for steps in sorted({*STEPS, options.steps})
        for row in rows
    ]


def _unknown_words(size: PlanSize, options: SamplingOptions) -> list[PlannedClip]:
    rng = np.random.default_rng(options.seed + 3)
    section = "strange words"
    plain = _text(section, size.of(40), replace(options, seed=options.seed + 3))
    rows = [
        replace(
            row,
            group="an unknown style",
            request=replace(row.request, words=row.request.words + random_tail(rng)),
        )
        for row in plain
    ]
    for group, expected in sentences().items():
        rows += [
            PlannedClip(
                section,
                ClipRequest(words, options.seed + k, options.steps, options.guidance),
                parts,
                group,
                i,
            )
            for k in range(size.of(2))
            for i, (words, parts) in enumerate(expected[: size.of(len(expected))])
        ]
    return rows


def _negative(size: PlanSize, options: SamplingOptions) -> list[PlannedClip]:
    """How often a dog appears with and without "dog" in the negative prompt."""
    rows = []
    for group, count, opening in (
        ("anybody", size.of(80), "running"),
        ("a dog or a cat", size.of(24), "a dog or a cat running"),
    ):
        for i in range(count):
            place = PLACES[i % len(PLACES)]
            where = place.words[i // len(PLACES) % len(place.words)]
            for negative in ("", "dog"):
                request = ClipRequest(
                    f"{opening} {where}",
                    options.seed + 5000 + i,
                    options.steps,
                    options.guidance,
                    negative,
                )
                rows.append(PlannedClip("negative", request, Expected(("dog",)), group, i))
    return rows


def _unseen_pictures(count: int, options: SamplingOptions) -> list[PlannedClip]:
    """Pictures with a short prompt or none, as users send them; no motion that changes the size."""
    words = ("standing still", "", "moving left", "moving up", "a beautiful scene", "bouncing")
    return [
        PlannedClip(
            "strange pictures",
            ClipRequest(
                words[i % len(words)],
                options.seed + i,
                options.steps,
                options.guidance,
                picture=f"stranger:{kind}:{i}",
            ),
            group=kind,
            number=i,
        )
        for kind in KINDS
        for i in range(count)
    ]
