"""Title: a card before or after a clip, or a title over its beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from media.ffmpeg import BT709, SOUND_RATE_HZ
from media.operations.ass_script import (
    MARGIN,
    TextEvent,
    TextStyle,
    describe_unknown,
    draw_texts,
    shrink_to_fit,
)
from media.operations.filter_graph import FilterGraph, Label
from media.operations.operation import (
    ClipOperation,
    Context,
    Number,
    StreamInfo,
    Streams,
    refuse,
    samples_at,
)
from media.operations.subtitle_files import plain_lines

Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
Size = Literal["small", "medium", "large"]
SIZES: dict[Size, float] = {"small": 0.05, "medium": 0.07, "large": 0.1}
"""The em, as a part of the shorter side."""
FIRST_LINE = 1.5
MIN_PIXELS = 9
MAX_HEIGHT = 0.8
MAX_LINES = 12


class Title(ClipOperation):
    """Puts a card with a text before the clip or after it, or the text over its beginning. The
    first of several lines is larger."""

    title: ClassVar[str] = "Title"
    by_position: ClassVar[tuple[str, ...]] = ("text", "place", "duration_s")

    op: Literal["title"] = "title"
    text: str = Field(min_length=1, max_length=500, description="What is written, in any script.")
    place: Literal["start", "end", "over"] = Field(
        default="start",
        description="A card before the clip (start) or after it (end), or over its beginning.",
    )
    duration_s: Number = Field(default=3.0, ge=0.1, le=60, description="How long it is shown.")
    size: Size = Field(default="medium", description="Of the letters.")
    colour: Colour = Field(default="#ffffff", description="Of the letters, as #rrggbb.")
    background: Colour = Field(default="#000000", description="Of the card, as #rrggbb.")
    fade_s: Number = Field(
        default=0.4, ge=0, le=5, description="How long the letters take to appear, and to go."
    )

    def notes(self, sources: Sequence[StreamInfo]) -> tuple[str, ...]:
        return describe_unknown(self._lines)

    def output(self, source: StreamInfo) -> StreamInfo:
        if not self._lines:
            raise refuse("The title has no letters. Write a text.")
        if self._lines.count("\n") >= MAX_LINES:
            raise refuse(f"The title has more than {MAX_LINES} lines. Shorten it.")
        if self.place == "over":
            return source
        return replace(source, num_frames=source.num_frames + self._frames(source))

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        shown = self._frames(source)
        if self.place == "over":
            shown = min(shown, source.num_frames)
        drawing = self._drawing(graph, source, shown, context.file_name("title.ass"))
        if self.place == "over":
            return Streams(graph.video(drawing, streams.video), streams.sound)
        card = self._card(graph, source, shown, drawing)
        parts = [card, streams.video] if self.place == "start" else [streams.video, card]
        # setpts, because concat adds up durations in a time base of its own
        joined = f"concat=n=2:v=1:a=0,settb={1 / source.fps},setpts=N"
        plain = [graph.video("format=yuv420p,setsar=1", each) for each in parts]
        video = graph.video(joined, *plain)
        if streams.sound is None:
            return Streams(video)
        return Streams(video, graph.sound(self._silence_around(source, shown), streams.sound))

    @property
    def _lines(self) -> str:
        return plain_lines(self.text)

    def _frames(self, source: StreamInfo) -> int:
        return max(1, int(Fraction(self.duration_s) * source.fps + Fraction(1, 2)))

    def _drawing(self, graph: FilterGraph, source: StreamInfo, shown: int, file_name: str) -> str:
        size = max(MIN_PIXELS, SIZES[self.size] * min(source.width, source.height))
        first_line = FIRST_LINE if "\n" in self._lines else 1.0
        style = TextStyle(
            size, self.colour, alignment=5, outline=self.place == "over", first_line=first_line
        )
        width, height = source.width * (1 - 2 * MARGIN), source.height * MAX_HEIGHT
        style = shrink_to_fit(self._lines, style, width, height)
        duration_s = shown / source.fps
        fade_s = min(self.fade_s, float(duration_s) / 2)
        event = TextEvent(Fraction(0), duration_s, self._lines, style, fade_s)
        return draw_texts(graph, file_name, source, [event])

    def _card(self, graph: FilterGraph, source: StreamInfo, shown: int, drawing: str) -> Label:
        colour, size = self.background[1:], f"{source.width}x{source.height}"
        return graph.video(
            f"color=c=0x{colour}:s={size}:r={source.fps},format=gbrp,trim=end_frame={shown},"
            f"{BT709},{drawing}"
        )

    def _silence_around(self, source: StreamInfo, shown: int) -> str:
        whole = self.output(source).num_samples
        silence = samples_at(shown / source.fps)
        delay = f"adelay=delays={silence}S:all=1," if self.place == "start" else ""
        return (
            f"aresample={SOUND_RATE_HZ},{delay}apad=whole_len={whole},atrim=end_sample={whole},"
            "asetpts=N/SR/TB"
        )
