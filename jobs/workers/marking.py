"""The visible mark and the watermark of this server, as a worker draws them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from jobs.job import MARK, WATERMARK
from media import unmarked
from media.encode import EncodedClip, encode, encode_stream
from media.frame_marks import FrameMark, MarksInOrder
from media.invisible_watermark import InvisibleWatermark, has_room
from media.stills import write_last_frame, write_poster
from media.visible_mark import VisibleMark
from pipelines.request import Adjustment

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from media.prefix import LeadIn
    from pipelines.request import FittedRequest
    from pipelines.sound import Sound
    from settings import Settings


class Frames(Protocol):
    """Frames, uint8 [H, W, 3], that can be read several times."""

    count: int
    height: int
    width: int

    def __iter__(self) -> Iterator[np.ndarray]: ...


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


def marks_for(settings: Settings, width: int, height: int) -> FrameMark | None:
    """All that is drawn on a clip of this size."""
    marks: list[FrameMark] = []
    if visible := mark_of(settings):
        marks.append(visible)
    if settings.watermark and has_room(width, height):
        marks.append(InvisibleWatermark(settings.watermark))
    return MarksInOrder(tuple(marks)) if marks else None


def adjustments_of(settings: Settings, width: int, height: int) -> list[Adjustment]:
    """What a clip of this size says of its marks."""
    found = [adjustment_of(settings)] if settings.draws_mark else []
    if settings.watermark:
        fits = has_room(width, height)
        found.append(
            Adjustment(
                field=WATERMARK,
                asked="no watermark",
                used="hidden" if fits else "none",
                sentence="This server has hidden a watermark in the frames."
                if fits
                else "The clip has no hidden watermark: it is too small for one.",
            )
        )
    return found


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
    """Writes the clip, its poster and its last frame, all with the marks if there are any, and then
    copies without it to continue from. `frames`: uint8 [F, H, W, 3]. Raises as `encode`."""
    mark = marks_for(settings, frames.shape[2], frames.shape[1])
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
    _write_stills(mark, poster, last, folder)
    if mark is not None and fitted.format != "gif":  # which cannot be continued
        encode(
            frames, folder / unmarked.CLIP, fps=fitted.fps, quality="high", sound=sound, lead=lead
        )
    return clip


def write_long_files(
    frames: Frames,
    folder: Path,
    fitted: FittedRequest,
    settings: Settings,
    *,
    comment: str,
    sound: Sound | None,
    lead: LeadIn | None,
) -> EncodedClip:
    """As `write_files`, for frames that are read one at a time: all of them are never in memory."""
    mark, count = marks_for(settings, frames.width, frames.height), frames.count
    if lead is not None:
        count, sound = lead.count + count, lead.prepend_sound(sound, fitted.fps)

    def stream(kept: dict[int, np.ndarray] | None = None) -> Iterator[np.ndarray]:
        if lead is not None:
            yield from lead.frames()
        for index, frame in enumerate(frames):
            if kept is not None and index in (frames.count // 2, frames.count - 1):
                kept[index] = frame
            yield frame

    kept: dict[int, np.ndarray] = {}
    shape, plain = (count, frames.height, frames.width), stream(kept)
    clip = encode_stream(
        plain if mark is None else mark.draw_on_each(plain),
        shape,
        folder / f"clip.{fitted.format}",
        fps=fitted.fps,
        format=fitted.format,
        quality=fitted.quality,
        comment=comment,
        max_bytes=settings.max_video_file_size_bytes,
        sound=sound,
    )
    poster, last = kept[frames.count // 2][None], kept[frames.count - 1][None]
    _write_stills(mark, poster, last, folder)
    if mark is not None and fitted.format != "gif":
        encode_stream(
            stream(), shape, folder / unmarked.CLIP, fps=fitted.fps, quality="high", sound=sound
        )
    return clip


def _write_stills(
    mark: FrameMark | None, poster: np.ndarray, last: np.ndarray, folder: Path
) -> None:
    """`poster` and `last`: one frame each, uint8 [1, H, W, 3]."""
    if mark is not None:
        write_last_frame(last, folder / unmarked.FRAME)
        poster, last = mark.draw_on(poster), mark.draw_on(last)
    write_poster(poster, folder / "poster.jpg")
    write_last_frame(last, folder / "last.png")
