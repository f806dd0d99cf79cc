"""Makes frames between two frames with RIFE (ifnet.py), from a file of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

from pipelines.engine.frame_networks import FrameNetwork, to_frame, to_tensor
from pipelines.engine.ifnet import IFNet, UnknownNetwork, load_ifnet
from pipelines.models.failures import Reason, failure

Side = tuple[np.ndarray, torch.Tensor, torch.Tensor | None]
"""A frame, its padded pixels, and what the network's encoder makes of them."""


class InterpolationModel:
    """A media.operations.frame_models.FrameInterpolator."""

    def __init__(self, network: IFNet, device: torch.device) -> None:
        self._network = network
        self._runner = FrameNetwork(network, device)
        self._known: tuple[Side, ...] = ()

    def between(
        self,
        before: np.ndarray,
        after: np.ndarray,
        moments: Sequence[float],
        check: Callable[[], None],
    ) -> Iterator[np.ndarray]:
        for moment in moments:
            check()
            make = partial(self._frame_at, before, after, moment, check)
            yield self._runner.run(make)

    def release(self) -> None:
        self._known = ()
        self._runner.release()

    def _frame_at(
        self,
        before: np.ndarray,
        after: np.ndarray,
        moment: float,
        check: Callable[[], None],
        device: torch.device,
    ) -> np.ndarray:
        height, width = before.shape[:2]
        # both serve several moments, and the frame after is the frame before of the next pair
        first, second = (self._side(frame, device) for frame in (before, after))
        self._known = first, second
        made = self._network(first[1], second[1], (first[2], second[2]), moment, check)
        return to_frame(made[..., :height, :width])

    def _side(self, frame: np.ndarray, device: torch.device) -> Side:
        for known in self._known:
            if known[0] is frame and known[1].device.type == device.type:
                return known
        pixels = to_tensor(frame, device)
        multiple = self._network.sizes.multiple
        down, right = (-size % multiple for size in frame.shape[:2])
        pixels = functional.pad(pixels, (0, right, 0, down), mode="replicate")
        return frame, pixels, self._network.encoded(pixels)


def load_interpolation_model(path: Path, name: str, device: torch.device) -> InterpolationModel:
    """Raises KinoraError(MODEL_REFUSED) for weights of another network."""
    try:
        return InterpolationModel(load_ifnet(load_file(path)), device)
    except UnknownNetwork as error:
        raise failure(Reason.WRONG_KIND, name, "network that is not RIFE 4.6 or later") from error
