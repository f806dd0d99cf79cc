"""Runs small networks on single frames: on the GPU while it has room, else on the CPU."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from pipelines.engine.memory import free_memory
from pipelines.models.failures import is_out_of_memory

log = logging.getLogger(__name__)

T = TypeVar("T")
CPU = torch.device("cpu")


class FrameNetwork:
    """A network in float32, which is on the GPU only while a clip is edited. Thread-safe."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self._network = network.eval()
        self._wanted = self._device = device
        self._busy = threading.Lock()

    def run(self, work: Callable[[torch.device], T]) -> T:
        """Calls `work` with the device that its tensors belong on: on the CPU, until `release`,
        once the GPU was out of memory."""
        with self._busy, torch.inference_mode():
            if self._device.type != "cpu":
                try:
                    self._network.to(self._device)
                    return work(self._device)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    log.warning("Out of GPU memory while editing frames; using the CPU.")
                # outside `except`, whose traceback keeps the tensors of the failed attempt alive
                self._device = CPU
                self._network.to(CPU)
                free_memory()
            return work(CPU)

    def release(self) -> None:
        """Moves the network to main memory."""
        with self._busy:
            self._device = self._wanted
            if self._device.type != "cpu":
                self._network.to(CPU)
                free_memory()


def to_tensor(frame: np.ndarray, device: torch.device) -> torch.Tensor:
    """[1, 3, H, W] in 0..1, of uint8 [H, W, 3]."""
    copied = torch.from_numpy(np.array(frame))  # frames from a pipe cannot be written
    return copied.to(device).permute(2, 0, 1)[None].float() / 255


def to_frame(pixels: torch.Tensor) -> np.ndarray:
    """uint8 [H, W, 3], of [1, 3, H, W] in 0..1."""
    levels = (pixels[0].clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().numpy()
