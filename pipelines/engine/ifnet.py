"""IFNet, the network of RIFE, which makes the frame at any moment between two frames.

RIFE: Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation",
arXiv 2011.06294. The authors publish the networks called 4.6 to 4.26 under the MIT licence
(github.com/hzwer/Practical-RIFE). From coarse to fine, each block estimates how both frames move
towards that moment and how they are mixed. The sizes of a network are read from its weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

SCALES = {4: (8, 4, 2, 1), 5: (16, 8, 4, 2, 1)}
"""By the number of blocks: each works at this fraction of the size."""
LITE_SCALES = (32, 16, 8, 4, 1)
LITE_WIDTH = 24
"""The width of the last of five blocks, by which the lite networks of 4.25 and later are known."""
RES_CONVS = 8
FEATURES = 8
"""Channels that a block passes to the next one, since 4.21."""
SLOPE = 0.2
SMALLEST_STRIDE = 4
"""Of a block, at its own scale."""

PREFIXES = ("module.", "flownet.", "model.")
UNUSED = ("teacher.", "caltime.", "block_tea.", "loss.", "vgg.")
"""Parts that exist for training only."""
BLOCK = re.compile(r"blocks?\.?(\d+)\.")
NAMED_CONV = re.compile(r"encode\.cnn(\d+)\.")


class UnknownNetwork(ValueError):
    """The weights are not those of a network of this kind."""


@dataclass(frozen=True)
class IFNetSizes:
    """What distinguishes the published networks."""

    widths: tuple[int, ...]
    """Channels of each block."""
    passes_features: bool
    encoder: tuple[int, ...] = ()
    """Channels of the encoder of frames, the last of which the blocks see; empty: no encoder."""
    encoder_activates: bool = True

    @property
    def scales(self) -> tuple[int, ...]:
        if len(self.widths) == 5 and self.widths[-1] == LITE_WIDTH:
            return LITE_SCALES
        return SCALES[len(self.widths)]

    @property
    def multiple(self) -> int:
        """Width and height of the frames are padded to multiples of this."""
        return self.scales[0] * SMALLEST_STRIDE

    def input_channels(self, block: int) -> int:
        # both frames, what is encoded of them, and the moment
        channels = 2 * 3 + 2 * (self.encoder[-1] if self.encoder else 0) + 1
        if block:  # the mask, the motion, and the features of the block before
            channels += 1 + 4 + (FEATURES if self.passes_features else 0)
        return channels


class ResConv(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.beta = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(self.conv(x) * self.beta + x, SLOPE)


class FlowBlock(nn.Module):
    """Refines motion, mask and features at one scale."""

    def __init__(self, input_channels: int, width: int, passes_features: bool) -> None:
        super().__init__()
        # motion and mask; one more channel stayed unused where there are no features
        outputs = 4 + 1 + FEATURES if passes_features else 6
        self.conv0 = nn.Sequential(
            _strided(input_channels, width // 2), _strided(width // 2, width)
        )
        self.convblock = nn.Sequential(*(ResConv(width) for _ in range(RES_CONVS)))
        self.lastconv = nn.Sequential(
            nn.ConvTranspose2d(width, 4 * outputs, 4, 2, 1), nn.PixelShuffle(2)
        )

    def forward(
        self, x: torch.Tensor, flow: torch.Tensor | None, scale: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x: [B, C, H, W]; flow: [B, 4, H, W] in pixels. Returns the change of the flow, the mask
        [B, 1, H, W] before its sigmoid, and the features."""
        x = _resized(x, 1 / scale)
        if flow is not None:
            x = torch.cat((x, _resized(flow, 1 / scale) / scale), 1)
        found = _resized(self.lastconv(self.convblock(self.conv0(x))), scale)
        return found[:, :4] * scale, found[:, 4:5], found[:, 5:]


