"""How well a clip's subject matches the world's drawing of it.

A classifier recognises even a blurred subject by its colours, so the sprite itself is matched:
masked, normalised cross-correlation with a frame, at every size and mirrored, at the best position.
1 is a perfect match. No model is involved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import cv2
import numpy as np

from training import current_world
from training.current_world import FRAMES, SIDE, SUBJECTS
from training.evaluation.confidence import mean
from training.evaluation.judged_clips import (
    Findings,
    JudgedClip,
    JudgedClips,
    Table,
    render_expected,
)
from training.storybook.drawing_match import likeness as storybook_likeness
from training.world.subjects import Subject, sprite

SIDES = tuple(round(side) for side in np.geomspace(26, 94, 12))
"""Sprite sizes in pixels, from far to near."""
MEASURED_FRAMES = (FRAMES // 2, FRAMES * 7 // 8)
"""The frames of a clip that are measured."""
EDGE_ON_MOTION = "spin"
"""Not measured: this motion shows the drawing edge-on."""
BLURS = (SIDE // 64, SIDE // 32)
"""Standard deviations, in pixels, of blurred renderings for comparison."""
SOLID = 0.5
"""Minimum opacity of the pixels that are compared."""


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
    """Best correlation, -1 to 1. frame: [SIDE, SIDE, 3] uint8."""
    if current_world.STORYBOOK:
        return storybook_likeness(frame, cast(Any, subject))  # typed as the other world's
    pixels, best = frame.astype(np.float32), -1.0
    for colours, mask in _drawings(subject):
        fits = cv2.matchTemplate(pixels, colours, cv2.TM_CCOEFF_NORMED, mask=mask)
        # flat patches divide by zero
        sound = fits[np.isfinite(fits) & (np.abs(fits) <= 1.001)]
        best = max(best, float(sound.max(initial=-1.0)))
    return best


def clip_likeness(clip: np.ndarray, subject: Subject) -> float:
    """Mean over the measured frames. clip: [F, SIDE, SIDE, 3] uint8."""
    return float(np.mean([likeness(clip[i], subject) for i in MEASURED_FRAMES]))


def _measurable(seen: list[JudgedClip]) -> list[JudgedClip]:
    return [
        s
        for s in seen
        if s.stored_clip.shape[1] == SIDE and s.row.expected.motion != (EDGE_ON_MOTION,)
    ]


def _subject(seen: JudgedClip) -> Subject:
    return next(subject for subject in SUBJECTS if seen.row.expected.subject == (subject.name,))


def _blurred(clip: np.ndarray, pixels: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), pixels) for frame in clip])


def evaluate_likeness(clips: JudgedClips) -> Findings:
    """Compares full-size clips, renderings of the same prompts, and reconstructions."""
    findings = Findings()
    samples, recoded = (_measurable(clips.of(s)) for s in ("samples", "autoencoder"))
    if not samples:
        return findings
    real = [(render_expected(seen, 1)[0], _subject(seen)) for seen in samples]
    kinds = {
        "this model": [clip_likeness(seen.stored_clip, _subject(seen)) for seen in samples],
        "the autoencoder": [clip_likeness(seen.stored_clip, _subject(seen)) for seen in recoded],
        "renderings": [clip_likeness(clip, subject) for clip, subject in real],
    }
    for pixels in BLURS:
        kinds[f"renderings blurred by {pixels} pixels"] = [
            clip_likeness(_blurred(clip, pixels), subject) for clip, subject in real
        ]
    rows = []
    for name, values in kinds.items():
        findings.figures["likeness_" + name.removeprefix("the ").replace(" ", "_")] = mean(values)
        least = f"{min(values):.2f}" if values else "-"
        rows.append((name, mean(values).text(2), least, str(len(values))))
    heads = ("", "likeness", "minimum", "clips")
    note = (
        "correlation of the subject's drawing with the frame where it fits best: 1 is the drawing "
        "itself, 0.4 another subject's; nothing that spins"
    )
    findings.tables.append(Table("Likeness of the subject to its drawing", heads, rows, note))
    findings.card.append(findings.tables[-1])
    return findings
