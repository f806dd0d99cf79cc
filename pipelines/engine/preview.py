"""Moving previews: a latent-to-RGB map fitted once per VAE, and the thread that draws with it.

The map is least squares from one latent position to a small patch of pixels, learned from
synthetic clips that the VAE itself encodes: no factor tables. Knows no sampler and no job.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipelines.engine.latent_rgb import PreviewMap, log
from pipelines.preview import Preview

if TYPE_CHECKING:
    import torch


LONG_SIDE = (192, 320)
BUDGET = 0.03
SHORTEST_PAUSE_S = 0.1
MOST_FRAMES = 48


OnPreview = Callable[[Preview], None]


class PreviewStream:
    """Draws on its own thread, only ever the newest, and only while it costs next to nothing.

    The first and the last preview are always drawn; those between only while the seconds of CPU
    spent so far, and one more preview, stay within `BUDGET` of the time sampled so far.
    """

    def __init__(self, preview_map: PreviewMap, deliver: OnPreview, clip_seconds: float) -> None:
        self._map = preview_map
        self._deliver = deliver
        self._clip_seconds = clip_seconds
        self._ready = threading.Condition()
        self._pending: tuple[int, torch.Tensor] | None = None
        self._closed = False
        self._failed = False
        self._sampled_s = 0.0
        self._spent_s = 0.0
        self._drawn = 0
        self._last_at = 0.0
        self._thread = threading.Thread(target=self._work, name="previews", daemon=True)

    @property
    def spent_s(self) -> float:
        """Seconds of CPU so far."""
        return self._spent_s

    def __enter__(self) -> PreviewStream:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the preview being drawn, so that none comes after the run."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join(timeout=5)

    def wants(self, index: int, *, last: bool, step_seconds: float) -> bool:
        """Is a preview due after this step?"""
        self._sampled_s += step_seconds
        if self._failed:
            return False
        if index == 1 or last:
            return True
        if self._drawn == 0 or self._pending is not None:
            return False
        cost = self._spent_s / self._drawn
        paused = time.perf_counter() - self._last_at >= SHORTEST_PAUSE_S
        return paused and self._spent_s + cost <= BUDGET * self._sampled_s

    def offer(self, index: int, latents: Callable[[], torch.Tensor]) -> None:
        """Never fails and never waits for the drawing."""
        try:
            newest = (index, latents())
        except Exception:  # logged once; the clip goes on without previews
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
            began = time.thread_time()
            try:
                self._deliver(self._draw(index, latents))
            except Exception:  # logged once; the clip goes on without previews
                self._fail()
                return
            self._spent_s += time.thread_time() - began
            self._drawn += 1

    def _draw(self, index: int, latents: torch.Tensor) -> Preview:
        pictures = self._map.pictures(latents[0].float().cpu().numpy())
        return strip(index, pictures, self._clip_seconds)

    def _fail(self) -> None:
        """Once is enough to know; the run goes on without previews."""
        if not self._failed:
            self._failed = True
            log.exception("Drawing a preview failed; previews are off for this run.")


def strip(index: int, pictures: np.ndarray, clip_seconds: float) -> Preview:
    """All pictures side by side in one JPEG, at a size that is pleasant to look at."""
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
