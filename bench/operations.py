"""Operations on clips against a plain ffmpeg command that does the same, at 480p and 1080p.

Ours opens and checks the clip, plans, runs, verifies, and writes atomically with all tags. The
plain command is what a person would write: the same codec settings, and nothing else.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.common import Figure, figure
from media.encode import H264, H264_CRF, VP9, VP9_CRF
from media.ffmpeg import base_command
from media.operations.chain import plan_chain
from media.operations.edit_sources import open_source
from media.operations.outputs import OutputFile, OutputFormat
from media.operations.registry import parse_short_form
from media.operations.run_chain import run_chain

AT_MOST = 1.2
SIZES = {"480p": (854, 480), "1080p": (1920, 1080)}
SECONDS, FPS = 4, 24
X264 = (*H264, "-crf", str(H264_CRF["medium"]), "-c:a", "aac", "-b:a", "192k")
MP4 = (*X264, "-movflags", "+faststart", "-f", "mp4")


@dataclass(frozen=True)
class Case:
    """One operation in our short form, and the plain command's input and output options."""

    ours: str
    filters: str = ""
    """-vf; with labels, -filter_complex."""
    sound: str = ""
    before: tuple[str, ...] = ()
    format: OutputFormat = "mp4"
    codec: tuple[str, ...] = MP4


CASES = (
    Case("", codec=MP4),
    Case("trim=1:3", before=("-ss", "1", "-t", "2")),
    Case("speed=0.5", "setpts=2*PTS,fps=24", "rubberband=tempo=0.5"),
    Case("reverse", "reverse", "areverse"),
    Case(
        "loop",
        "[0:v]split[a][b];[b]reverse[r];[a][r]concat=n=2:v=1[v];"
        "[0:a]asplit[c][d];[d]areverse[s];[c][s]concat=n=2:v=0:a=1[a]",
    ),
    Case("freeze=1:1", "loop=loop=24:size=1:start=24,setpts=N/24/TB", "apad=pad_dur=1"),
    Case("crop=shape=1/1", "crop=ih:ih"),
    Case("pad=shape=1/1", "pad=iw:iw:0:(oh-ih)/2"),
    Case("rotate=90", "transpose=clock"),
    Case("deflicker", "deflicker=size=9:mode=pm"),
    Case("colour=0.3:1.1:1.2", "exposure=0.3,eq=contrast=1.1:saturation=1.2,format=yuv420p"),
    Case("grain", "noise=c0s=12:c0f=t"),
    Case("vignette", "vignette=PI/5"),
    Case("", format="webm", codec=(*VP9, "-crf", str(VP9_CRF["medium"]), "-b:v", "0", "-c:a",
                                   "libopus", "-b:a", "128k", "-f", "webm")),
    Case("", "split[a][b];[a]palettegen=max_colors=128[p];[b][p]paletteuse=dither=bayer:"
         "bayer_scale=5", format="gif", codec=("-an", "-f", "gif")),
    Case("trim=0.5:3.5 speed=1.5 crop=shape=1/1 vignette",
         "trim=0.5:3.5,setpts=(PTS-STARTPTS)/1.5,fps=24,crop=ih:ih,vignette=PI/5",
         "atrim=0.5:3.5,asetpts=PTS-STARTPTS,rubberband=tempo=1.5"),
)  # fmt: skip


def measure(folder: Path, rounds: int) -> Iterator[Figure]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        clip = _make_clip(folder / f"{name}.mp4", *size)
        for case in CASES:
            yield from _compare(case, name, clip, folder, rounds)


def _compare(case: Case, name: str, clip: Path, folder: Path, rounds: int) -> Iterator[Figure]:
    """Medians of the ratios of runs that follow each other, because the load of a machine changes:
    of wall time, and of processor time, which other work on the machine does not change."""
    wall: list[float] = []
    processor: list[float] = []
    for _ in range(rounds):
        plain = _seconds(lambda: _plain(case, clip, folder / "plain"))
        ours = _seconds(lambda: _ours(case, clip, folder / "ours"))
        wall.append(ours[0] / plain[0])
        processor.append(ours[1] / plain[1])
    label = f"{name}, {case.ours or 'no operation'}, {case.format}"
    yield figure(label, wall, AT_MOST, "x")
    yield figure(f"{label}, processor", processor, AT_MOST, "x")


def _seconds(run: Callable[[], None]) -> tuple[float, float]:
    """Wall time and processor time, of this process and its children."""
    began = time.perf_counter(), _processor_s()
    run()
    return time.perf_counter() - began[0], _processor_s() - began[1]


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _ours(case: Case, clip: Path, target: Path) -> None:
    operations = [parse_short_form(each) for each in case.ours.split()]
    run_chain(plan_chain([open_source(clip)], operations), target, OutputFile(case.format))


def _plain(case: Case, clip: Path, target: Path) -> None:
    filters: tuple[str, ...] = ()
    if "[0:v]" in case.filters:
        filters = ("-filter_complex", case.filters, "-map", "[v]", "-map", "[a]")
    elif case.filters:
        filters = ("-vf", case.filters)
    sound = ("-af", case.sound) if case.sound else ()
    command = [*base_command(), *case.before, "-i", str(clip), *filters, *sound, *case.codec]
    subprocess.run([*command, str(target)], check=True)


def _make_clip(path: Path, width: int, height: int) -> Path:
    """Moving shapes with noise, and a tone, as a clip of ours is encoded."""
    source = f"testsrc2=size={width}x{height}:rate={FPS}:duration={SECONDS}"
    tone = f"sine=frequency=440:sample_rate=48000:duration={SECONDS}"
    subprocess.run(
        [*base_command(), "-f", "lavfi", "-i", source, "-f", "lavfi", "-i", tone,
         "-vf", "noise=c0s=6:c0f=t,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,"
         "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv",
         *MP4, str(path)], check=True,
    )  # fmt: skip
    return path
