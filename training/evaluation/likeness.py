"""Is its subject drawn, or only hinted at? How like the world's own drawing of it a clip is.

A judge that tells 24 subjects from each other knows a smear by its colours. Here the drawing itself
is looked for: masked, normalised correlation of the sprite, at every size and either way round,
with a frame, where it fits best. 1 is the drawing on any ground. Nothing of this is learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import cv2
import numpy as np

from training import current_world
from training.current_world import FRAMES, SIDE, SUBJECTS
from training.evaluation.confidence import mean
from training.evaluation.judged_clips import Evidence, Findings, Seen, Table, rendered
from training.storybook.likeness import likeness as storybook_likeness
from training.world.subjects import Subject, sprite

SIDES = tuple(round(side) for side in np.geomspace(26, 94, 12))
"""Of the sprite in pixels, from far to near."""
LOOKED_AT = (FRAMES // 2, FRAMES * 7 // 8)
"""Frames of a clip."""
NARROWED = "spin"
"""The motion that shows the drawing from its edge: no clip of it is measured."""
BLURS = (SIDE // 64, SIDE // 32)
"""Standard deviations in pixels of what soft clips are compared with."""
SOLID = 0.5
"""Least opacity of the drawing where it is compared."""


def _drawings(subject: Subject) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(colours 0..255, mask), both [side, side, 3] float32."""
    whole = sprite(subject.emoji)
    if whole is None:
        raise ValueError(f"the font draws nothing for {subject.name}")
    for side in SIDES:
        small = cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)
        for drawn in (small, small[:, ::-1]) if subject.profile else (small,):
            opacity = drawn[..., 3:]
            colours = (255 * drawn[..., :3] / np.maximum(opacity, 1e-3)).clip(0, 255)
            mask = (opacity > SOLID).repeat(3, 2).astype(np.float32)
            yield np.ascontiguousarray(colours), np.ascontiguousarray(mask)


def likeness(frame: np.ndarray, subject: Subject) -> float:
    """Of [SIDE, SIDE, 3] uint8; -1 to 1."""
    if current_world.STORYBOOK:
        return storybook_likeness(frame, cast(Any, subject))  # typed as the other world's
    pixels, best = frame.astype(np.float32), -1.0
    for colours, mask in _drawings(subject):
        fits = cv2.matchTemplate(pixels, colours, cv2.TM_CCOEFF_NORMED, mask=mask)
        # a flat patch divides by nothing
        sound = fits[np.isfinite(fits) & (np.abs(fits) <= 1.001)]
        best = max(best, float(sound.max(initial=-1.0)))
    return best


def clip_likeness(clip: np.ndarray, subject: Subject) -> float:
    """Mean over some frames of [F, SIDE, SIDE, 3] uint8."""
    return float(np.mean([likeness(clip[i], subject) for i in LOOKED_AT]))


def _measurable(seen: list[Seen]) -> list[Seen]:
    return [s for s in seen if s.whole.shape[1] == SIDE and s.row.asked.motion != (NARROWED,)]


def _subject(seen: Seen) -> Subject:
    return next(subject for subject in SUBJECTS if seen.row.asked.subject == (subject.name,))


def _blurred(clip: np.ndarray, pixels: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), pixels) for frame in clip])


def drawn(evidence: Evidence) -> Findings:
    """Of the clips that were kept in full size: this model's, renderings of the same sentences,
    and renderings through the autoencoder."""
    found = Findings()
    samples, recoded = (_measurable(evidence.of(s)) for s in ("samples", "autoencoder"))
    if not samples:
        return found
    real = [(rendered(seen, 1)[0], _subject(seen)) for seen in samples]
    kinds = {
        "this model": [clip_likeness(seen.whole, _subject(seen)) for seen in samples],
        "the autoencoder": [clip_likeness(seen.whole, _subject(seen)) for seen in recoded],
        "renderings": [clip_likeness(clip, subject) for clip, subject in real],
    }
    for pixels in BLURS:
        kinds[f"renderings blurred by {pixels} pixels"] = [
            clip_likeness(_blurred(clip, pixels), subject) for clip, subject in real
        ]
    rows = []
    for name, values in kinds.items():
        found.figures["likeness_" + name.removeprefix("the ").replace(" ", "_")] = mean(values)
        least = f"{min(values):.2f}" if values else "-"
        rows.append((name, mean(values).text(2), least, str(len(values))))
    heads = ("", "likeness", "the least", "clips")
    note = (
        "correlation of the subject's drawing with the frame where it fits best: 1 is the drawing "
        "itself, 0.4 another subject's; nothing that spins"
    )
    found.tables.append(Table("Is the subject drawn, or only hinted at?", heads, rows, note))
    found.card.append(found.tables[-1])
    return found
