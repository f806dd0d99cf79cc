"""What every ffmpeg call shares: the start of its command, colour tags, the disk-full message."""

from __future__ import annotations

import functools
import re
import subprocess

import imageio_ffmpeg

SOUND_RATE_HZ = 48_000
"""The rate Opus works at; every player supports it."""

DISK_FULL = re.compile("No space left on device|Disk quota exceeded")
"""Matches ffmpeg's output when the disk or the quota is full."""

# Converts to BT.709 and tags it: players take an untagged clip for BT.601 or for BT.709 depending
# on its size. `setparams` is needed because RGB frames carry no primaries to pass on.
BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int"
    "+full_chroma_inp,format=yuv420p,"
    "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
)


FILTER_LINE = re.compile(r"^ [T.][S.]{1,2} +(\w+) ", re.MULTILINE)


@functools.cache
def has_filter(name: str) -> bool:
    """Whether this ffmpeg has an optional filter: builds for other systems lack some libraries."""
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        [*base_command(), "-filters"], capture_output=True, text=True, timeout=60, check=False
    )
    return name in FILTER_LINE.findall(done.stdout)


def base_command(level: str = "error") -> tuple[str, ...]:
    """The start of every command: quiet, no keyboard input, overwrites its output."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    return (ffmpeg, "-hide_banner", "-loglevel", level, "-nostdin", "-y")
