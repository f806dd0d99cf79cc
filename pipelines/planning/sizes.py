"""Counts a model's parameters by component, from safetensors headers or from its card.

Reads headers only, a few kilobytes each.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.models.cards import ModelCard
from pipelines.models.safetensors_header import read_header
from pipelines.planning.device import GIB

GUESSED_SHARES = {"transformer": 0.55, "text_encoder": 0.40, "vae": 0.05}
"""Assumed shares of a download of which only the size is known."""

ENCODERS = ("text_encoder", "image_encoder")
DECODERS = ("vae", "audio_vae", "vocoder", "image_processor", "safety_checker")


@dataclass(frozen=True)
class Sizes:
    """Parameters by component, as `model_index.json` names them."""

    parameters: Mapping[str, float]
    is_guess: bool = False
    """Only the size of the download is known."""

    @property
    def total(self) -> float:
        return sum(self.parameters.values())

    @property
    def denoisers(self) -> dict[str, float]:
        """The components that run at every step: a transformer or UNet, or two experts."""
        # whatever is no encoder or decoder, because denoisers have many names
        others = (*ENCODERS, *DECODERS)
        return {n: p for n, p in self.parameters.items() if not n.startswith(others)}

    @property
    def encoders(self) -> dict[str, float]:
        return {n: p for n, p in self.parameters.items() if n.startswith(ENCODERS)}

    @property
    def decoders(self) -> dict[str, float]:
        return {n: p for n, p in self.parameters.items() if n.startswith(DECODERS)}

    @property
    def denoiser(self) -> float:
        return max(self.denoisers.values(), default=0.0)

    @property
    def hidden(self) -> float:
        """The width of a transformer with so many parameters: about 14 of them per width squared
        and block, in about 30 blocks. Within 20 % for those we have cards for."""
        return math.sqrt(max(self.denoiser, 1.0) / (14 * 30))


def model_sizes(card: ModelCard) -> Sizes:
    """From the local files, else from the card's `billions`, else guessed from its `disk_gb`."""
    folder = card.local_path
    if folder is not None and (parameters := folder_parameters(folder)):
        return Sizes(parameters)
    if card.needs.billions:
        return Sizes({name: b * 1e9 for name, b in card.needs.billions.items()})
    total = card.needs.disk_gb * GIB / 2  # two bytes for a parameter
    return Sizes({n: total * share for n, share in GUESSED_SHARES.items()}, is_guess=True)


@functools.lru_cache(maxsize=64)
def folder_parameters(folder: Path) -> dict[str, float]:
    """Parameters by component of a diffusers folder; variants (`.fp16.`) are not counted twice."""
    found: dict[str, float] = {}
    for component in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = sorted(component.glob("*.safetensors"))
        plain = [f for f in files if f.name.count(".") == 1]
        if count := sum(_file_parameters(file) for file in plain or files):
            found[component.name] = float(count)
    return found


def _file_parameters(file: Path) -> int:
    """0 for a file that is incomplete or no safetensors file."""
    try:
        return read_header(file).parameters
    except (OSError, ValueError):
        return 0
