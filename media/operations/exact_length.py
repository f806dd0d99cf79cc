"""Filters that give a stream exactly the length that an operation computed."""

from __future__ import annotations

from media.operations.filter_graph import FilterGraph, Label
from media.operations.operation import StreamInfo


def exact_frames(info: StreamInfo) -> str:
    """The last frame is repeated, or frames are cut."""
    count = info.num_frames
    return f"tpad=stop={count}:stop_mode=clone,trim=end_frame={count},settb={1 / info.fps},setpts=N"


def exact_sound(info: StreamInfo) -> str:
    """Padded with silence, or cut."""
    samples = info.num_samples
    return f"apad=whole_len={samples},atrim=end_sample={samples},asetpts=N/SR/TB"


def concat(graph: FilterGraph, *parts: Label) -> Label:
    """One after the other; all video or all sound, of the same size and rate."""
    if parts[0].medium == "sound":
        return graph.sound(f"concat=n={len(parts)}:v=0:a=1", *parts)
    return graph.video(f"concat=n={len(parts)}:v=1:a=0", *parts)
