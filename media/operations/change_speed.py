"""Speed: play a clip faster or slower."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import Field

from media.ffmpeg import SOUND_RATE_HZ, has_filter
from media.operations.exact_length import exact_frames, exact_sound
from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, Number, StreamInfo, Streams

MIN_TEMPO = 0.5
"""A step of ffmpeg's `atempo`; slower speeds take several."""
WINDOW_S = 0.009
"""Rubber Band starts a sound earlier than it should by this, in the time of the source, times the
change of its length: measured with clicks at speeds from 0.1 to 6."""


class Speed(ClipOperation):
    """Plays the clip faster or slower at the same frame rate: frames are repeated or left out, and
    each is at most half a frame from its time."""

    title: ClassVar[str] = "Change the speed"
    by_position: ClassVar[tuple[str, ...]] = ("factor", "keep_pitch")

    op: Literal["speed"] = "speed"
    factor: Number = Field(ge=0.1, le=10, description="2 is twice as fast, 0.5 half as fast.")
    keep_pitch: bool = Field(
        default=True,
        description="Keep the pitch of the sound; otherwise it changes with the speed.",
    )

    @property
    def ratio(self) -> Fraction:
        return Fraction(self.factor).limit_denominator(1000)

    def output(self, source: StreamInfo) -> StreamInfo:
        num_frames = max(1, int(source.num_frames / self.ratio + Fraction(1, 2)))
        return replace(source, num_frames=num_frames)

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        made, fps, ratio = self.output(source), source.fps, self.ratio
        # a time base in which every frame's new time is a whole number, so that nothing is rounded
        ticks = f"settb={fps.denominator}/{fps.numerator * ratio.numerator}"
        video = graph.video(
            f"settb={1 / fps},setpts=N,{ticks},setpts=N*{ratio.denominator},"
            f"fps={fps}:round=near:eof_action=pass,{exact_frames(made)}",
            streams.video,
        )
        if streams.sound is None:
            return Streams(video)
        return Streams(
            video, graph.sound(f"{self._tempo_filters()},{exact_sound(made)}", streams.sound)
        )

    def _tempo_filters(self) -> str:
        if not self.keep_pitch:
            rate = round(SOUND_RATE_HZ * self.ratio)
            return f"asetrate={rate},aresample={SOUND_RATE_HZ}"
        factor = float(self.ratio)
        if has_filter("rubberband"):
            late = round(WINDOW_S * (1 / factor - 1) * SOUND_RATE_HZ)
            shift = f"adelay={late}S:all=1" if late >= 0 else f"atrim=start_sample={-late}"
            stretch = f"rubberband=tempo={factor:.9f}:window=short:transients=smooth"
            return f"{stretch},asetpts=N/SR/TB,{shift}"
        steps = max(1, math.ceil(math.log(factor, MIN_TEMPO)))
        return ",".join([f"atempo={factor ** (1 / steps):.9f}"] * steps)
