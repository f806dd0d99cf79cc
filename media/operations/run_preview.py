"""A quick look at what a chain makes: its first seconds, small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from media.operations.chain import Chain, plan_chain
from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, StreamInfo, Streams
from media.operations.outputs import OutputFile
from media.operations.processes import ProcessLimits
from media.operations.run_chain import EditedClip, Hooks, run_chain
from media.operations.shapes import even
from media.operations.trim import Trim

PREVIEW_S = 4.0
MAX_SIDE = 384


class Shrink(ClipOperation):
    """Makes the frames smaller by a ratio. Not an operation that users choose."""

    title: ClassVar[str] = "Preview"

    op: Literal["shrink"] = "shrink"
    ratio: float

    def output(self, source: StreamInfo) -> StreamInfo:
        width, height = even(source.width * self.ratio), even(source.height * self.ratio)
        return replace(source, width=width, height=height)

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        made = self.output(source)
        scale = f"scale={made.width}:{made.height}:flags=bilinear,setsar=1"
        return replace(streams, video=graph.video(scale, streams.video))


def preview_of(chain: Chain) -> Chain:
    """The chain on smaller frames, ending after the first seconds. Raises as `plan_chain`."""
    side = max(max(source.info.width, source.info.height) for source in chain.sources)
    ratio = min(1.0, MAX_SIDE / side)
    operations = [step.operation.scaled(ratio) for step in chain.steps]
    if ratio < 1:
        operations = [Shrink(ratio=ratio), *operations]
    if chain.info.duration_s > PREVIEW_S:
        operations.append(Trim(end_s=PREVIEW_S))
    return plan_chain(chain.sources, operations, files=chain.files)


def run_preview(chain: Chain, target: Path, hooks: Hooks, limits: ProcessLimits) -> EditedClip:
    """Writes an MP4. Raises as `run_chain`."""
    return run_chain(preview_of(chain), target, OutputFile("mp4", "low"), hooks, limits)
