"""Puts subtitles into a file as a track of their own."""

from __future__ import annotations

from media.operations.chain import Chain
from media.operations.filter_graph import FilterGraph
from media.operations.operation import refuse
from media.operations.outputs import OutputKind
from media.operations.subtitle_files import fit_cues, parse_subtitles, write_webvtt
from media.operations.trim import Trim

CODECS = {".mp4": "mov_text", ".mov": "mov_text", ".webm": "webvtt", ".mkv": "webvtt"}
"""By the suffix of the file; others hold no subtitles."""
FILE = "track.vtt"


def check_subtitle_track(chain: Chain, kind: OutputKind) -> None:
    """Raises KinoraError(INVALID_INPUT) if the file cannot hold the chain's subtitles, or if an
    operation behind them would move the frames away."""
    found = False
    for step in chain.steps:
        if step.operation.subtitle_track(step.sources[0], chain.files) is not None:
            found = True
        elif found and not (isinstance(step.operation, Trim) and not step.operation.start_s):
            raise refuse("Subtitles as a track come last. Move them behind the other operations.")
    if chain.subtitle_track is not None and kind.suffix not in CODECS:
        raise refuse(
            f"{kind.label} has no track for subtitles. Burn them in, or make an MP4 or a WebM."
        )


def add_subtitle_track(graph: FilterGraph, chain: Chain, suffix: str) -> list[str]:
    """Adds the track as an input; returns ffmpeg's options for the output: none without a track."""
    if chain.subtitle_track is None:
        return []
    # not those after the end: they would make the file longer
    cues, _ = fit_cues(parse_subtitles(chain.subtitle_track), chain.info)
    if not cues:
        return []
    path = graph.folder / graph.add_file(FILE, write_webvtt(cues).encode())
    number = graph.add_input("-protocol_whitelist", "file", "-f", "webvtt", "-i", f"file:{path}")
    return ["-map", f"{number}:s:0", "-c:s", CODECS[suffix], "-disposition:s:0", "default"]
