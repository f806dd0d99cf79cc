"""Subtitles: burned into the frames, or as a track that a player can switch on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from media.operations.ass_script import (
    MARGIN,
    TextEvent,
    TextStyle,
    describe_unknown,
    draw_texts,
    shrink_to_fit,
)
from media.operations.filter_graph import FilterGraph
from media.operations.operation import (
    ClipOperation,
    Context,
    FileId,
    NeededFile,
    StreamInfo,
    Streams,
    refuse,
)
from media.operations.subtitle_files import Cue, fit_cues, parse_subtitles, write_webvtt

Size = Literal["small", "medium", "large"]
SIZES: dict[Size, float] = {"small": 0.04, "medium": 0.055, "large": 0.075}
"""The em, as a part of the shorter side."""
MIN_PIXELS = 9
MAX_HEIGHT = 0.4
"""Of the clip: longer texts are drawn smaller."""
MAX_TEXT_LETTERS = 300_000


class Subtitles(ClipOperation):
    """Shows subtitles from a SubRip (.srt) or WebVTT (.vtt) file, in any script."""

    title: ClassVar[str] = "Subtitles"
    by_position: ClassVar[tuple[str, ...]] = ("file", "show", "size")

    op: Literal["subtitles"] = "subtitles"
    text: str = Field(
        default="",
        max_length=MAX_TEXT_LETTERS,
        description="What is in the file, as text. Either this or the file.",
    )
    file: FileId | None = Field(default=None, description="The id of an uploaded file.")
    show: Literal["burned", "track"] = Field(
        default="burned",
        description="Drawn into the frames (burned), or for the player to switch on (track).",
    )
    size: Size = Field(default="medium", description="Of the letters, when they are burned in.")
    place: Literal["bottom", "top"] = Field(default="bottom", description="Where they are drawn.")
    box: bool = Field(default=False, description="Put a dark box behind the letters.")

    def needed_files(self) -> tuple[NeededFile, ...]:
        return (NeededFile(self.file, "subtitles"),) if self.file else ()

    def check_files(self, files: Mapping[str, Path]) -> None:
        self._cues(files)

    def describe_files(
        self, sources: Sequence[StreamInfo], files: Mapping[str, Path]
    ) -> tuple[str, ...]:
        if self.file and self.file not in files:
            return ()
        cues = self._cues(files)
        notes = [note for source in sources for note in fit_cues(cues, source)[1]]
        if self.show == "burned":
            notes += describe_unknown("\n".join(cue.text for cue in cues))
        return tuple(dict.fromkeys(notes))

    def output(self, source: StreamInfo) -> StreamInfo:
        if bool(self.text.strip()) == bool(self.file):
            raise refuse("Give the subtitles either as text or as a file.")
        if self.text:
            parse_subtitles(self.text)
        return source

    def cost(self, source: StreamInfo) -> float:
        return 0.01

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        cues, _ = fit_cues(self._cues(context.files), source)
        if self.show == "track" or not cues:
            return streams
        base = TextStyle(
            size=max(MIN_PIXELS, SIZES[self.size] * min(source.width, source.height)),
            alignment=2 if self.place == "bottom" else 8,
            box=self.box,
        )
        width, height = source.width * (1 - 2 * MARGIN), source.height * MAX_HEIGHT
        events = [
            TextEvent(
                cue.start_s, cue.end_s, cue.text, shrink_to_fit(cue.text, base, width, height)
            )
            for cue in cues
        ]
        drawing = draw_texts(graph, context.file_name("subtitles.ass"), source, events)
        return Streams(graph.video(drawing, streams.video), streams.sound)

    def subtitle_track(self, source: StreamInfo, files: Mapping[str, Path]) -> str | None:
        if self.show != "track":
            return None
        cues, _ = fit_cues(self._cues(files), source)
        return write_webvtt(cues) if cues else None

    def _cues(self, files: Mapping[str, Path]) -> tuple[Cue, ...]:
        """Raises KinoraError(INVALID_INPUT)."""
        if self.file and self.file not in files:
            raise refuse("The subtitles are no longer available. Add them again.")
        text = files[self.file].read_text("utf-8", "replace") if self.file else self.text
        return parse_subtitles(text)
