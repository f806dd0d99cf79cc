"""Freeze: hold one frame for a while."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import Field

from media.operations.exact_length import concat, exact_frames, exact_sound
from media.operations.filter_graph import FilterGraph, Label
from media.operations.operation import (
    ClipOperation,
    Context,
    Number,
    StreamInfo,
    Streams,
    refuse,
    samples_at,
    seconds,
)
from media.operations.trim import shown_frame


class Freeze(ClipOperation):
    """Holds one frame for a while. The sound is silent meanwhile and continues with the motion."""

    title: ClassVar[str] = "Freeze a frame"
    by_position: ClassVar[tuple[str, ...]] = ("at_s", "hold_s")

    op: Literal["freeze"] = "freeze"
    at_s: Number | None = Field(
        default=None, ge=0, description="When, in seconds; by default at the clip's end."
    )
    hold_s: Number = Field(
        default=1.0, gt=0, le=60, description="How much longer the frame is shown, in seconds."
    )

    def output(self, source: StreamInfo) -> StreamInfo:
        self._frame(source)
        return replace(source, num_frames=source.num_frames + self._repeats(source))

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        made, frame = self.output(source), self._frame(source)
        video = self._held(graph, streams.video, source)
        video = graph.video(exact_frames(made), video)
        if streams.sound is None:
            return Streams(video)
        at = samples_at((frame + 1) / source.fps)
        resumed = samples_at((frame + 1 + self._repeats(source)) / source.fps)
        if frame + 1 == source.num_frames:
            return Streams(video, graph.sound(exact_sound(made), streams.sound))
        before, after = graph.split(streams.sound)
        held = graph.sound(
            f"atrim=end_sample={at},apad=whole_len={resumed},asetpts=N/SR/TB", before
        )
        rest = graph.sound(f"atrim=start_sample={at},asetpts=PTS-STARTPTS", after)
        return Streams(video, graph.sound(exact_sound(made), concat(graph, held, rest)))

    def _held(self, graph: FilterGraph, video: Label, source: StreamInfo) -> Label:
        frame, hold = self._frame(source), f"tpad=stop={self._repeats(source)}:stop_mode=clone"
        if frame + 1 == source.num_frames:
            return graph.video(hold, video)
        before, after = graph.split(video)
        return concat(
            graph,
            graph.video(f"trim=end_frame={frame + 1},{hold}", before),
            graph.video(f"trim=start_frame={frame + 1},setpts=PTS-STARTPTS", after),
        )

    def _frame(self, source: StreamInfo) -> int:
        """The frame that is shown at that time."""
        if self.at_s is None:
            return source.num_frames - 1
        frame = shown_frame(self.at_s, source)
        if frame >= source.num_frames:
            raise refuse(
                f"The clip lasts {seconds(source.duration_s)}, so it has no frame at "
                f"{seconds(self.at_s)}. Choose an earlier time."
            )
        return frame

    def _repeats(self, source: StreamInfo) -> int:
        return max(1, int(Fraction(self.hold_s) * source.fps + Fraction(1, 2)))
