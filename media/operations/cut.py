"""Operations that keep a part of a clip: what is before it need not be decoded."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, StreamInfo, Streams, samples_at


class CutOperation(ClipOperation):
    """Keeps the frames from one to before another."""

    @abstractmethod
    def frames(self, source: StreamInfo) -> tuple[int, int]:
        """The first frame that is kept, and the one after the last."""

    def output(self, source: StreamInfo) -> StreamInfo:
        start, end = self.frames(source)
        return replace(source, num_frames=end - start)

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        return keep_frames(graph, streams, source, *self.frames(source))


def keep_frames(
    graph: FilterGraph, streams: Streams, source: StreamInfo, start: int, end: int
) -> Streams:
    """Keeps the frames from `start` to before `end`, with their sound."""
    if (start, end) == (0, source.num_frames):
        return streams
    video = graph.video(
        f"trim=start_frame={start}:end_frame={end},setpts=PTS-STARTPTS", streams.video
    )
    if streams.sound is None:
        return Streams(video)
    first = samples_at(start / source.fps)
    last = first + samples_at((end - start) / source.fps)
    sound = graph.sound(
        f"atrim=start_sample={first}:end_sample={last},asetpts=PTS-STARTPTS", streams.sound
    )
    return Streams(video, sound)
