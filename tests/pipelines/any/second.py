"""The same task at another size and length: what is made, and is it the same?"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.pipelines.any import clip as first
from tests.pipelines.any import plain
from tests.pipelines.any.kinora import KinoraError

WIDTH, HEIGHT, FRAMES = 96, 64, 13
"""Not square, so that sides that are mistaken for one another are seen."""


class SecondClip(first.Clip):
    """Of the nearest legal size. Says nothing that the first clip says already."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        m, size, frames = self.card.limits, self.card.rules.size, self.card.rules.frames
        self.width = size.nearest(WIDTH, m.min_width, m.max_width)
        self.height = size.nearest(HEIGHT, m.min_height, m.max_height)
        self.count = frames.nearest(FRAMES, m.min_frames, m.max_frames)

    def say(self, kind: str, check: str, words: str) -> None:
        if not self.report.has(self.task.value, check):
            super().say(kind, f"second-{check}", f"{self.width}x{self.height}: {words}")

    def checked(self, *checks: str) -> None:
        super().checked(*(f"second-{check}" for check in checks))

    def plain_fails(self, why: str) -> None:
        pass  # said of the first clip, or this size is none of this tiny model's

    def examine(self) -> None:
        was_made = "@" in self.report.clips.get(self.task.value, "")
        if not was_made or self.width * self.height * self.count > first.MOST_PIXELS:
            return
        request, clip = self._request(self.kinora)
        with plain.recorded(self.classes) as calls:
            try:
                fitted = self.kinora.fitted(request, self.card, clip)
                result, folder = self.kinora.run(fitted, [], first.Person())
            except KinoraError as error:
                below = error.__cause__ or error.message
                self.say("E", "clip", f"{self.count} frames: {below}")
                return
        self.checked("clip")
        self._promised(fitted, result, folder)
        self._equal(fitted, calls.seen, folder, set())

    def _effects(
        self, pipe: Any, arguments: dict[str, Any], frames: np.ndarray, said: set[str]
    ) -> None:
        """Seen in the first clip."""
