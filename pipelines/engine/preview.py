"""Draws moving previews on a thread of their own, with the map of `latent_rgb`."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipelines.engine.latent_rgb import PreviewMap
from pipelines.preview import Preview

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

LONG_SIDE = (192, 320)
"""Smallest and largest long side of a preview in pixels."""
BUDGET = 0.03
"""Share of the sampling time that drawing may take."""
SHORTEST_PAUSE_S = 0.1
MOST_FRAMES = 48


OnPreview = Callable[[Preview], None]


class PreviewStream:
    """Draws the newest latents on its own thread, within a budget of CPU time.

    The first and the last preview are always drawn; others only while the CPU seconds spent so far,
    and one more preview, stay within `BUDGET` of the sampling time so far. A failure switches
    previews off for the run and is logged once.
    """

    def __init__(
        self,
        preview_map: PreviewMap,
        deliver: OnPreview,
        clip_seconds: float,
        clip_latents: int | None = None,
    ) -> None:
        """`clip_latents`: latent frames of the clip, where a preview may show a part of it."""
        self._map = preview_map
        self._deliver = deliver
        self._clip_seconds = clip_seconds
        self._clip_latents = clip_latents
        self._ready = threading.Condition()
        self._pending: tuple[int, torch.Tensor] | None = None
        self._closed = False
        self._failed = False
        self._sampled_s = 0.0
        self._spent_s = 0.0
        self._drawn = 0
        self._last_at = 0.0
        self._thread = threading.Thread(target=self._work, name="previews", daemon=True)

    def __enter__(self) -> PreviewStream:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits for the preview that is being drawn, so that none arrives after the run."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        # a limit, because a stuck drawing must not keep the clip from being decoded
        self._thread.join(timeout=5)

    def is_due(self, index: int, *, last: bool, step_seconds: float) -> bool:
        """Whether a preview is due after this step."""
        self._sampled_s += step_seconds
        if self._failed:
            return False
        if index == 1 or last:
            return True
        # without a measured cost, or while the thread is behind
        if self._drawn == 0 or self._pending is not None:
            return False
        cost = self._spent_s / self._drawn
        paused = time.perf_counter() - self._last_at >= SHORTEST_PAUSE_S
        return paused and self._spent_s + cost <= BUDGET * self._sampled_s

    def submit(self, index: int, latents: Callable[[], torch.Tensor]) -> None:
        """Queues latents [B, C, F, H, W] for drawing, replacing older ones. Never raises or
        blocks."""
        try:
            # unpacked on this thread, which uses the pipeline; only drawing moves to the other
            newest = (index, latents())
        except Exception:  # whatever unpacking raises: the clip needs no previews
            self._fail()
            return
        self._last_at = time.perf_counter()
        with self._ready:
            self._pending = newest
            self._ready.notify()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._pending is not None or self._closed)
                if self._pending is None:
                    return
                (index, latents), self._pending = self._pending, None
            began = time.thread_time()  # CPU time: sampling on all cores delays this thread
            try:
                self._deliver(self._draw(index, latents))
            except Exception:  # whatever drawing or delivering raises, as above
                self._fail()
                return
            self._spent_s += time.thread_time() - began
            self._drawn += 1

    def _draw(self, index: int, latents: torch.Tensor) -> Preview:
        pictures = self._map.pictures(latents[0].float().cpu().numpy())
        share = len(pictures) / self._clip_latents if self._clip_latents else 1.0
        return draw_strip(index, pictures, self._clip_seconds * share)

    def _fail(self) -> None:
        if not self._failed:
            self._failed = True
            log.exception("Drawing a preview failed; previews are off for this run.")


def draw_strip(index: int, pictures: np.ndarray, clip_seconds: float) -> Preview:
    """All pictures (uint8 [F, H, W, 3]) side by side in one JPEG, scaled into `LONG_SIDE`.

    Of more than `MOST_FRAMES`, evenly spaced ones: a longer strip would only be larger.
    """
    if len(pictures) > MOST_FRAMES:
        keep = np.linspace(0, len(pictures) - 1, MOST_FRAMES).round().astype(int)
        pictures = pictures[keep]
    frames, height, width, _ = pictures.shape
    long = max(height, width)
    scale = min(max(long, LONG_SIDE[0]), LONG_SIDE[1]) / long
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    sheet = Image.new("RGB", (size[0] * frames, size[1]))
    for number, picture in enumerate(pictures):
        image = Image.fromarray(picture)
        if size != image.size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        sheet.paste(image, (number * size[0], 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=80)
    return Preview(index, buffer.getvalue(), frames, size[0], size[1], frames / clip_seconds)
