"""LUT: colours by a lookup table from a .cube file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from media.ffmpeg import BT709
from media.operations.cube import read_cube
from media.operations.filter_graph import FilterGraph
from media.operations.operation import (
    ClipOperation,
    Context,
    FileId,
    NeededFile,
    Number,
    StreamInfo,
    Streams,
    refuse,
)


class Lut(ClipOperation):
    """Changes the colours by a lookup table: a .cube file for BT.709."""

    title: ClassVar[str] = "Apply a LUT"
    by_position: ClassVar[tuple[str, ...]] = ("file", "strength")

    op: Literal["lut"] = "lut"
    file: FileId = Field(description="The id of the uploaded .cube file.")
    strength: Number = Field(
        default=1.0, ge=0, le=1, description="0 leaves the colours as they are."
    )

    def needed_files(self) -> tuple[NeededFile, ...]:
        return (NeededFile(self.file, "lut"),)

    def check_files(self, files: Mapping[str, Path]) -> None:
        read_cube(self._path(files))

    def output(self, source: StreamInfo) -> StreamInfo:
        return source

    def cost(self, source: StreamInfo) -> float:
        return 0.08

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        cube = read_cube(self._path(context.files))
        name = graph.add_file(context.file_name("lut.cube"), cube.text(self.strength))
        table = f"lut3d=file={name}:interp=tetrahedral" if cube.is_3d else f"lut1d=file={name}"
        filters = f"scale=in_color_matrix=bt709:in_range=tv,format=gbrp16le,{table},{BT709}"
        return replace(streams, video=graph.video(filters, streams.video))

    def _path(self, files: Mapping[str, Path]) -> Path:
        if self.file not in files:
            raise refuse("The LUT is no longer available. Add it again.")
        return files[self.file]
