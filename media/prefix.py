"""A clip that comes first in the file of another: its frames at the other's pace and size, and its
sound.

Knows clips that were stored here. Does not know what is joined to it, or how a file is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from errors import ErrorCode, KinoraError
from media.images import crop_to
from media.soundtrack import load_sound
from media.videos import CENTRE, find_video, pictures_of
from pipelines.request import Focus
from pipelines.sound import Sound

RATE_HZ = 48_000
CHANNELS = 2


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
        """Its own sound and then that of what follows; where one is silent, silence as long.

        What follows begins with its first picture. The first clip's sound may end a part of a
        frame later: its end is added to what follows rather than cut."""
        stored = find_video(self.video, self.folder)
        rate_hz = sound.rate_hz if sound else RATE_HZ
        channels = sound.samples.shape[0] if sound else stored.channels or CHANNELS
        own = load_sound(self._file, rate_hz, channels)
        if own is None and sound is None:
            return None
        begins = round(self.count / fps * rate_hz)
        after = np.zeros((channels, 0), np.float32)
        if sound is not None:
            after = sound.samples[:, round(self.skip / fps * rate_hz) :]
        before = own.samples if own is not None else after[:, :0]
        both = np.zeros((channels, max(before.shape[1], begins + after.shape[1])), np.float32)
        both[:, : before.shape[1]] = before
        both[:, begins : begins + after.shape[1]] += after
        return Sound(both, rate_hz)

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.video}.mp4"
