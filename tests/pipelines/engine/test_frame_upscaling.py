"""Upscalers with random weights: names, sizes, and tiles that are not seen."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from errors import Cancelled, ErrorCode, KinoraError
from pipelines.engine import upscale_model
from pipelines.engine.upscale_model import UpscaleModel, load_upscale_model
from pipelines.engine.upscale_networks import CompactNetwork, RRDBNetwork, UpscaleNetwork

CPU = torch.device("cpu")
FRAME = np.random.default_rng(0).integers(0, 256, (50, 71, 3), dtype=np.uint8)


def load(network: torch.nn.Module, tmp_path: Path, prefix: str = "") -> UpscaleModel:
    path = tmp_path / "weights.safetensors"
    save_file({prefix + name: each for name, each in network.state_dict().items()}, path)
    return load_upscale_model(path, "somebody/upscaler", CPU)


def networks() -> list[UpscaleNetwork]:
    torch.manual_seed(0)
    compact = [CompactNetwork(8, 3, scale) for scale in (1, 2, 3, 4)]
    return [*compact, *(RRDBNetwork(8, 4, 2, fold) for fold in (1, 2, 4))]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("prefix", ["", "params_ema."])
def test_the_networks_are_known_by_their_weights(tmp_path: Path, number: int, prefix: str) -> None:
    network = networks()[number].eval()
    model = load(network, tmp_path, prefix)
    assert model.scale == network.scale
    made = model.upscale(FRAME[:48, :64], lambda: None)
    with torch.inference_mode():
        pixels = torch.from_numpy(FRAME[:48, :64].copy()).permute(2, 0, 1)[None].float() / 255
        expected = (network(pixels)[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    assert made.shape == (48 * network.scale, 64 * network.scale, 3)
    assert np.abs(made.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("size", [(50, 71), (1, 1), (33, 8)])
def test_tiles_are_not_seen(
    tmp_path: Path, number: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(networks()[number], tmp_path)
    frame = FRAME[: size[0], : size[1]]
    whole = model.upscale(frame, lambda: None)
    monkeypatch.setitem(upscale_model.TILE, "cpu", 16)
    tiled = model.upscale(frame, lambda: None)
    assert whole.shape == (size[0] * model.scale, size[1] * model.scale, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_memory_is_that_of_a_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    network = CompactNetwork(8, 3, 2)
    forward = CompactNetwork.forward

    def watched(self: CompactNetwork, x: torch.Tensor) -> torch.Tensor:
        seen.append((x.shape[2], x.shape[3]))
        return forward(self, x)

    monkeypatch.setattr(CompactNetwork, "forward", watched)
    model = load(network, tmp_path)
    monkeypatch.setitem(upscale_model.TILE, "cpu", 16)
    model.upscale(FRAME, lambda: None)
    assert len(seen) == 4 * 5 and max(max(each) for each in seen) <= 16 + 2 * 5


def test_it_can_be_stopped_between_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(CompactNetwork(8, 3, 2), tmp_path)
    monkeypatch.setitem(upscale_model.TILE, "cpu", 16)
    calls: list[int] = []

    def check() -> None:
        calls.append(0)
        if len(calls) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        model.upscale(FRAME, check)
    assert len(calls) == 3


@pytest.mark.parametrize(
    "weights",
    [
        {"weight": torch.zeros(3)},
        {f"body.{n}.weight": torch.zeros(8, 8, 3, 3) for n in range(3)},
        CompactNetwork(8, 3, 2).state_dict() | {"body.8.weight": torch.zeros(13, 8, 3, 3)},
        RRDBNetwork(8, 4, 2, 1).state_dict() | {"conv_first.weight": torch.zeros(8, 7, 3, 3)},
    ],
)
def test_other_weights_need_spandrel_or_are_refused(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(KinoraError) as refused:
        load_upscale_model(tmp_path / "other.safetensors", "somebody/other", CPU)
    assert refused.value.code is ErrorCode.MODEL_REFUSED
    missing = "needs the Python package spandrel" in refused.value.message
    assert missing == (find_spec("spandrel") is None)
