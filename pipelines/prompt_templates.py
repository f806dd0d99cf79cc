"""Completes a short prompt from templates: action, place, camera, light. Without any model.

The same prompt gets the same suggestions, and its words stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from pipelines.field_types import MAX_PROMPT
from pipelines.styles import SENTENCE_ENDS, apply_template, has_phrase
from settings import ROOT

PRESETS = ROOT / "presets" / "prompt_parts.yaml"
SHORT = 25
"""Words. A longer prompt says what it wants."""
SUGGESTIONS = 4
PARTS = ("action", "place", "camera", "light")
Knows = Mapping[str, Sequence[str]]


class PromptPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    signs: tuple[str, ...]
    choices: tuple[str, ...]


class PromptParts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    subject: PromptPart
    action: PromptPart
    place: PromptPart
    camera: PromptPart
    light: PromptPart
    known_motions: Mapping[str, str]
    known_places: Mapping[str, str]


class Suggestions(BaseModel):
    """Whole prompts, and the parts that the prompt lacks, each with choices to add."""

    model_config = ConfigDict(frozen=True)
    suggestions: tuple[str, ...]
    missing: Mapping[str, tuple[str, ...]]


@lru_cache(maxsize=2)
def load_parts(path: Path = PRESETS) -> PromptParts:
    return PromptParts.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def suggest(
    prompt: str, knows: Knows | None = None, parts: PromptParts | None = None
) -> Suggestions:
    """None for a prompt that is long or complete. `knows` is the vocabulary of a model that knows
    no other words, as a card lists it."""
    parts = parts or load_parts()
    if len(prompt.split()) > SHORT:
        return Suggestions(suggestions=(), missing={})
    missing = {
        name: part.choices
        for name, part in _parts_for(knows or {}, parts).items()
        if not any(has_phrase(prompt, sign) for sign in part.signs)
    }
    if prompt.strip():
        missing.pop("subject", None)
    start = int.from_bytes(hashlib.sha256(prompt.strip().casefold().encode()).digest()[:4], "big")
    made = (_completed(prompt, missing, start + n) for n in range(SUGGESTIONS))
    found = [each for each in dict.fromkeys(made) if each != prompt and len(each) <= MAX_PROMPT]
    return Suggestions(suggestions=tuple(found), missing=missing)


def _completed(prompt: str, missing: Mapping[str, Sequence[str]], number: int) -> str:
    """Numbers near each other give different choices of every part."""
    chosen = {
        name: choices[(number + 2 * place) % len(choices)]
        for place, (name, choices) in enumerate(missing.items())
    }
    words = prompt if prompt.strip() else chosen.pop("subject", "")
    inside = [chosen.pop(name) for name in ("action", "place") if name in chosen]
    core = words.rstrip().rstrip(",;").rstrip()
    if core.endswith(SENTENCE_ENDS):
        chosen = {"first": " ".join(inside), **chosen} if inside else chosen
    elif inside:  # they continue the phrase
        words = f"{core}{', ' if ',' in core else ' '}{' '.join(inside)}"
    return apply_template(f"{{prompt}}, {', '.join(chosen.values())}", words)


def _parts_for(knows: Knows, parts: PromptParts) -> dict[str, PromptPart]:
    """In the order in which they are written."""
    if not knows:
        return {"subject": parts.subject, **{name: getattr(parts, name) for name in PARTS}}
    subjects, motions, places = (
        tuple(knows.get(name, ())) for name in ("subjects", "motions", "places")
    )
    found = {
        "subject": PromptPart(signs=(), choices=tuple(map(_with_article, subjects))),
        "action": PromptPart(
            signs=motions, choices=tuple(parts.known_motions.get(each, each) for each in motions)
        ),
        "place": PromptPart(
            signs=places,
            choices=tuple(parts.known_places.get(each, f"in the {each}") for each in places),
        ),
    }
    return {name: part for name, part in found.items() if part.choices}


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
