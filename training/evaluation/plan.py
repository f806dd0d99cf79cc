"""Which clips the evaluation makes: everything that is asked of the model, as data.

Words, seeds and pictures that training never saw. Any beginning of a section is a fair smaller
section: a shorter run asks for less of the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from training.captions_held_out import sentence
from training.current_world import PLACES, SUBJECTS
from training.evaluation.coverage import triples
from training.evaluation.ood_images import KINDS
from training.evaluation.request import Asked, Request, Row
from training.evaluation.sentences import NONSENSE, sentences, tail
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
"""Sections whose clips are kept to be looked at closely."""


@dataclass(frozen=True)
class Size:
    """How many clips; `others` is the share of the full count in all other sections."""

    clips: int = 500
    pictures: int = 200
    others: float = 1.0

    def of(self, full: int, least: int = 1) -> int:
        return max(least, round(self.others * full)) if self.others else 0


@dataclass(frozen=True)
class Settings:
    """The app's own, unless told otherwise."""

    steps: int = 20
    guidance: float = 3.0
    seed: int = 90_001


def plan(size: Size, settings: Settings, only: tuple[str, ...] = SECTIONS) -> list[Row]:
    made = {
        "text": _text("text", size.clips, settings),
        "pictures": _pictures(size.pictures, settings),
        "autoencoder": _autoencoder(size.of(60, 4)),
        "samples": _samples(size.of(SAMPLES), settings),
        "guidance": _guidance(size.of(12), 4, settings),
        "steps": _steps(size.of(40), settings),
        "strange words": _strange_words(size, settings),
        "nonsense": [
            Row("nonsense", Request(words, settings.seed + i, settings.steps, settings.guidance))
            for i, words in enumerate(NONSENSE[: size.of(len(NONSENSE))])
        ],
        "negative": _negative(size, settings),
        "strange pictures": _strange_pictures(size.of(12), settings),
    }
    if unknown := set(only) - set(made):
        raise ValueError(f"no such section: {', '.join(sorted(unknown))}; there are {SECTIONS}")
    return [row for section in SECTIONS if section in only for row in made[section]]


def _wanted(s: int, p: int, m: int) -> Asked:
    return Asked((SUBJECTS[s].name,), (PLACES[p].name,), (MOTIONS[m].name,))


def _text(section: str, count: int, settings: Settings) -> list[Row]:
    rng = np.random.default_rng(settings.seed)
    rows = []
    for i, (s, p, m) in enumerate(triples(count, settings.seed)):
        colours = getattr(SUBJECTS[s], "colours", ("",))  # of the storybook's subjects alone
        colour = colours[rng.integers(len(colours))] if len(colours) > 1 else ""
        words = sentence(SUBJECTS[s], PLACES[p], MOTIONS[m], rng, colour)
        request = Request(words, settings.seed + i, settings.steps, settings.guidance)
        asked = replace(_wanted(s, p, m), colour=(colour,) if colour else ())
        rows.append(Row(section, request, asked, number=i))
    return rows


def _pictures(count: int, settings: Settings) -> list[Row]:
    seed = settings.seed + 1
    rng = np.random.default_rng(seed)
    rows = []
    for i, (s, p, m) in enumerate(triples(count, seed)):
        words = sentence(SUBJECTS[s], PLACES[p], MOTIONS[m], rng)
        request = Request(
            words,
            settings.seed + i,
            settings.steps,
            settings.guidance,
            picture=f"rendering:{seed}:{i}:{s}:{p}:{m}",
        )
        rows.append(Row("pictures", request, _wanted(s, p, m), number=i))
    return rows


def _autoencoder(count: int) -> list[Row]:
    seed = 77_001
    return [
        Row(
            "autoencoder",
            Request("", 0, picture=f"rendering:{seed}:{i}:{s}:{p}:{m}", recode=True),
            _wanted(s, p, m),
            number=i,
        )
        for i, (s, p, m) in enumerate(triples(count, seed))
    ]


def _samples(count: int, settings: Settings) -> list[Row]:
    """Seeds 0, 1, 2 and so on, as they come."""
    rows = _text("samples", count, replace(settings, seed=640))
    return [replace(row, request=replace(row.request, seed=i)) for i, row in enumerate(rows)]


def _guidance(prompts: int, seeds: int, settings: Settings) -> list[Row]:
    """The same sentences with several seeds, at every guidance; at 1 alone where a model takes
    none."""
    tried = {*GUIDANCES, settings.guidance} if settings.guidance > 1 else {settings.guidance}
    rows = _text("guidance", prompts, replace(settings, seed=settings.seed + 2))
    return [
        replace(
            row,
            group=f"{guidance:g}",
            request=replace(row.request, seed=settings.seed + 1000 * k, guidance=guidance),
        )
        for guidance in sorted(tried)
        for row in rows
        for k in range(seeds)
    ]


def _steps(prompts: int, settings: Settings) -> list[Row]:
    """The same sentences and seeds, with more and more steps."""
    rows = _text("steps", prompts, settings)
    return [
        replace(row, group=str(steps), request=replace(row.request, steps=steps))
        for steps in sorted({*STEPS, settings.steps})
        for row in rows
    ]


def _strange_words(size: Size, settings: Settings) -> list[Row]:
    rng = np.random.default_rng(settings.seed + 3)
    section = "strange words"
    plain = _text(section, size.of(40), replace(settings, seed=settings.seed + 3))
    rows = [
        replace(
            row,
            group="an unknown style",
            request=replace(row.request, words=row.request.words + tail(rng)),
        )
        for row in plain
    ]
    for group, asked in sentences().items():
        rows += [
            Row(
                section,
                Request(words, settings.seed + k, settings.steps, settings.guidance),
                parts,
                group,
                i,
            )
            for k in range(size.of(2))
            for i, (words, parts) in enumerate(asked[: size.of(len(asked))])
        ]
    return rows


def _negative(size: Size, settings: Settings) -> list[Row]:
    """Dogs, where any runner may come, and where a dog or a cat was asked for."""
    rows = []
    for group, count, opening in (
        ("anybody", size.of(80), "running"),
        ("a dog or a cat", size.of(24), "a dog or a cat running"),
    ):
        for i in range(count):
            place = PLACES[i % len(PLACES)]
            where = place.words[i // len(PLACES) % len(place.words)]
            for negative in ("", "dog"):
                request = Request(
                    f"{opening} {where}",
                    settings.seed + 5000 + i,
                    settings.steps,
                    settings.guidance,
                    negative,
                )
                rows.append(Row("negative", request, Asked(("dog",)), group, i))
    return rows


def _strange_pictures(count: int, settings: Settings) -> list[Row]:
    """As a visitor would: a picture and a few words or none; nothing that changes its size."""
    words = ("standing still", "", "moving left", "moving up", "a beautiful scene", "bouncing")
    return [
        Row(
            "strange pictures",
            Request(
                words[i % len(words)],
                settings.seed + i,
                settings.steps,
                settings.guidance,
                picture=f"stranger:{kind}:{i}",
            ),
            group=kind,
            number=i,
        )
        for kind in KINDS
        for i in range(count)
    ]
