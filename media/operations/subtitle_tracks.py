"""Puts subtitles into a file as a track of their own."""

from __future__ import annotations

from media.operations.chain import Chain
from media.operations.filter_graph import FilterGraph
from media.operations.operation import refuse
from media.operations.outputs import OutputKind

CODECS = {".mp4": "mov_text", ".mov": "mov_text", ".webm": "webvtt", ".mkv": "webvtt"}
"""By the suffix of the file; others hold no subtitles."""
FILE = "track.vtt"


def check_subtitle_track(chain: Chain, kind: OutputKind) -> None:
    """Raises KinoraError(INVALID_INPUT) if the file cannot hold the chain's subtitles."""
    if chain.subtitle_track is not None and kind.suffix not in CODECS:
        raise refuse(
            f"{kind.label} has no track for subtitles. Burn them in, or make an MP4 or a WebM."
        )


def add_subtitle_track(graph: FilterGraph, chain: Chain, suffix: str) -> list[str]:
    """Adds the track as an input; returns ffmpeg's options for the output: none without a track."""
    track = chain.subtitle_track
    if track is None:
        return []
    path = graph.folder / graph.add_file(FILE, track.encode())
    number = graph.add_input("-protocol_whitelist", "file", "-f", "webvtt", "-i", f"file:{path}")
    return ["-map", f"{number}:s:0", "-c:s", CODECS[suffix], "-disposition:s:0", "default"]
