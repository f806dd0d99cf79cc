"""Loop: a clip that can be repeated without a visible jump, or that repeats itself."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import Field

from media.operations.crossfades import crossfade
from media.operations.cut import keep_frames
from media.operations.exact_length import concat, exact_frames, exact_sound
from media.operations.filter_graph import FilterGraph
from media.operations.operation import (
    ClipOperation,
    Context,
    Number,
    StreamInfo,
    Streams,
    Whole,
    refuse,
    seconds,
)
from media.operations.reverse import reverse


class Loop(ClipOperation):
    """Makes a loop: forwards and backwards (boomerang), with the end faded into the beginning
    (crossfade), or as it is (repeat)."""

    title: ClassVar[str] = "Loop"
    by_position: ClassVar[tuple[str, ...]] = ("style", "times", "fade_s")

    op: Literal["loop"] = "loop"
    style: Literal["boomerang", "crossfade", "repeat"] = Field(
        default="boomerang", description="How the end meets the beginning."
    )
    times: Whole = Field(default=1, ge=1, le=20, description="How often the file plays the loop.")
    fade_s: Number = Field(
        default=0.5, gt=0, le=10, description="How long a crossfade takes, in seconds."
    )

    def output(self, source: StreamInfo) -> StreamInfo:
        return replace(source, num_frames=self._once(source).num_frames * self.times)

    def buffered_bytes(self, source: StreamInfo) -> int:
        match self.style:
            case "boomerang":
                frames = source.num_frames
            case "crossfade":
                frames = self._fade_frames(source)
            case "repeat":
                frames = 0
        if self.times > 1:
            frames += self._once(source).num_frames
        return frames * source.frame_bytes

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        once, made = self._once(source), self.output(source)
        match self.style:
            case "boomerang" if source.num_frames > 2:
                streams = _boomerang(graph, streams, source)
            case "crossfade":
                streams = _crossfaded(graph, streams, source, self._fade_frames(source))
            case _:
                pass
        video, sound = graph.video(exact_frames(once), streams.video), streams.sound
        if sound is not None:
            sound = graph.sound(exact_sound(once), sound)
        if self.times == 1:
            return Streams(video, sound)
        more = self.times - 1
        repeated = f"format=yuv420p,loop=loop={more}:size={once.num_frames}:start=0"
        video = graph.video(repeated, video)
        video = graph.video(exact_frames(made), video)
        if sound is not None:
            sound = graph.sound(f"aloop=loop={more}:size={once.num_samples}:start=0", sound)
            sound = graph.sound(exact_sound(made), sound)
        return Streams(video, sound)

    def _once(self, source: StreamInfo) -> StreamInfo:
        count = source.num_frames
        match self.style:
            case "boomerang":  # neither end is shown twice
                return replace(source, num_frames=max(count, 2 * count - 2))
            case "crossfade":
                return replace(source, num_frames=count - self._fade_frames(source))
            case "repeat":
                return source

    def _fade_frames(self, source: StreamInfo) -> int:
        frames = max(1, int(Fraction(self.fade_s) * source.fps + Fraction(1, 2)))
        if 2 * frames > source.num_frames:
            raise refuse(
                f"The clip lasts {seconds(source.duration_s)}, too short to fade for "
                f"{seconds(self.fade_s)}. Choose at most half of its length."
            )
        return frames


def _boomerang(graph: FilterGraph, streams: Streams, source: StreamInfo) -> Streams:
    forwards, copy = _copies(graph, streams, 2)
    middle = keep_frames(graph, copy, source, 1, source.num_frames - 1)
    return _concat(graph, forwards, reverse(graph, middle))


def _crossfaded(graph: FilterGraph, streams: Streams, source: StreamInfo, fade: int) -> Streams:
    """From frame `fade` to the end, where the first frames are blended into the last ones."""
    count = source.num_frames
    copies = _copies(graph, streams, 3)
    begin = keep_frames(graph, copies[0], source, 0, fade)
    end = keep_frames(graph, copies[2], source, count - fade, count)
    blended = crossfade(graph, end, begin, source, fade)
    if 2 * fade == count:
        return blended
    return _concat(graph, keep_frames(graph, copies[1], source, fade, count - fade), blended)


def _copies(graph: FilterGraph, streams: Streams, count: int) -> list[Streams]:
    videos = graph.split(streams.video, count)
    if streams.sound is None:
        return [Streams(video) for video in videos]
    sounds = graph.split(streams.sound, count)
    return [Streams(video, sound) for video, sound in zip(videos, sounds, strict=True)]


def _concat(graph: FilterGraph, first: Streams, second: Streams) -> Streams:
    video = concat(graph, first.video, second.video)
    if first.sound is None or second.sound is None:
        return Streams(video)
    return Streams(video, concat(graph, first.sound, second.sound))
