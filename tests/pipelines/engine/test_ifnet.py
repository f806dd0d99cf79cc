"""RIFE's network, with random weights: sizes, names, where it takes pixels from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from errors import Cancelled, ErrorCode, KinoraError
from pipelines.engine.ifnet import IFNet, IFNetSizes, UnknownNetwork, load_ifnet, read_sizes, warp
from pipelines.engine.interpolation_model import load_interpolation_model
from tests.edit_networks import published_names, save_rife

CPU = torch.device("cpu")

HEAD_32, HEAD_16 = (32, 32, 32, 8), (16, 16, 16, 4)
PUBLISHED = {
    "4.6": (IFNetSizes((192, 128, 96, 64), False), (7, 12)),
    "4.7": (IFNetSizes((192, 128, 96, 64), False, (16, 4), False), (15, 20)),
    "4.10": (IFNetSizes((192, 128, 96, 64), False, HEAD_32), (23, 28)),
    "4.17 lite": (IFNetSizes((128, 96, 64, 48), False, HEAD_16), (15, 20)),
    "4.22": (IFNetSizes((256, 192, 96, 48), True, HEAD_32), (23, 36)),
    "4.25": (IFNetSizes((192, 128, 96, 64, 32), True, HEAD_16), (15, 28)),
    "4.25 lite": (IFNetSizes((192, 128, 96, 64, 24), True, HEAD_16), (15, 28)),
    "4.26 heavy": (IFNetSizes((192, 128, 96, 64, 32), True, (16, 16, 16, 16)), (39, 52)),
}
"""The sizes of the published networks, and the input channels of their first two blocks."""


def frames(count: int, height: int = 64, width: int = 64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, height, width, generator=generator) for _ in range(count)]


def run(network: IFNet, before: torch.Tensor, after: torch.Tensor, moment: float) -> torch.Tensor:
    with torch.inference_mode():
        encoded = network.encoded(before), network.encoded(after)
        return network(before, after, encoded, moment)


@pytest.mark.parametrize("version", PUBLISHED)
def test_the_sizes_of_the_published_networks_are_read_from_their_weights(version: str) -> None:
    sizes, inputs = PUBLISHED[version]
    with torch.device("meta"):
        network = IFNet(sizes)
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    assert read_sizes(shapes) == sizes
    assert tuple(shapes[f"blocks.{n}.conv0.0.0.weight"][1] for n in (0, 1)) == inputs
    assert sizes.scales[0] == {"4.25 lite": 32}.get(version, 2 ** (len(sizes.widths) - 1))


@pytest.mark.parametrize("prefix", ["", "module.", "flownet.", "flownet.module."])
@pytest.mark.parametrize(
    "sizes",
    [
        IFNetSizes((8, 8, 8, 8), False),
        IFNetSizes((8, 8, 8, 8), False, (4, 4), False),
        IFNetSizes((8, 8, 8, 8), False, (4, 4, 4, 4)),
        IFNetSizes((8, 8, 8, 8, 6), True, (4, 4, 4, 4)),
    ],
)
def test_weights_under_published_names_give_the_same_network(
    prefix: str, sizes: IFNetSizes
) -> None:
    torch.manual_seed(1)
    network = IFNet(sizes).eval()
    weights = network.state_dict()
    named = published_names(weights) if len(sizes.encoder) == 4 else weights
    named = {prefix + name.removeprefix("module."): each for name, each in named.items()}
    named |= {f"{prefix}teacher.conv.weight": torch.zeros(1), "caltime.0.bias": torch.zeros(1)}
    loaded = load_ifnet(named)
    before, after = frames(2)
    made = run(loaded, before, after, 0.3)
    assert torch.equal(made, run(network, before, after, 0.3))
    assert made.shape == before.shape
    assert not torch.allclose(made, run(loaded, before, after, 0.7))


def test_half_precision_weights_are_read() -> None:
    network = IFNet(IFNetSizes((8, 8, 8, 8), False))
    loaded = load_ifnet({name: each.half() for name, each in network.state_dict().items()})
    assert all(each.dtype == torch.float32 for each in loaded.parameters())


def still(sizes: IFNetSizes) -> IFNet:
    """A network that finds no motion and takes half of each frame."""
    network = IFNet(sizes).eval()
    for block in network.blocks:
        for parameter in block.get_submodule("lastconv").parameters():
            parameter.data.zero_()
    return network


@pytest.mark.parametrize("features", [False, True])
def test_without_motion_both_frames_are_mixed(features: bool) -> None:
    network = still(IFNetSizes((8, 8, 8, 8), features, (4, 4)))
    before, after = frames(2)
    torch.testing.assert_close(run(network, before, after, 0.5), (before + after) / 2)


def test_a_found_motion_takes_pixels_from_there() -> None:
    network = still(IFNetSizes((8, 8, 8, 8), False))
    bias = network.blocks[3].get_parameter("lastconv.0.bias")
    # PixelShuffle makes one channel of each four; the order is right, down for both frames
    bias.data[0:4], bias.data[12:16] = 5.0, -2.0
    before, after = frames(2)
    made = run(network, before, after, 0.5)
    inner = slice(8, -8)
    expected = (before.roll(-5, 3) + after.roll(2, 2)) / 2
    torch.testing.assert_close(
        made[..., inner, inner], expected[..., inner, inner], atol=1e-4, rtol=0
    )


def test_warp_repeats_the_border() -> None:
    frame = torch.arange(12.0).reshape(1, 1, 3, 4)
    flow = torch.zeros(1, 2, 3, 4)
    flow[:, 0] = 100
    torch.testing.assert_close(warp(frame, flow)[0, 0], frame[0, 0, :, 3:].expand(3, 4))


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    good = load_file(save_rife(tmp_path / "rife.safetensors"))
    for change in (
        {},
        {"conv_first.weight": torch.zeros(4, 3, 3, 3)},
        {name: each for name, each in good.items() if "block2" not in name},
        {name: each for name, each in good.items() if not name.endswith("beta")},
        good | {"module.block9.conv0.1.0.weight": torch.zeros(4, 4, 3, 3)},
        good | {"module.block0.conv0.0.0.weight": torch.zeros(4, 9, 3, 3)},
        good | {"module.contextnet.weight": torch.zeros(1)},
    ):
        with pytest.raises(UnknownNetwork):
            load_ifnet(change)


@pytest.mark.parametrize("size", [(64, 64), (37, 91), (2, 3)])
def test_the_model_makes_frames_of_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    path = save_rife(tmp_path / "rife.safetensors")
    model = load_interpolation_model(path, "somebody/rife", CPU)
    before, after = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    made = list(model.between(before, after, [0.25, 0.5], lambda: None))
    assert [frame.shape for frame in made] == [(*size, 3)] * 2
    assert all(frame.dtype == np.uint8 for frame in made)
    again = load_interpolation_model(path, "somebody/rife", CPU)
    # what was kept of a frame for the next moment changes nothing
    assert (next(iter(again.between(before, after, [0.5], lambda: None))) == made[1]).all()


def test_it_can_be_stopped_within_a_frame(tmp_path: Path) -> None:
    model = load_interpolation_model(save_rife(tmp_path / "rife.safetensors"), "rife", CPU)
    calls: list[int] = []

    def check() -> None:
        calls.append(len(calls))
        if len(calls) > 3:
            raise Cancelled

    frame = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(Cancelled):
        list(model.between(frame, frame, [0.5], check))
    assert len(calls) == 4


def test_a_file_of_another_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"unet.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(KinoraError, match="somebody/other is another kind of model") as refused:
        load_interpolation_model(tmp_path / "other.safetensors", "somebody/other", CPU)
    assert refused.value.code is ErrorCode.MODEL_REFUSED
