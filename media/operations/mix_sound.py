"""Sound: a soundtrack from a file, the clip's own sound, and the loudness of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from media.ffmpeg import SOUND_RATE_HZ
from media.operations.exact_length import exact_sound
from media.operations.filter_graph import FilterGraph, Label
from media.operations.loudness import MEASURE, LoudnessGain, next_gain
from media.operations.operation import (
    ClipOperation,
    Context,
    FileId,
    NeededFile,
    Number,
    StreamInfo,
    Streams,
    refuse,
    samples_at,
    seconds,
)

FLAC = b"fLaC"
STREAM_INFO = slice(8, 42)
SOUND_LIMIT_S = 1800


class MixSound(ClipOperation):
    """Adds a soundtrack, changes the volume of the clip's own sound or removes it, and brings the
    whole to the loudness that video sites play at (-14 LUFS, peaks under -1 dBTP)."""

    title: ClassVar[str] = "Sound"
    measures_sound_only: ClassVar[bool] = True
    by_position: ClassVar[tuple[str, ...]] = ("file", "own_volume", "volume")

    op: Literal["sound"] = "sound"
    file: FileId | None = Field(
        default=None, description="The id of an uploaded sound; without it, the clip's own is kept."
    )
    volume: Number = Field(default=1.0, ge=0, le=4, description="Of the soundtrack; 1 is as it is.")
    own_volume: Number = Field(
        default=1.0, ge=0, le=4, description="Of the clip's own sound; 0 removes it."
    )
    start_s: Number = Field(
        default=0.0, ge=0, description="Where in the file the soundtrack begins, in seconds."
    )
    at_s: Number = Field(
        default=0.0, ge=0, description="Where in the clip the soundtrack begins, in seconds."
    )
    loop: bool = Field(
        default=True, description="Repeat a soundtrack that is shorter than the clip."
    )
    fade_in_s: Number = Field(
        default=0.0, ge=0, le=60, description="How long the soundtrack takes to become loud."
    )
    fade_out_s: Number = Field(
        default=1.0, ge=0, le=60, description="How long it takes to become silent at its end."
    )
    loudness: bool = Field(
        default=True, description="Bring the whole sound to -14 LUFS, as video sites do."
    )

    def needed_files(self) -> tuple[NeededFile, ...]:
        return (NeededFile(self.file, "sound"),) if self.file else ()

    def check_files(self, files: Mapping[str, Path]) -> None:
        if self.file is None:
            return
        if self.file not in files:
            raise refuse("The sound file is no longer available. Add it again.")
        track = read_flac(files[self.file])
        if self.start_s >= track.duration_s:
            raise refuse(
                f"The sound file lasts {seconds(track.duration_s)}, so nothing is left from "
                f"{seconds(self.start_s)} on. Choose an earlier start."
            )

    def describe_files(
        self, sources: Sequence[StreamInfo], files: Mapping[str, Path]
    ) -> tuple[str, ...]:
        if self.file is None or self.file not in files or self.loop:
            return ()
        track = read_flac(files[self.file])
        end_s = Fraction(self.at_s) + track.duration_s - Fraction(self.start_s)
        if all(end_s >= source.duration_s for source in sources):
            return ()
        return (f"The soundtrack ends after {seconds(end_s)}, before the clip does.",)

    def output(self, source: StreamInfo) -> StreamInfo:
        if self.file is None:
            if not source.channels:
                raise refuse("This clip has no sound. Add a sound file for a soundtrack.")
            return replace(source, channels=source.channels if self.own_volume else 0)
        if self.at_s >= source.duration_s:
            raise refuse(
                f"The clip lasts {seconds(source.duration_s)}, so the soundtrack cannot begin at "
                f"{seconds(self.at_s)}. Choose an earlier time."
            )
        return replace(source, channels=2)

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        mixed = self._mix(graph, streams.sound, source, context)
        if mixed is None:
            return Streams(streams.video)
        if self.loudness:
            gain: LoudnessGain = context.measurement
            mixed = graph.sound(f"{gain.filters},{exact_sound(source)}", mixed)
        return Streams(streams.video, mixed)

    @property
    def measures(self) -> bool:
        return self.loudness

    def add_measurement(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        mixed = self._mix(graph, streams.sound, source, context)
        if mixed is None:
            return streams
        before: LoudnessGain | None = context.measured.get((context.place, context.clip))
        filters = f"{before.filters},{MEASURE}" if before else MEASURE
        return replace(streams, sound=graph.sound(filters, mixed))

    def read_measurement(self, log: str, folder: Path, context: Context) -> LoudnessGain:
        return next_gain(context.measured.get((context.place, context.clip)), log)

    def measures_again(self, found: Any) -> bool:
        return not found.is_done

    def _mix(
        self, graph: FilterGraph, own: Label | None, source: StreamInfo, context: Context
    ) -> Label | None:
        parts: list[Label] = []
        if own is not None and self.own_volume:
            # one channel is played on both sides at its level; ffmpeg would make it 3 dB quieter
            pan = "pan=stereo|c0=c0|c1=c0," if self.file and source.channels == 1 else ""
            parts.append(graph.sound(f"{pan}volume={self.own_volume:.4f}", own))
        if self.file is not None:
            parts.append(self._soundtrack(graph, source, context.files[self.file]))
        if len(parts) < 2:
            return parts[0] if parts else None
        return graph.sound(
            f"amix=inputs=2:normalize=0:duration=longest,{exact_sound(source)}", *parts
        )

    def _soundtrack(self, graph: FilterGraph, source: StreamInfo, path: Path) -> Label:
        track = read_flac(path)
        number = graph.add_input(
            *("-protocol_whitelist", "file", "-f", "flac", "-codec_whitelist", "flac"),
            *("-t", str(SOUND_LIMIT_S), "-i", f"file:{path.absolute()}"),
        )
        start, silence = samples_at(Fraction(self.start_s)), samples_at(Fraction(self.at_s))
        wanted = max(1, source.num_samples - silence)
        left = max(1, samples_at(track.duration_s) - start)
        filters = [f"aresample={SOUND_RATE_HZ}"]
        if track.channels == 1:
            filters.append("pan=stereo|c0=c0|c1=c0")
        filters += [
            "aformat=sample_fmts=fltp:channel_layouts=stereo",
            f"atrim=start_sample={start}",
        ]
        filters.append("asetpts=N/SR/TB")
        if self.loop and left < wanted:
            filters.append(f"aloop=loop=-1:size={left}")
        filters.append(f"atrim=end_sample={wanted},asetpts=N/SR/TB")
        played = wanted if self.loop else min(left, wanted)
        if fade := min(samples_at(Fraction(self.fade_in_s)), played):
            filters.append(f"afade=t=in:start_sample=0:nb_samples={fade}")
        if fade := min(samples_at(Fraction(self.fade_out_s)), played):
            filters.append(f"afade=t=out:start_sample={played - fade}:nb_samples={fade}")
        filters.append(f"volume={self.volume:.4f}")
        if silence:
            filters.append(f"adelay=delays={silence}S:all=1")
        filters.append(exact_sound(source))
        return graph.sound(",".join(filters), graph.stream("sound", f"{number}:a:0"))


@dataclass(frozen=True)
class FlacInfo:
    channels: int
    duration_s: Fraction


def read_flac(path: Path) -> FlacInfo:
    """Reads the header of a stored sound. Raises KinoraError(INVALID_INPUT) for another file."""
    with path.open("rb") as file:
        head = file.read(STREAM_INFO.stop)
    if not head.startswith(FLAC) or len(head) < STREAM_INFO.stop:
        raise refuse("This file is not a sound. Add an MP3, WAV, FLAC, M4A or Ogg file.")
    # 20 bits of rate, 3 of channels, 5 of the sample's size, 36 of the number of samples
    packed = int.from_bytes(head[STREAM_INFO][10:18], "big")
    rate_hz, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    if not rate_hz or not samples:
        raise refuse("This sound is empty or damaged. Add another file.")
    return FlacInfo(channels, Fraction(samples, rate_hz))
