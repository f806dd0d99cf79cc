"""How what is made joins on to the clip it goes on from: at which size, and where it begins.

Knows a card's rules and the earlier clip's figures. Does not know frames, files or sound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.cards import ModelCard
from pipelines.lengths import GivenClip
from pipelines.request import Adjustment, GenerationRequest


@dataclass(frozen=True)
class Join:
    """`lead_frames` come first, at the new pace; `overlap` sampled frames repeat their end."""

    lead_frames: int = 0
    overlap: int = 0


def size_of(
    request: GenerationRequest, card: ModelCard, before: GivenClip, changes: list[Adjustment]
) -> tuple[int, int]:
    """The earlier clip's size, or the nearest the model makes: a file has one size."""
    rule, m = card.rules.size, card.limits
    wanted_width, wanted_height = request.width or before.width, request.height or before.height
    scale = min(1.0, m.max_width / wanted_width, m.max_height / wanted_height)
    if m.max_pixels is not None:
        scale = min(scale, math.sqrt(m.max_pixels / (wanted_width * wanted_height)))
    width = rule.nearest(wanted_width * scale, m.min_width, m.max_width)
    height = rule.nearest(wanted_height * scale, m.min_height, m.max_height)
    if m.max_pixels is not None and width * height > m.max_pixels:
        if width >= height:
            width -= rule.of
        else:
            height -= rule.of
    if (width, height) != (before.width, before.height):
        changes.append(
            Adjustment(
                field="width",
                asked=f"{before.width}x{before.height}",
                used=f"{width}x{height}",
                sentence=f"The whole clip is {width}x{height} instead of "
                f"{before.width}x{before.height}: {card.name} makes what is added.",
            )
        )
    for field, asked, used in (("width", request.width, width), ("height", request.height, height)):
        if asked is not None and asked != used:
            sentence = f"The {field} is {used} instead of {asked}: {card.name} makes what is added."
            changes.append(Adjustment(field=field, asked=asked, used=used, sentence=sentence))
    return width, height


def join_of(request: GenerationRequest, card: ModelCard, before: GivenClip, fps: int) -> Join:
    lead_frames = max(1, math.floor(before.seconds * fps + 0.5))
    several = card.rules.frames.of + card.rules.frames.plus
    keeps_motion = card.rules.lead and request.image is None and lead_frames >= several
    room = request.num_frames is None or request.num_frames > several
    return Join(lead_frames, several if keeps_motion and room else 1)
