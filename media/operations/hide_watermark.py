"""Hide the server's watermark in an edit. Not offered: the worker adds it as the last step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from media.invisible_watermark import InvisibleWatermark
from media.operations.operation import FrameOperation, FrameTools, StreamInfo


class HideWatermark(FrameOperation):
    title: ClassVar[str] = "Hide a watermark"
    op: Literal["hide_watermark"] = "hide_watermark"
    text: str

    def output(self, source: StreamInfo) -> StreamInfo:
        return source

    def cost(self, source: StreamInfo) -> float:
        return 1.0

    def change_frames(
        self, frames: Iterator[np.ndarray], source: StreamInfo, tools: FrameTools
    ) -> Iterator[np.ndarray]:
        for frame in InvisibleWatermark(self.text).draw_on_each(frames):
            tools.check()
            yield frame
