"""Tiny networks for edits with random weights, saved as the Hub has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PUBLISHED = {
    "blocks.": "module.block",
    "encode.0.": "module.encode.cnn0.",
    "encode.2.": "module.encode.cnn1.",
    "encode.4.": "module.encode.cnn2.",
    "encode.6.": "module.encode.cnn3.",
}
"""The names of RIFE 4.13 to 4.26, by those of our IFNet."""


def published_names(weights: dict[str, Any]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for name, tensor in weights.items():
        start = next(each for each in PUBLISHED if name.startswith(each))
        renamed[PUBLISHED[start] + name[len(start) :]] = tensor
    return renamed


def save_rife(path: Path, seed: int = 0, width: int = 8) -> Path:
    """A network as RIFE 4.25 has it, with few channels."""
    import torch
    from safetensors.torch import save_file

    from pipelines.engine.ifnet import IFNet, IFNetSizes

    torch.manual_seed(seed)
    network = IFNet(IFNetSizes((width,) * 5, passes_features=True, encoder=(4, 4, 4, 4)))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(published_names(network.state_dict()), path)
    return path


def save_upscaler(path: Path, scale: int = 2, seed: int = 0) -> Path:
    """A network as realesr-animevideov3 is one, with few channels."""
    import torch
    from safetensors.torch import save_file

    from pipelines.engine.upscale_networks import CompactNetwork

    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = CompactNetwork(width=8, convs=3, scale=scale).state_dict()
    save_file({f"params.{name}": tensor for name, tensor in weights.items()}, path)
    return path
