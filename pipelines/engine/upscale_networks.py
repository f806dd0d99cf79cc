"""The two networks of Real-ESRGAN, which most published upscalers have.

Compact: a row of convolutions, small and steady enough for video (realesr-animevideov3,
realesr-general-x4v3 and many others). RRDB: residual dense blocks (RealESRGAN_x2plus and x4plus).
Wang et al., "Real-ESRGAN", arXiv 2107.10833; "ESRGAN", arXiv 1809.00219. Their sizes are read from
the weights. Other networks are loaded through spandrel, where it is installed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

SLOPE = 0.2
PREFIXES = ("module.", "params_ema.", "params.", "model.")
COMPACT = ("body.0.weight", "body.1.weight", "body.2.weight")
RRDB = ("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight")
COLOURS = 3


class UnknownUpscaler(ValueError):
    """The weights are not those of a network of this kind."""


class CompactNetwork(nn.Module):
    def __init__(self, width: int, convs: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(COLOURS, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(convs):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        layers.append(nn.Conv2d(width, COLOURS * scale**2, 3, padding=1))
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] in 0..1 to [B, 3, scale * H, scale * W]."""
        base = functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        return functional.pixel_shuffle(self.body(x), self.scale) + base


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the results of all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for number in range(1, 6):
            outputs = width if number == 5 else growth
            conv = nn.Conv2d(width + (number - 1) * growth, outputs, 3, padding=1)
            self.add_module(f"conv{number}", conv)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = [x]
        for number in range(1, 5):
            made = self.get_submodule(f"conv{number}")(torch.cat(seen, 1))
            seen.append(functional.leaky_relu(made, SLOPE))
        return self.get_submodule("conv5")(torch.cat(seen, 1)) * 0.2 + x


class ResidualBlock(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class RRDBNetwork(nn.Module):
    """Works at a quarter of the size that comes out: smaller factors fold pixels into channels."""

    def __init__(self, width: int, growth: int, blocks: int, fold: int) -> None:
        super().__init__()
        self.scale, self.fold = 4 // fold, fold
        self.conv_first = nn.Conv2d(COLOURS * fold**2, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, COLOURS, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] in 0..1 to [B, 3, scale * H, scale * W]; sides are multiples of `fold`."""
        folded = functional.pixel_unshuffle(x, self.fold) if self.fold > 1 else x
        x = self.conv_first(folded)
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            larger = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = functional.leaky_relu(conv(larger), SLOPE)
        return self.conv_last(functional.leaky_relu(self.conv_hr(x), SLOPE))


UpscaleNetwork = CompactNetwork | RRDBNetwork


def load_upscale_network(weights: Mapping[str, torch.Tensor]) -> UpscaleNetwork:
    """Raises UnknownUpscaler where names or shapes are those of another network."""
    named = {_plain_name(name): tensor.float() for name, tensor in weights.items()}
    try:
        if all(name in named for name in COMPACT) and named["body.1.weight"].ndim == 1:
            network = _compact_of(named)
        elif all(name in named for name in RRDB):
            network = _rrdb_of(named)
        else:
            raise UnknownUpscaler("neither Compact nor RRDB")
        network.load_state_dict(named)
    except (KeyError, RuntimeError, ZeroDivisionError) as error:
        raise UnknownUpscaler("sizes that no such network has") from error
    return network.eval()


def _compact_of(named: Mapping[str, torch.Tensor]) -> CompactNetwork:
    last = max(int(found[1]) for name in named if (found := re.match(r"body\.(\d+)\.", name)))
    width, scale = named["body.0.weight"].shape[0], named[f"body.{last}.weight"].shape[0] / COLOURS
    if not math.sqrt(scale).is_integer() or not 1 <= scale <= 64:
        raise UnknownUpscaler("a factor that is not whole")
    return CompactNetwork(width, (last - 2) // 2, int(math.sqrt(scale)))


def _rrdb_of(named: Mapping[str, torch.Tensor]) -> RRDBNetwork:
    width, inputs = named["conv_first.weight"].shape[:2]
    growth = named["body.0.rdb1.conv1.weight"].shape[0]
    blocks = 1 + max(int(found[1]) for name in named if (found := re.match(r"body\.(\d+)\.", name)))
    fold = math.sqrt(inputs / COLOURS)
    if fold not in (1, 2, 4):
        raise UnknownUpscaler("pixels are folded in another way")
    return RRDBNetwork(width, growth, blocks, int(fold))


def _plain_name(name: str) -> str:
    while prefix := next((each for each in PREFIXES if name.startswith(each)), None):
        name = name[len(prefix) :]
    return name
