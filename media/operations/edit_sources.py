"""The clips that operations read: checked before any work, normalised while they are decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from media.colours import (
    CURVE_FILE,
    TABLE_FILE,
    describe_conversion,
    make_srgb_curve,
    make_table,
)
from media.ffmpeg import SOUND_RATE_HZ
from media.operations.filter_graph import FilterGraph
from media.operations.operation import StreamInfo, Streams, samples_at
from media.probe import VideoTrack, untrusted_input_options
from media.videos import MAX_CHANNELS, InspectedVideo, VideoLimits, inspect_video

SOURCE_LIMITS = VideoLimits(max_bytes=2 * 1024**3, max_seconds=900.0, max_fps=240)
"""More than for uploads: a clip that was joined or interpolated can be edited again."""

TAGGED = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"


@dataclass(frozen=True)
class EditSource:
    inspected: InspectedVideo
    info: StreamInfo

    def skippable(self, start: int) -> int:
        """How many frames before frame `start` need not be decoded. The frame that is shown there
        may have begun as long before as the longest gap between two frames."""
        gap_s = self.inspected.longest_gap_s
        if gap_s is None:
            return 0
        return max(0, start - math.ceil(gap_s * self.info.fps) - 1)

    def add_to(self, graph: FilterGraph, skipped: int = 0) -> Streams:
        """Adds the file and the filters that make `info` of it, without the first `skipped` frames:
        upright, square pixels, BT.709, a constant rate that keeps each frame at its time, sound of
        the same length."""
        clip = self.inspected
        info = replace(self.info, num_frames=self.info.num_frames - skipped)
        # a quarter of a frame earlier: the time of a frame may be rounded down in the file
        early_s = 1 / (4 * info.fps) if skipped else Fraction(0)
        seek = ("-ss", f"{float(skipped / info.fps - early_s):.6f}") if skipped else ()
        number = graph.add_input(
            *seek,
            *untrusted_input_options(
                clip.path, clip.demuxer, clip.limits.max_seconds, clip.limits.max_pixels
            ),
        )
        count = info.num_frames
        filters = [
            f"fps={info.fps}:round=near:start_time=0:eof_action=pass",
            f"tpad=stop={count}:stop_mode=clone,trim=end_frame={count}",
            f"settb={1 / info.fps},setpts=N",
        ]
        if (info.width, info.height) != self.decoded_size or clip.picture.pixel_aspect != 1:
            filters.append(f"scale={info.width}:{info.height}:flags=bicubic,setsar=1")
        filters.append(self._colour_filters(graph, number))
        video = graph.video(
            ",".join(filters), graph.stream("video", f"{number}:{clip.picture.index}")
        )
        if clip.sound is None:
            return Streams(video)
        layout = "mono" if info.channels == 1 else "stereo"
        # async fills gaps and a late start with silence, so that sound and frames stay in sync
        sound = graph.sound(
            f"aresample={SOUND_RATE_HZ}:async=1:first_pts=0,"
            f"atrim=start_sample={samples_at(early_s)},asetpts=PTS-STARTPTS,"
            f"aformat=sample_fmts=fltp:channel_layouts={layout},"
            f"apad=whole_len={info.num_samples},atrim=end_sample={info.num_samples},"
            "asetpts=N/SR/TB",
            graph.stream("sound", f"{number}:{clip.sound.index}"),
        )
        return Streams(video, sound)

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Width and height as ffmpeg decodes it: upright, but maybe not of square pixels."""
        track = self.inspected.picture
        is_turned = track.quarter_turns % 2 == 1
        return (track.height, track.width) if is_turned else (track.width, track.height)

    def scaled(self, ratio: float) -> EditSource:
        """The same clip in a smaller size, for previews."""
        sides = (self.info.width, self.info.height)
        width, height = (max(2, round(side * ratio)) for side in sides)
        return replace(self, info=replace(self.info, width=width, height=height))

    def _colour_filters(self, graph: FilterGraph, number: int) -> str:
        colours, track = self.inspected.colours, self.inspected.picture
        is_plain = track.pix_fmt == "yuv420p" and colours.matrix == "bt709"
        if is_plain and not colours.full_range and not colours.needs_table:
            return TAGGED
        filters = describe_conversion(colours)
        if colours.needs_table:  # several clips may have tables of their own
            table = make_table(colours.primaries, colours.transfer)
            for name, content in ((TABLE_FILE, table), (CURVE_FILE, make_srgb_curve())):
                filters = filters.replace(name, graph.add_file(f"{number}-{name}", content))
        return filters


def open_source(path: Path, limits: VideoLimits = SOURCE_LIMITS) -> EditSource:
    """Reads header and timestamps; decodes nothing.

    Raises KinoraError(INVALID_VIDEO | TOO_LARGE).
    """
    clip = inspect_video(path, limits, with_sound=True)
    width, height = _shown_size(clip.picture)
    channels = min(clip.sound.channels or MAX_CHANNELS, MAX_CHANNELS) if clip.sound else 0
    return EditSource(clip, StreamInfo(width, height, clip.rate, clip.num_frames, channels))


def _shown_size(track: VideoTrack) -> tuple[int, int]:
    """Upright and with square pixels."""
    width, height, aspect = track.width, track.height, track.pixel_aspect
    if track.quarter_turns % 2:
        width, height, aspect = height, width, 1 / aspect
    return max(2, round(width * Fraction(aspect))), height
