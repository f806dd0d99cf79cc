"""A clip that comes first in the file of another: its frames at the other's pace and size, and its
sound.

Knows clips that were stored here. Does not know what is joined to it, or how a file is written.
"""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from errors import ErrorCode, KinoraError
from media.images import crop_to
from media.videos import CENTRE, find_video, pictures_of
from pipelines.request import Focus
from pipelines.sound import Sound

RATE_HZ = 48_000
CHANNELS = 2
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Lead:
    """`count` frames; `skip` frames of what follows are in it already, and so is their sound."""

    video: str
    folder: Path
    fps: int
    count: int
    width: int
    height: int
    focus: Focus = CENTRE
    skip: int = 0

    def pictures(self) -> Iterator[Image.Image]:
        """Exactly `count`: its last picture is held if it is short."""
        stored = find_video(self.video, self.folder)
        last: Image.Image | None = None
        sent = 0
        for picture in pictures_of(self._file, stored, self.fps, self.count):
            last = crop_to(picture, self.width, self.height, self.focus)
            sent += 1
            yield last
        if last is None:
            raise KinoraError(ErrorCode.INVALID_VIDEO)
        for _ in range(self.count - sent):
            yield last

    def frames(self) -> Iterator[np.ndarray]:
        return (np.asarray(picture.convert("RGB")) for picture in self.pictures())

    def ending(self, count: int) -> tuple[Image.Image, ...]:
        """The last few pictures."""
        return tuple(deque(self.pictures(), maxlen=count))

    def heard_before(self, sound: Sound | None, fps: int) -> Sound | None:
        """Its own sound and then that of what follows; where one is silent, silence as long."""
        rate_hz = sound.rate_hz if sound else RATE_HZ
        channels = sound.samples.shape[0] if sound else CHANNELS
        own = self._sound(rate_hz, channels)
        if own is None and sound is None:
            return None
        own = own or Sound(np.zeros((channels, 0), np.float32), rate_hz)
        after = np.zeros((channels, 0), np.float32)
        if sound is not None:
            after = sound.samples[:, round(self.skip / fps * rate_hz) :]
        before = own.lasting(self.count / fps).samples
        return Sound(np.concatenate([before, after], axis=1), rate_hz)

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.video}.mp4"

    def _sound(self, rate_hz: int, channels: int) -> Sound | None:
        """None where there is no track: only clips that were made here have one."""
        command = [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin"),
            *("-protocol_whitelist", "file,pipe", "-f", "mov", "-i", f"file:{self._file}"),
            *("-map", "0:a:0?", "-ar", str(rate_hz), "-ac", str(channels)),
            *("-f", "f32le", "pipe:1"),
        ]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603  # our own file, no shell
        samples = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], "<f4")
        if done.returncode or samples.size < channels:
            return None
        whole = samples[: samples.size // channels * channels]
        return Sound(whole.reshape(-1, channels).T.copy(), rate_hz)
