"""Fits a continuation to the clip it continues: size, frame rate and overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.models.cards import ModelCard
from pipelines.models.duration import SourceClip
from pipelines.request import Adjustment, GenerationRequest

STEREO = 2


@dataclass(frozen=True)
class Join:
    """`lead_frames` of the earlier clip come first, at the new frame rate; the first `overlap` of
    the sampled frames repeat their end and are left out."""

    lead_frames: int = 0
    overlap: int = 0


def fit_size(
    request: GenerationRequest, card: ModelCard, before: SourceClip, changes: list[Adjustment]
) -> tuple[int, int]:
    """The earlier clip's (width, height), or the nearest that the model makes: a file has one
    size."""
    rule, m = card.rules.size, card.limits
    wanted_width, wanted_height = request.width or before.width, request.height or before.height
    scale = min(1.0, m.max_width / wanted_width, m.max_height / wanted_height)
    if m.max_pixels is not None:
        scale = min(scale, math.sqrt(m.max_pixels / (wanted_width * wanted_height)))
    width = rule.nearest(wanted_width * scale, m.min_width, m.max_width)
    height = rule.nearest(wanted_height * scale, m.min_height, m.max_height)
    if m.max_pixels is not None and width * height > m.max_pixels:
        # rounding up may pass the limit by one step of the longer side
        if width >= height:
            width -= rule.of
        else:
            height -= rule.of
    was = before.sent_size or (before.width, before.height)
    if (width, height) != was:
        changes.append(
            Adjustment(
                field="width",
                asked=f"{was[0]}x{was[1]}",
                used=f"{width}x{height}",
                sentence=f"The whole clip is {width}x{height} instead of "
                f"{was[0]}x{was[1]}: {card.name} makes what is added.",
            )
        )
    for field, requested, used in (
        ("width", request.width, width),
        ("height", request.height, height),
    ):
        if requested is not None and requested != used:
            sentence = (
                f"The {field} is {used} instead of {requested}: {card.name} makes what is added."
            )
            changes.append(Adjustment(field=field, asked=requested, used=used, sentence=sentence))
    return width, height


def note_fps_change(
    card: ModelCard, before: SourceClip, fps: int, changes: list[Adjustment]
) -> None:
    """Adds an adjustment where the frame rate is not the earlier clip's: a file has one frame
    rate."""
    was = before.sent_fps or before.fps
    if not was or abs(was - fps) < 0.005:  # 23.976 against 24 is a difference, 29.999 none
        return
    m = card.limits
    shown = _format_fps(was)
    sentence = f"The whole clip runs at {fps} frames per second instead of {shown}."
    if m.fps_choices:
        rates = ", ".join(str(choice) for choice in m.fps_choices)
        sentence = (
            f"The whole clip runs at {fps} frames per second instead of {shown}: "
            f"{card.name} offers {rates}."
        )
    elif round(was) > m.max_fps:
        sentence = (
            f"The whole clip runs at {fps} frames per second instead of {shown}: "
            f"{card.name} makes at most {m.max_fps}."
        )
    elif round(was) < m.min_fps:
        sentence = (
            f"The whole clip runs at {fps} frames per second instead of {shown}: "
            f"{card.name} makes at least {m.min_fps}."
        )
    changes.append(
        Adjustment(
            field="fps",
            asked=round(was, 3),
            used=fps,
            sentence=f"{sentence} Motion and sound keep their speed.",
        )
    )


def note_conversions(field: str, clip: SourceClip, format: str, changes: list[Adjustment]) -> None:
    """Adds an adjustment for each property of a source clip that is not carried over unchanged."""

    def note(requested: str, used: str, sentence: str) -> None:
        changes.append(Adjustment(field=field, asked=requested, used=used, sentence=sentence))

    if clip.sent_hdr:
        note(clip.sent_hdr, "SDR", f"The source clip is HDR ({clip.sent_hdr}); its colours are "
             "converted to SDR.")  # fmt: skip
    if clip.lost_sound:
        note(clip.lost_sound, "silence", "The sound of the source clip is left out: it is coded as "
             f"{clip.lost_sound}, which cannot be read here.")  # fmt: skip
    elif clip.sent_channels and format == "gif":
        note("sound", "silence", "A GIF has no sound; that of the source clip is left out.")
    elif clip.sent_channels > STEREO:
        note(f"{clip.sent_channels} channels", "stereo", "The sound of the source clip has "
             f"{clip.sent_channels} channels; they are mixed down to stereo.")  # fmt: skip


def _format_fps(fps: float) -> str:
    return f"{fps:.2f}".rstrip("0").rstrip(".")


def plan_join(request: GenerationRequest, card: ModelCard, before: SourceClip, fps: int) -> Join:
    """How many frames come first, and how many of them the model starts from: several where it
    keeps motion and the clip is long enough, else the last one."""
    lead_frames = max(1, math.floor(before.seconds * fps + 0.5))
    several = card.rules.frames.of + card.rules.frames.plus
    keeps_motion = card.rules.lead and request.image is None and lead_frames >= several
    room = request.num_frames is None or request.num_frames > several
    return Join(lead_frames, several if keeps_motion and room else 1)