class IFNet(nn.Module):
    def __init__(self, sizes: IFNetSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.blocks = nn.ModuleList(
            FlowBlock(sizes.input_channels(number), width, sizes.passes_features)
            for number, width in enumerate(sizes.widths)
        )
        if sizes.encoder:
            self.encode = _encoder(sizes)

    def encoded(self, frame: torch.Tensor) -> torch.Tensor | None:
        """What the blocks see of a frame beside its pixels. frame: [B, 3, H, W] in 0..1."""
        return self.encode(frame) if self.sizes.encoder else None

    def forward(
        self,
        before: torch.Tensor,
        after: torch.Tensor,
        encoded: tuple[torch.Tensor | None, torch.Tensor | None],
        moment: float,
        check: Callable[[], None] = lambda: None,
    ) -> torch.Tensor:
        """The frame at `moment`, between 0 (`before`) and 1 (`after`): [B, 3, H, W] in 0..1.

        Both sides must be multiples of `sizes.multiple`. `check` is called between blocks; what it
        raises stops the work.
        """
        time = before.new_full((before.shape[0], 1, *before.shape[2:]), moment)
        extra = [each for each in encoded if each is not None]
        flow = mask = features = None
        moved = before, after
        for number, block in enumerate(self.blocks):
            check()
            scale = self.sizes.scales[number]
            if flow is None or mask is None or features is None:
                x = torch.cat((before, after, *extra, time), 1)
                flow, mask, features = block(x, None, scale)
            else:
                sides = flow[:, :2], flow[:, 2:4]
                moved_extra = (warp(e, side) for e, side in zip(extra, sides, strict=False))
                parts = [*moved, *moved_extra, time, mask]
                if self.sizes.passes_features:
                    parts.append(features)
                change, new_mask, features = block(torch.cat(parts, 1), flow, scale)
                flow = flow + change
                # without an encoder (4.6), each block corrects the mask of the one before
                mask = new_mask if self.sizes.encoder else mask + new_mask
            moved = warp(before, flow[:, :2]), warp(after, flow[:, 2:4])
        if mask is None:
            raise ValueError("a network without blocks")
        share = mask.sigmoid()
        return moved[0] * share + moved[1] * (1 - share)


def warp(frame: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """The values of `frame`, [B, C, H, W], at each pixel's place plus its flow, [B, 2, H, W] as
    (right, down) in pixels. Beyond the border, the border's values are repeated."""
    height, width = frame.shape[2:]
    columns = torch.linspace(-1, 1, width, device=flow.device).expand(height, width)
    rows = torch.linspace(-1, 1, height, device=flow.device)[:, None].expand(height, width)
    x = columns + flow[:, 0] * (2 / max(width - 1, 1))
    y = rows + flow[:, 1] * (2 / max(height - 1, 1))
    grid = torch.stack((x, y), -1)
    return functional.grid_sample(
        frame, grid, mode="bilinear", padding_mode="border", align_corners=True
    )


def load_ifnet(weights: Mapping[str, torch.Tensor]) -> IFNet:
    """A network with these weights, under any of the names that are published.

    Raises UnknownNetwork where names or shapes differ from RIFE 4.6 and later.
    """
    named = {
        name: tensor.float()
        for name, tensor in ((_plain_name(name), tensor) for name, tensor in weights.items())
        if name is not None
    }
    network = IFNet(read_sizes({name: tuple(each.shape) for name, each in named.items()}))
    try:
        network.load_state_dict(named)
    except RuntimeError as error:
        raise UnknownNetwork("weights are missing, or too many") from error
    return network.eval()


def read_sizes(shapes: Mapping[str, tuple[int, ...]]) -> IFNetSizes:
    """shapes: by the names that IFNet itself has. Raises UnknownNetwork."""
    try:
        count = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks."))
        widths = tuple(shapes[f"blocks.{n}.conv0.1.0.weight"][0] for n in range(count))
        outputs = shapes["blocks.0.lastconv.0.weight"][1]
        convs = sorted(
            int(name.split(".")[1])
            for name in shapes
            if name.startswith("encode.") and name.endswith(".weight")
        )
        # a transposed convolution has its output channels second
        encoder = [shapes[f"encode.{n}.weight"][0] for n in convs[:-1]]
        encoder += [shapes[f"encode.{n}.weight"][1] for n in convs[-1:]]
    except (KeyError, ValueError, IndexError) as error:
        raise UnknownNetwork("these are not the weights of an IFNet") from error
    if count not in SCALES or any(width % 2 or not 2 <= width <= 4096 for width in widths):
        raise UnknownNetwork("this IFNet has sizes that no published one has")
    return IFNetSizes(
        widths=widths,
        passes_features=outputs == 4 * (4 + 1 + FEATURES),
        encoder=tuple(encoder),
        encoder_activates=len(convs) < 2 or convs[1] - convs[0] == 2,
    )


def _plain_name(name: str) -> str | None:
    """The name that IFNet has for a published one; None for what only training needs."""
    while prefix := next((each for each in PREFIXES if name.startswith(each)), None):
        name = name[len(prefix) :]
    if name.startswith(UNUSED):
        return None
    name = BLOCK.sub(r"blocks.\1.", name, count=1)
    # `cnn0` to `cnn3` are convolutions with activations between, as in a Sequential
    return NAMED_CONV.sub(lambda found: f"encode.{2 * int(found[1])}.", name)


def _encoder(sizes: IFNetSizes) -> nn.Sequential:
    first, *middle, last = sizes.encoder
    layers: list[nn.Module] = [nn.Conv2d(3, first, 3, 2, 1)]
    before = first
    for channels in middle:
        layers.append(nn.Conv2d(before, channels, 3, 1, 1))
        before = channels
    layers.append(nn.ConvTranspose2d(before, last, 4, 2, 1))
    if not sizes.encoder_activates:
        return nn.Sequential(*layers)
    activated = [part for layer in layers for part in (layer, nn.LeakyReLU(SLOPE))]
    return nn.Sequential(*activated[:-1])


def _strided(input_channels: int, output_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(input_channels, output_channels, 3, 2, 1), nn.LeakyReLU(SLOPE))


def _resized(x: torch.Tensor, factor: float) -> torch.Tensor:
    if factor == 1:
        return x
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
