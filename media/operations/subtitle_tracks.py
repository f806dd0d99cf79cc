"""Puts subtitles into a file as a track of their own."""

from __future__ import annotations

from media.operations.chain import Chain
from media.operations.filter_graph import FilterGraph
from media.operations.operation import refuse

CODECS = {"mp4": "mov_text", "webm": "webvtt", "mov": "mov_text"}
"""By the suffix of the file; others hold no subtitles."""
FILE = "track.vtt"


def subtitle_options(graph: FilterGraph, chain: Chain, suffix: str) -> list[str]:
    """Adds the track as an input; returns ffmpeg's options for the output, which are none without
    a track. Raises KinoraError(INVALID_INPUT) for a file that holds no subtitles."""
    track = chain.subtitle_track
    if track is None:
        return []
    codec = CODECS.get(suffix.lstrip("."))
    if codec is None:
        raise refuse(
            f"A {suffix.lstrip('.').upper()} file has no track for subtitles. Burn them in, or "
            "make an MP4 or a WebM."
        )
    path = graph.folder / graph.add_file(FILE, track.encode())
    number = graph.add_input("-protocol_whitelist", "file", "-f", "webvtt", "-i", f"file:{path}")
    return ["-map", f"{number}:s:0", "-c:s", codec, "-disposition:s:0", "default"]
