"""Blends the end of one clip into the beginning of another."""

from __future__ import annotations

from media.operations.filter_graph import FilterGraph
from media.operations.operation import StreamInfo, Streams, samples_at


def crossfade(
    graph: FilterGraph,
    first: Streams,
    second: Streams,
    info: StreamInfo,
    frames: int,
    *,
    transition: str = "fade",
    samples: int | None = None,
) -> Streams:
    """Blends two clips of `frames` frames each, of the size and rate of `info`, into as many.

    Frame i shows (i + 1) / (frames + 1) of the second, so that none of them is one clip alone. The
    sound fades with equal power. transition: of ffmpeg's xfade. samples: of the sound, if that is
    not the length of the frames to the nearest.
    """
    # xfade's first frame is the first clip alone: it gets a copy of frame 0, which is cut again
    inputs = [
        graph.video("loop=loop=1:size=1:start=0,setpts=N", each.video) for each in (first, second)
    ]
    duration_s = float((frames + 1) / info.fps)
    video = graph.video(
        f"xfade=transition={transition}:duration={duration_s:.6f}:offset=0,trim=start_frame=1,setpts=N",
        *inputs,
    )
    if first.sound is None or second.sound is None:
        return Streams(video)
    samples = samples_at(frames / info.fps) if samples is None else samples
    # not acrossfade, which reads the whole overlap before its first sample: the frames of it would
    # have to wait in memory
    fades = (
        graph.sound(f"afade=t={way}:start_sample=0:nb_samples={samples}:curve=qsin", sound)
        for way, sound in (("out", first.sound), ("in", second.sound))
    )
    return Streams(video, graph.sound("amix=inputs=2:normalize=0:duration=longest", *fades))
