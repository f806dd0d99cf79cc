"""Join: make one clip of several, with cuts or cross-fades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from media.ffmpeg import SOUND_RATE_HZ
from media.operations.crossfades import crossfade
from media.operations.exact_length import concat
from media.operations.filter_graph import FilterGraph, Label
from media.operations.operation import (
    Context,
    JoinOperation,
    Number,
    StreamInfo,
    Streams,
    refuse,
    samples_at,
    seconds,
)

Transition = Literal["cut", "crossfade", "fade_black", "fade_white", "wipe"]
XFADE: dict[Transition, str] = {
    "crossfade": "fade",
    "fade_black": "fadeblack",
    "fade_white": "fadewhite",
    "wipe": "wipeleft",
}
PLAIN = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
SCALING = "flags=bicubic+accurate_rnd+full_chroma_int"


class Joint(BaseModel):
    """How one clip becomes the next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transition: Transition = Field(default="cut", description="How the clips follow each other.")
    duration_s: Number = Field(
        default=0.5, ge=0.04, le=10, description="How long the clips overlap, unless it is a cut."
    )


class JoinClips(JoinOperation):
    """Plays the clips one after the other. The first one decides the size, the one with the most
    frames a second the frame rate."""

    title: ClassVar[str] = "Join"
    by_position: ClassVar[tuple[str, ...]] = ("transition", "duration_s", "fit")

    op: Literal["join"] = "join"
    transition: Transition = Field(
        default="cut", description="How the clips follow each other: cut, or a fade or wipe."
    )
    duration_s: Number = Field(
        default=0.5, ge=0.04, le=10, description="How long two clips overlap, unless it is a cut."
    )
    fit: Literal["pad", "crop"] = Field(
        default="pad",
        description="Clips of another shape get black bars (pad), or lose their edges (crop).",
    )
    joints: tuple[Joint, ...] = Field(
        default=(),
        max_length=19,
        description="One for each joint, in order, instead of the same everywhere.",
    )

    def joined(self, sources: Sequence[StreamInfo]) -> StreamInfo:
        return self.plan(sources).info

    def notes(self, sources: Sequence[StreamInfo]) -> tuple[str, ...]:
        return tuple(_describe_fits(self, self.plan(sources), sources))

    def add_join(
        self,
        graph: FilterGraph,
        streams: Sequence[Streams],
        sources: Sequence[StreamInfo],
        context: Context,
    ) -> Streams:
        plan = self.plan(sources)
        fitted: list[Streams] = []
        for number, (each, info) in enumerate(zip(streams, sources, strict=True)):
            filters = _fit_frames(info, plan.info, plan.lengths[number], self.fit)
            sound = None
            if plan.info.channels:
                sound = _fit_sound(graph, each.sound, info, plan, number)
            fitted.append(Streams(graph.video(filters, each.video), sound))
        return _play_in_turn(graph, fitted, plan)

    def plan(self, sources: Sequence[StreamInfo]) -> JoinPlan:
        """Raises KinoraError(INVALID_INPUT)."""
        joints = self.joints or (Joint(transition=self.transition, duration_s=self.duration_s),) * (
            len(sources) - 1
        )
        if len(joints) != len(sources) - 1:
            raise refuse(
                f"There are {len(sources) - 1} joints between {len(sources)} clips, but "
                f"{len(joints)} were described. Describe each one, or leave `joints` out."
            )
        fps = max(each.fps for each in sources)
        lengths = [max(1, int(each.duration_s * fps + Fraction(1, 2))) for each in sources]
        overlaps: list[int] = []
        for joint, before, after in zip(joints, lengths, lengths[1:], strict=False):
            wanted = 0 if joint.transition == "cut" else round(joint.duration_s * fps)
            # at most half of each clip, so that no two overlaps meet
            overlaps.append(min(wanted, before // 2, after // 2))
        info = StreamInfo(
            sources[0].width,
            sources[0].height,
            fps,
            sum(lengths) - sum(overlaps),
            max(each.channels for each in sources),
        )
        return JoinPlan(info, tuple(joints), tuple(lengths), tuple(overlaps))


@dataclass(frozen=True)
class JoinPlan:
    """The frames of each clip at the rate of what comes out, and how many of them two clips share
    at each joint."""

    info: StreamInfo
    joints: tuple[Joint, ...]
    lengths: tuple[int, ...]
    overlaps: tuple[int, ...]

    @property
    def starts(self) -> tuple[int, ...]:
        """The frame at which each clip begins."""
        starts = [0]
        for length, overlap in zip(self.lengths, self.overlaps, strict=False):
            starts.append(starts[-1] + length - overlap)
        return tuple(starts)

    def samples(self, number: int) -> tuple[int, int]:
        """The first sample of a clip's sound, and the one after its last. Rounded where they are
        in what comes out, so that sound and frames do not drift apart from clip to clip."""
        start = self.starts[number]
        return self.sample(start), self.sample(start + self.lengths[number])

    def sample(self, frame: int) -> int:
        """The sample with which a frame of what comes out begins."""
        return samples_at(frame / self.info.fps)


def _fit_frames(source: StreamInfo, made: StreamInfo, count: int, fit: str) -> str:
    """Filters that give a clip the rate and the size of what comes out, and exactly its frames."""
    filters = []
    if source.fps != made.fps:
        filters.append(f"fps={made.fps}:round=near:start_time=0:eof_action=pass")
    filters.append(f"tpad=stop={count}:stop_mode=clone,trim=end_frame={count}")
    filters.append(f"settb={1 / made.fps},setpts=N")
    if (source.width, source.height) != (made.width, made.height):
        filters += _fit_size(source, made, fit)
    return ",".join([*filters, "format=yuv420p", PLAIN])


def _fit_size(source: StreamInfo, made: StreamInfo, fit: str) -> list[str]:
    ratios = Fraction(made.width, source.width), Fraction(made.height, source.height)
    ratio = min(ratios) if fit == "pad" else max(ratios)
    width, height = round(source.width * ratio), round(source.height * ratio)
    if fit == "crop":
        width, height = max(width, made.width), max(height, made.height)
        left, top = (width - made.width) // 2, (height - made.height) // 2
        crop = f"crop={made.width}:{made.height}:{left}:{top}:exact=1"
        return [f"scale={width}:{height}:{SCALING}", "setsar=1", crop]
    width, height = max(1, min(width, made.width)), max(1, min(height, made.height))
    # chroma has half the resolution: bars begin at even places
    left, top = (made.width - width) // 4 * 2, (made.height - height) // 4 * 2
    pad = f"pad={made.width}:{made.height}:{left}:{top}:black"
    return [f"scale={width}:{height}:{SCALING}", "setsar=1", pad]


def _fit_sound(
    graph: FilterGraph, sound: Label | None, source: StreamInfo, plan: JoinPlan, number: int
) -> Label:
    first, last = plan.samples(number)
    layout = "mono" if plan.info.channels == 1 else "stereo"
    length = f"apad=whole_len={last - first},atrim=end_sample={last - first},asetpts=N/SR/TB"
    if sound is None:
        return graph.sound(
            f"anullsrc=r={SOUND_RATE_HZ}:cl={layout},aformat=sample_fmts=fltp,{length}"
        )
    # one channel is played on both sides at its level; ffmpeg would make it 3 dB quieter
    pan = "pan=stereo|c0=c0|c1=c0," if source.channels == 1 and plan.info.channels == 2 else ""
    return graph.sound(f"{pan}aformat=sample_fmts=fltp:channel_layouts={layout},{length}", sound)


def _play_in_turn(graph: FilterGraph, clips: Sequence[Streams], plan: JoinPlan) -> Streams:
    """Cuts each clip into the part that it shares with the one before, its own, and the part that
    it shares with the one after; then plays all parts in turn. ffmpeg holds no more frames than
    those of an overlap, however many clips there are."""
    parts: list[Streams] = []
    ending: Streams | None = None
    for number, clip in enumerate(clips):
        length = plan.lengths[number]
        before = plan.overlaps[number - 1] if number else 0
        after = plan.overlaps[number] if number < len(plan.overlaps) else 0
        ranges = [(0, before), (before, length - after), (length - after, length)]
        beginning, own, next_ending = _cut(graph, clip, plan, number, ranges)
        if ending is not None and beginning is not None:
            joint = plan.joints[number - 1]
            start = plan.starts[number]
            samples = plan.sample(start + before) - plan.sample(start)
            parts.append(
                crossfade(
                    graph, ending, beginning, plan.info, before,
                    transition=XFADE[joint.transition], samples=samples,
                )
            )  # fmt: skip
        if own is not None:
            parts.append(own)
        ending = next_ending
    timing = f"settb={1 / plan.info.fps},setpts=N"
    video = graph.video(timing, concat(graph, *(part.video for part in parts)))
    sounds = [part.sound for part in parts if part.sound is not None]
    return Streams(video, concat(graph, *sounds) if sounds else None)


def _cut(
    graph: FilterGraph,
    clip: Streams,
    plan: JoinPlan,
    number: int,
    ranges: Sequence[tuple[int, int]],
) -> list[Streams | None]:
    """The parts of a clip between two frames each, None for those without frames."""
    kept = [(first, last) for first, last in ranges if last > first]
    videos = graph.split(clip.video, len(kept))
    sounds = graph.split(clip.sound, len(kept)) if clip.sound else [None] * len(kept)
    parts: dict[tuple[int, int], Streams] = {}
    start, begin = plan.starts[number], plan.samples(number)[0]
    for video, sound, (first, last) in zip(videos, sounds, kept, strict=True):
        part = Streams(
            graph.video(f"trim=start_frame={first}:end_frame={last},setpts=PTS-STARTPTS", video)
        )
        if sound is not None:
            from_, to = (plan.sample(start + frame) - begin for frame in (first, last))
            trim = f"atrim=start_sample={from_}:end_sample={to},asetpts=PTS-STARTPTS"
            part = replace(part, sound=graph.sound(trim, sound))
        parts[first, last] = part
    return [parts.get(each) for each in ranges]


def _describe_fits(join: JoinClips, plan: JoinPlan, sources: Sequence[StreamInfo]) -> list[str]:
    made, notes = plan.info, []
    for number, each in enumerate(sources, 1):
        size, wanted = (each.width, each.height), (made.width, made.height)
        if size != wanted:
            has_shape = abs(each.width / each.height / (made.width / made.height) - 1) < 0.005
            how = "" if has_shape else {"pad": ", with black bars", "crop": ", cropped"}[join.fit]
            notes.append(
                f"Clip {number} is {each.width} x {each.height}; it is scaled to "
                f"{made.width} x {made.height}, the size of the first clip{how}."
            )
        if each.fps != made.fps:
            notes.append(
                f"Clip {number} has {_rate(each.fps)} frames a second; it is played at "
                f"{_rate(made.fps)}, at the same speed."
            )
        if made.channels and not each.channels:
            notes.append(f"Clip {number} has no sound; it is silent in the joined clip.")
    for number, (joint, overlap) in enumerate(zip(plan.joints, plan.overlaps, strict=True), 1):
        wanted = round(joint.duration_s * made.fps)
        if joint.transition != "cut" and overlap < wanted:
            what = f"lasts {seconds(overlap / made.fps)}" if overlap else "is a cut"
            notes.append(
                f"The transition between clips {number} and {number + 1} {what}, because one of "
                "them is too short."
            )
    return notes


def _rate(fps: Fraction) -> str:
    return f"{float(fps):.2f}".rstrip("0").rstrip(".")
