"""The visible mark of this server, as a worker draws it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobs.job import MARK
from media import unmarked
from media.encode import EncodedClip, encode
from media.stills import write_last_frame, write_poster
from media.visible_mark import VisibleMark
from pipelines.request import Adjustment

if TYPE_CHECKING:
    import numpy as np

    from media.prefix import LeadIn
    from pipelines.request import FittedRequest
    from pipelines.sound import Sound
    from settings import Settings


def mark_of(settings: Settings) -> VisibleMark | None:
    if not settings.draws_mark:
        return None
    return VisibleMark(
        text=settings.mark_text or "",
        picture=settings.mark_picture,
        corner=settings.mark_corner,
        size=settings.mark_size / 100,
        opacity=settings.mark_opacity,
    )


def adjustment_of(settings: Settings) -> Adjustment:
    """What a clip with the mark says of it."""
    corner = settings.mark_corner.replace("-", " ")
    sentence = f"This server has put the mark “{settings.mark_text}” on the clip, at the {corner}."
    if settings.mark_picture:
        sentence = f"This server has put a visible mark on the clip, at the {corner}."
    return Adjustment(
        field=MARK,
        asked="no mark",
        used=settings.mark_corner,
        sentence=sentence,
    )


def write_files(
    frames: np.ndarray,
    folder: Path,
    fitted: FittedRequest,
    settings: Settings,
    *,
    comment: str,
    sound: Sound | None,
    lead: LeadIn | None,
) -> EncodedClip:
    """Writes the clip, its poster and its last frame, all with the mark if there is one, and then
    copies without it to continue from. `frames`: uint8 [F, H, W, 3]. Raises as `encode`."""
    mark = mark_of(settings)
    clip = encode(
        frames,
        folder / f"clip.{fitted.format}",
        fps=fitted.fps,
        format=fitted.format,
        quality=fitted.quality,
        comment=comment,
        max_bytes=settings.max_video_file_size_bytes,
        sound=sound,
        lead=lead,
        mark=mark,
    )
    poster, last = frames[[len(frames) // 2]], frames[-1:]
    if mark is None:
        write_poster(poster, folder / "poster.jpg")
        write_last_frame(last, folder / "last.png")
        return clip
    write_poster(mark.draw_on(poster), folder / "poster.jpg")
    write_last_frame(mark.draw_on(last), folder / "last.png")
    write_last_frame(last, folder / unmarked.FRAME)
    if fitted.format != "gif":  # which cannot be continued
        encode(
            frames, folder / unmarked.CLIP, fps=fitted.fps, quality="high", sound=sound, lead=lead
        )
    return clip
