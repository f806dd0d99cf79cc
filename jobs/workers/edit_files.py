"""Writes the files of an edit: the clip, its poster, its last frame, and copies without the marks
where there is one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from jobs.workers.frame_checks import check_result_at
from jobs.workers.marking import adjustments_of, mark_of
from media import unmarked
from media.edited_stills import read_frames
from media.invisible_watermark import has_room
from media.operations.chain import Chain
from media.operations.edit_request import EditRequest
from media.operations.hide_watermark import HideWatermark
from media.operations.outputs import OutputFile
from media.operations.processes import ProcessLimits
from media.operations.run_chain import EditedClip, Hooks, run_chain
from media.stills import write_last_frame, write_poster
from pipelines.request import Adjustment
from settings import Settings

CLIP = "clip"


@dataclass(frozen=True)
class WrittenEdit:
    clip: EditedClip
    unmarked: EditedClip | None = None
    """The same without the marks, where there is one."""
    adjustments: tuple[Adjustment, ...] = ()


def write_edit(
    chain: Chain,
    edit: EditRequest,
    folder: Path,
    settings: Settings,
    hooks: Hooks,
    comment: str,
) -> WrittenEdit:
    """Raises KinoraError, and Cancelled if the job was discarded; then no file is left."""
    output = edit.output_file(comment)
    target = folder / f"{CLIP}{output.kind.suffix}"
    on_progress = hooks.on_progress
    limits = ProcessLimits(max_bytes=settings.max_video_file_size_bytes)
    info = chain.info
    changes = tuple(adjustments_of(settings, info.width, info.height))
    mark, marked_chain = mark_of(settings), chain
    if settings.watermark and has_room(info.width, info.height):
        marked_chain = chain.with_frames_changed(HideWatermark(text=settings.watermark))
    if mark is None and marked_chain is chain:
        return WrittenEdit(run_chain(chain, target, output, hooks, limits), None, changes)
    first = replace(hooks, on_progress=lambda done, total: on_progress(done, 2 * total))
    second = replace(hooks, on_progress=lambda done, total: on_progress(total + done, 2 * total))
    plain = run_chain(chain, folder / unmarked.CLIP, OutputFile("mp4", "high"), first, limits)
    marked = run_chain(marked_chain, target, replace(output, mark=mark), second, limits)
    return WrittenEdit(marked, plain, changes)


def write_stills(made: WrittenEdit, folder: Path, settings: Settings) -> None:
    """Checks the frames by the content policy, and writes the poster and the last frame. Raises
    KinoraError(CONTENT_POLICY | DECODE)."""
    clip = made.clip
    last = clip.info.num_frames - 1
    check_result_at(
        clip.info.num_frames, lambda numbers: read_frames(clip.path, clip.info, numbers), settings
    )
    frames = read_frames(clip.path, clip.info, [last // 2, last])
    is_generated = clip.is_generated
    write_poster(frames[:1], folder / "poster.jpg", is_generated=is_generated)
    write_last_frame(frames[1:], folder / "last.png", is_generated=is_generated)
    if plain := made.unmarked:
        number = plain.info.num_frames - 1
        last_frame = read_frames(plain.path, plain.info, [number])
        write_last_frame(last_frame, folder / unmarked.FRAME, is_generated=is_generated)
