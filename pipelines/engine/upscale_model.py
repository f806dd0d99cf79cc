"""Makes frames larger with a network from a file of weights, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

from pipelines.engine.frame_networks import FrameNetwork, to_frame, to_tensor
from pipelines.engine.upscale_networks import (
    CompactNetwork,
    RRDBNetwork,
    UnknownUpscaler,
    load_upscale_network,
)
from pipelines.models.failures import Reason, failure

TILE = {"cuda": 512, "cpu": 256}
"""Pixels of a tile's side before it is upscaled, without its margin."""
MOST_MARGIN = 32
"""Pixels around a tile that are computed and cut off, so that no seam is seen."""


@dataclass(frozen=True)
class UpscaleNetworkKind:
    """A network, and what tiles have to respect."""

    network: torch.nn.Module
    forward: Callable[[torch.Tensor], torch.Tensor]
    scale: int
    multiple: int = 1
    """Sides of a tile are padded to multiples of this."""
    margin: int = MOST_MARGIN


class Span(NamedTuple):
    """One side of a tile, in pixels of the frame: with its margin, and what is kept of it."""

    start: int
    end: int
    kept_start: int
    kept_end: int

    def kept(self, scale: int) -> slice:
        """What is kept, in pixels of the upscaled tile."""
        return slice((self.kept_start - self.start) * scale, (self.kept_end - self.start) * scale)

    def place(self, scale: int) -> slice:
        """Where that belongs in the upscaled frame."""
        return slice(self.kept_start * scale, self.kept_end * scale)


class UpscaleModel:
    """A media.operations.frame_models.FrameUpscaler."""

    def __init__(self, kind: UpscaleNetworkKind, device: torch.device) -> None:
        self._kind = kind
        self._runner = FrameNetwork(kind.network, device)
        self.scale = kind.scale

    def upscale(self, frame: np.ndarray, check: Callable[[], None]) -> np.ndarray:
        return self._runner.run(lambda device: self._upscale(frame, device, check))

    def release(self) -> None:
        self._runner.release()

    def _upscale(
        self, frame: np.ndarray, device: torch.device, check: Callable[[], None]
    ) -> np.ndarray:
        height, width, _ = frame.shape
        scale = self.scale
        large = np.empty((height * scale, width * scale, 3), np.uint8)
        for y in self._spans(height, device):
            for x in self._spans(width, device):
                check()
                pixels = to_tensor(frame[y.start : y.end, x.start : x.end], device)
                tile = to_frame(self._forward(pixels))
                large[y.place(scale), x.place(scale)] = tile[y.kept(scale), x.kept(scale)]
        return large

    def _forward(self, pixels: torch.Tensor) -> torch.Tensor:
        height, width = pixels.shape[2:]
        down, right = -height % self._kind.multiple, -width % self._kind.multiple
        if down or right:
            pixels = functional.pad(pixels, (0, right, 0, down), mode="replicate")
        made = self._kind.forward(pixels)
        return made[..., : height * self.scale, : width * self.scale]

    def _spans(self, size: int, device: torch.device) -> Iterator[Span]:
        tile = TILE[device.type]
        margin = -(-self._kind.margin // self._kind.multiple) * self._kind.multiple
        for start in range(0, size, tile):
            end = min(start + tile, size)
            # no margin beyond the frame: there, the network pads as it does for a whole frame
            yield Span(max(0, start - margin), min(size, end + margin), start, end)


def load_upscale_model(path: Path, name: str, device: torch.device) -> UpscaleModel:
    """Raises KinoraError(MODEL_REFUSED) for weights of another kind, or of a network for which a
    package is missing."""
    weights = load_file(path)
    try:
        network = load_upscale_network(weights)
    except UnknownUpscaler:
        return UpscaleModel(_load_with_spandrel(weights, name), device)
    match network:
        case CompactNetwork():
            # the margin that a pixel depends on, so that tiles change nothing at all
            margin = min(MOST_MARGIN, (len(network.body) + 1) // 2)
            kind = UpscaleNetworkKind(network, network, network.scale, margin=margin)
        case RRDBNetwork():
            kind = UpscaleNetworkKind(network, network, network.scale, network.fold)
    return UpscaleModel(kind, device)


def _load_with_spandrel(weights: Mapping[str, torch.Tensor], name: str) -> UpscaleNetworkKind:
    try:
        from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
    except ImportError as error:
        raise failure(Reason.NEEDS_PACKAGE, name, "spandrel") from error
    try:
        # a plain dictionary of tensors: nothing is unpickled
        found: Any = ModelLoader().load_from_state_dict(dict(weights))
    except UnsupportedModelError as error:
        raise failure(Reason.WRONG_KIND, name, "network that spandrel does not have") from error
    is_upscaler = isinstance(found, ImageModelDescriptor)
    if not is_upscaler or (found.input_channels, found.output_channels) != (3, 3):
        raise failure(Reason.WRONG_KIND, name, "model for something else than frames")
    found.model.eval()
    return UpscaleNetworkKind(found.model, found, found.scale)
