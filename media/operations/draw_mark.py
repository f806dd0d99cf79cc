"""The visible mark of a server as the last step of a chain. Not an operation that users choose."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import ConfigDict

from media.operations.chain import Chain, ChainStep
from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, StreamInfo, Streams
from media.visible_mark import VisibleMark

FILE = "mark.png"


class DrawMark(ClipOperation):
    """Draws the mark on every frame."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    title: ClassVar[str] = "Visible mark"

    op: Literal["mark"] = "mark"
    mark: VisibleMark

    def output(self, source: StreamInfo) -> StreamInfo:
        return source

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        """Raises KinoraError(ENCODE) if the picture of the mark cannot be read."""
        rows, columns, colour, alpha = self.mark.layer(source.width, source.height)
        pixels = np.concatenate([colour, alpha * 255], axis=2)
        drawn = io.BytesIO()
        Image.fromarray(np.rint(pixels).astype(np.uint8), "RGBA").save(drawn, "PNG")
        name = graph.add_file(FILE, drawn.getvalue())
        number = graph.add_input(
            *("-protocol_whitelist", "file", "-f", "png_pipe", "-i", f"file:{name}")
        )
        layer = graph.video(
            "scale=out_color_matrix=bt709:out_range=tv,format=yuva444p",
            graph.stream("video", f"{number}:v"),
        )
        video = graph.video("format=yuv444p", streams.video)
        video = graph.video(
            f"overlay=x={columns.start}:y={rows.start}:format=yuv444,format=yuv420p", video, layer
        )
        return Streams(video, streams.sound)


def with_mark(chain: Chain, mark: VisibleMark) -> Chain:
    step = ChainStep(len(chain.steps), DrawMark(mark=mark), (chain.info,), (chain.info,))
    return replace(chain, steps=(*chain.steps, step))
