"""The stored clip that a continuation starts with, at the continuation's rate and size."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from errors import ErrorCode, KinoraError
from media.ffmpeg import SOUND_RATE_HZ
from media.images import crop_to
from media.soundtrack import load_sound
from media.videos import CENTRE, find_video, read_images
from pipelines.request import Focus
from pipelines.sound import Sound

DEFAULT_CHANNELS = 2


@dataclass(frozen=True)
class LeadIn:
    """The first `count` frames of the file. The new frames overlap them: `skip` frames of what
    follows, with their sound, are already in here. With a `count` of 0 the file is without it: then
    it is only what the model continues from."""

    video: str
    folder: Path
    fps: int
    count: int
    width: int
    height: int
    focus: Focus = CENTRE
    skip: int = 0

    def images(self) -> Iterator[Image.Image]:
        """Yields exactly `count` images; repeats the last one if the clip is shorter."""
        if self.count:
            yield from self._images(self.count)

    def _images(self, count: int) -> Iterator[Image.Image]:
        stored = find_video(self.video, self.folder)
        last: Image.Image | None = None
        yielded = 0
        for picture in read_images(self._file, stored, self.fps, count):
            last = crop_to(picture, self.width, self.height, self.focus)
            yielded += 1
            yield last
        if last is None:
            raise KinoraError(ErrorCode.INVALID_VIDEO)
        for _ in range(count - yielded):
            yield last

    def frames(self) -> Iterator[np.ndarray]:
        return (np.asarray(picture.convert("RGB")) for picture in self.images())

    def last_images(self, count: int) -> tuple[Image.Image, ...]:
        """The last `count` images, which the model continues from."""
        return tuple(deque(self._images(self.count or self._whole), maxlen=count))

    @property
    def _whole(self) -> int:
        """The frames of the whole clip, at the new frame rate."""
        return max(1, math.floor(find_video(self.video, self.folder).seconds * self.fps + 0.5))

    def prepend_sound(self, sound: Sound | None, fps: int) -> Sound | None:
        """This clip's sound followed by `sound`, with silence where either has none.

        `sound` starts with the first new frame. This clip's sound may end a fraction of a frame
        later: the overlap is mixed rather than cut."""
        stored = find_video(self.video, self.folder)
        rate_hz = sound.rate_hz if sound else SOUND_RATE_HZ
        channels = sound.samples.shape[0] if sound else stored.channels or DEFAULT_CHANNELS
        own = load_sound(self._file, rate_hz, channels) if self.count else None
        if own is None and sound is None:
            return None
        start = round(self.count / fps * rate_hz)
        after = np.zeros((channels, 0), np.float32)
        if sound is not None:
            after = sound.samples[:, round(self.skip / fps * rate_hz) :]
        before = own.samples if own is not None else after[:, :0]
        joined = np.zeros((channels, max(before.shape[1], start + after.shape[1])), np.float32)
        joined[:, : before.shape[1]] = before
        joined[:, start : start + after.shape[1]] += after
        return Sound(joined, rate_hz)

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.video}.mp4"
