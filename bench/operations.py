"""Operations on clips against a plain ffmpeg command that does the same, at 480p and 1080p.

Ours opens and checks the clip, plans, runs, verifies, and writes atomically with all tags. The
plain command is what a person would write: the same codec settings, and nothing else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.common import Figure, figure
from bench.operation_cases import CASES, FILE_IDS, FONT, FPS, MP4, MUSIC, TABLE, WORDS, Case
from media.ffmpeg import base_command
from media.operations.edit_request import read_edit_request
from media.operations.pad import BLUR_SHARE
from media.operations.plan_edit import plan_edit
from media.operations.registry import parse_short_form
from media.operations.run_chain import run_chain
from media.operations.title_fonts import title_fonts

AT_MOST = 1.2
SIZES = {"480p": (854, 480), "1080p": (1920, 1080)}
CUBE_SIZE = 33
COMMENT = '{"made_by": "Kinora", "prompt": "a dog running to the right in the snow"}'
SUBTITLES = (
    "1\n00:00:00,500 --> 00:00:01,500\nIt snows.\n\n2\n00:00:02,000 --> 00:00:03,500\nStill.\n"
)


def measure(folder: Path, rounds: int) -> Iterator[Figure]:
    for name, size in SIZES.items():
        yield from measure_cases(CASES, folder / name, name, size, rounds)


def measure_cases(
    cases: Sequence[Case], folder: Path, name: str, size: tuple[int, int], rounds: int
) -> Iterator[Figure]:
    """`folder` is made, and filled with the clips and files of the cases."""
    folder.mkdir(parents=True)
    _make_files(folder)
    clips = {
        seconds: _make_clip(folder / f"{seconds}.mp4", *size, seconds)
        for seconds in {case.seconds for case in cases}
    }
    for case in cases:
        yield from _compare(_BothWays(case, clips[case.seconds], size), name, rounds)


def _compare(run: _BothWays, size_name: str, rounds: int) -> Iterator[Figure]:
    """Medians of the ratios of runs that follow each other, because the load of a machine changes:
    of wall time, and of processor time, which other work on the machine does not change."""
    wall: list[float] = []
    processor: list[float] = []
    for _ in range(rounds):
        plain, ours = _seconds(run.plain), _seconds(run.ours)
        wall.append(ours[0] / plain[0])
        processor.append(ours[1] / plain[1])
    label = f"{size_name}, {run.case.label}"
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


@dataclass(frozen=True)
class _BothWays:
    case: Case
    clip: Path
    size: tuple[int, int]

    def ours(self) -> None:
        case, folder = self.case, self.clip.parent
        edit = read_edit_request(
            {
                "clips": ["clip"] * case.num_clips,
                "operations": [parse_short_form(each) for each in case.ours.split()],
                "format": case.format,
                "target_mb": case.target_mb,
            }
        )
        files = {id: folder / name for name, id in FILE_IDS.items()}
        chain = plan_edit(edit, [self.clip] * case.num_clips, files)
        run_chain(chain, folder / "ours" / "clip", edit.output_file(COMMENT))

    def plain(self) -> None:
        case = self.case
        if case.first_pass:
            self._ffmpeg(*case.first_pass, "-f", "null", "-")
        filters, sound = self._filled(case.filters), case.sound
        options: list[str] = []
        if "[v]" in filters:
            options = ["-filter_complex", filters, "-map", "[v]", "-map", "[a]"]
        elif filters:
            options = ["-vf", filters]
        if sound:
            options += ["-af", sound]
        codec = case.codec if "%" in case.codec[-1] else (*case.codec, "plain")
        self._ffmpeg(*options, *codec)

    def _ffmpeg(self, *output: str) -> None:
        case = self.case
        clips = [word for _ in range(case.num_clips) for word in ("-i", self.clip.name)]
        inputs = (*case.before, *clips, *case.more_inputs)
        subprocess.run([*base_command(), *inputs, *output], check=True, cwd=self.clip.parent)

    def _filled(self, filters: str) -> str:
        width, height = self.size
        sigma = round(width * BLUR_SHARE)
        for name, value in (("{width}", width), ("{height}", height), ("{sigma}", sigma)):
            filters = filters.replace(name, str(value))
        return filters


def _make_files(folder: Path) -> None:
    music = ("-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000:duration=9")
    subprocess.run([*base_command(), *music, str(folder / MUSIC)], check=True)
    axis = [n / (CUBE_SIZE - 1) for n in range(CUBE_SIZE)]
    rows = "\n".join(f"{r**0.9:.6f} {g:.6f} {b**1.1:.6f}" for b in axis for g in axis for r in axis)
    (folder / TABLE).write_text(f"LUT_3D_SIZE {CUBE_SIZE}\n{rows}\n")
    (folder / WORDS).write_text(SUBTITLES)
    shutil.copy(title_fonts()[0].path, folder / FONT)


def _make_clip(path: Path, width: int, height: int, seconds: int) -> Path:
    """Moving shapes with noise, and a tone, as a clip of ours is encoded."""
    source = f"testsrc2=size={width}x{height}:rate={FPS}:duration={seconds}"
    tone = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    subprocess.run(
        [*base_command(), "-f", "lavfi", "-i", source, "-f", "lavfi", "-i", tone,
         "-vf", "noise=c0s=6:c0f=t,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,"
         "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv",
         *MP4, str(path)], check=True,
    )  # fmt: skip
    return path
