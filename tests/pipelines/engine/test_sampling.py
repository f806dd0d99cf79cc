"""When memory is short: what is tried, what is said, and that the next clip knows nothing of it.

The machines are stand-ins: an allocator that refuses, a GPU that only has room for blocks. Offload
itself is real, between one place in memory and another.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from errors import ErrorCode, KinoraError
from pipelines.engine.decode import decode
from pipelines.engine.denoise import Sampled, SampledFrames, SampledLatents, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.latents_file import load, save
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.engine.placement import apply_plan, install_hooks, move_weights, moved_to_cpu
from pipelines.engine.sampling import fallback_plans, sample
from pipelines.models.cards import ModelCard
from pipelines.planning import Plan
from pipelines.request import Adjustment, Task
from pipelines.sound import Sound
from settings import Settings
from tests.pipelines.engine.test_denoise import StopRequests, fitted, picture


class Allocator(TorchDispatchMode):
    """Counts the bytes that live at once, and refuses what goes above a limit, as a GPU does."""

    def __init__(self, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit, self.now, self.peak = limit, 0, 0
        self._live: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._live:
            return
        if self.now + size > self.limit:
            raise torch.OutOfMemoryError("stand-in")
        self.now += size
        self.peak = max(self.peak, self.now)
        self._live[key] = weakref.ref(storage, partial(self._gone, key, size))

    def _gone(self, key: int, size: int, _reference: object) -> None:
        self._live.pop(key, None)
        self.now -= size


@pytest.fixture
def loaded(tiny_cards: dict[str, ModelCard], tiny_settings: Settings) -> Iterator[Loaded]:
    """A model of our own: these tests move it about."""
    manager = PipelineManager(tiny_cards, tiny_settings.model_copy(update={"previews": False}))
    yield manager.get("pocket", Task.TEXT_TO_VIDEO)
    manager.close()


def sampled_of(loaded: Loaded) -> Sampled:
    inputs = Inputs(picture() if loaded.task is Task.IMAGE_TO_VIDEO else None)
    return denoise(loaded, fitted(loaded), inputs, StopRequests(), lambda _step: None)


def frames_of(loaded: Loaded) -> np.ndarray:
    sampled = sampled_of(loaded)
    return decode(loaded, sampled, fitted(loaded))


@contextmanager
def decoder_with(limit: float, loaded: Loaded) -> Iterator[list[int]]:
    """A GPU for the decoder alone: each call starts with all of it free. Yields their peaks."""
    decoder = loaded.pipe.vae.decoder
    forward, peaks = decoder.forward, []

    def forward_there(*args: Any, **kwargs: Any) -> Any:
        with Allocator(limit) as allocator:
            result = forward(*args, **kwargs)
        peaks.append(allocator.peak)
        return result

    decoder.forward = forward_there
    try:
        yield peaks
    finally:
        decoder.forward = forward


# -- decoding ------------------------------------------------------------------------------------


def test_decoding_goes_down_the_ladder_and_says_so(loaded: Loaded) -> None:
    request = fitted(loaded, width=128, height=128, num_frames=17)
    sampled = denoise(loaded, request, Inputs(), StopRequests(), lambda _step: None)

    def attempt(limit: float, tiles: int = 0) -> tuple[np.ndarray, float, list[Adjustment]]:
        changes: list[Adjustment] = []
        with decoder_with(limit, loaded) as peaks:
            frames = decode(
                loaded,
                sampled,
                request,
                tiles=tiles,
                on_change=changes.append,
            )
        return frames, max(peaks), changes

    whole, most, changes = attempt(float("inf"))
    assert not changes
    _, halves, changes = attempt(float("inf"), tiles=2)
    assert not changes  # planned so from the beginning
    assert halves < most

    used: list[float | str] = []
    for limit in (halves, 0.8 * halves):
        frames, peak, changes = attempt(limit)
        assert frames.shape == whole.shape
        assert peak <= limit
        (change,) = changes
        assert "Not enough memory" in change.sentence
        used.append(change.used)
    assert used == ["in 2x2 tiles", "in 4x4 tiles, a few frames at a time"]

    # the next clip is not poisoned
    assert np.array_equal(attempt(float("inf"))[0], whole)


def test_the_rest_of_the_model_is_moved_aside_and_comes_back(loaded: Loaded) -> None:
    pipe, elsewhere = loaded.pipe, torch.device("meta")
    pipe.vae.to("cpu")
    with moved_to_cpu(pipe, torch.device("cpu")):
        assert pipe.transformer.device.type == "cpu"
    with pytest.raises(ZeroDivisionError), moved_to_cpu(pipe, torch.device("cpu")):
        _ = 1 / 0
    assert pipe.transformer.device.type != elsewhere.type


# -- sampling ------------------------------------------------------------------------------------


def test_more_and_more_of_the_weights_leave_the_gpu() -> None:
    resident = Plan(device_name="cuda", dtype_name="bfloat16")
    assert [p.offload for p in fallback_plans(resident)] == ["model", "group"]
    assert [p.offload for p in fallback_plans(replace(resident, offload="model"))] == ["group"]
    assert fallback_plans(replace(resident, offload="group")) == []
    assert fallback_plans(Plan(device_name="cpu", dtype_name="float32")) == []


def is_in_blocks(module: torch.nn.Module) -> bool:
    from diffusers.hooks.group_offloading import _is_group_offload_enabled

    return _is_group_offload_enabled(module)


def test_sampling_goes_down_the_ladder_and_comes_back(loaded: Loaded) -> None:
    before = frames_of(loaded)
    tried: list[bool] = []

    def room_for_blocks_only(module: torch.nn.Module, _arguments: object) -> None:
        tried.append(is_in_blocks(module))
        if not tried[-1]:
            raise torch.OutOfMemoryError("stand-in")

    plan = loaded.weights.plan
    rungs = [replace(plan, offload="model"), replace(plan, offload="group")]
    changes: list[Adjustment] = []
    with loaded.pipe.transformer.register_forward_pre_hook(room_for_blocks_only):
        sampled = sample(
            loaded, fitted(loaded), Inputs(), StopRequests(), lambda _step: None,
            on_change=changes.append, plans=rungs,
        )  # fmt: skip
    assert tried[:3] == [False, False, True]
    assert [change.field for change in changes] == ["sampling", "sampling"]
    assert "blocks" in changes[-1].sentence
    assert np.array_equal(decode(loaded, sampled, fitted(loaded)), before)
    # and the next clip has the whole model again
    assert not is_in_blocks(loaded.pipe.transformer)
    assert not loaded.pipe._all_hooks
    assert np.array_equal(frames_of(loaded), before)


def test_other_models_go_first(loaded: Loaded) -> None:
    full = [True]

    def refuse(_module: object, _arguments: object) -> None:
        if full[0]:
            raise torch.OutOfMemoryError("stand-in")

    def make_room() -> bool:
        was_full, full[0] = full[0], False
        return was_full

    changes: list[Adjustment] = []
    with loaded.pipe.transformer.register_forward_pre_hook(refuse):
        sample(
            loaded, fitted(loaded), Inputs(), StopRequests(), lambda _step: None,
            make_room=make_room, on_change=changes.append,
        )  # fmt: skip
    assert [change.used for change in changes] == ["with the other models unloaded"]


def test_when_nothing_helps_it_is_said_and_the_next_clip_is_well(loaded: Loaded) -> None:
    before = frames_of(loaded)

    def refuse(_module: object, _arguments: object) -> None:
        raise torch.OutOfMemoryError("stand-in")

    rungs = [replace(loaded.weights.plan, offload="group")]
    with (
        loaded.pipe.transformer.register_forward_pre_hook(refuse),
        pytest.raises(KinoraError) as failed,
    ):
        sample(loaded, fitted(loaded), Inputs(), StopRequests(), lambda _step: None, plans=rungs)
    assert failed.value.code is ErrorCode.OUT_OF_MEMORY
    assert np.array_equal(frames_of(loaded), before)


# -- applying a plan -----------------------------------------------------------------------------


@pytest.mark.parametrize("offload", ["model", "group"])
def test_offload_changes_no_pixel_in_either_task(
    tiny_cards: dict[str, ModelCard], tiny_settings: Settings, offload: Any
) -> None:
    manager = PipelineManager(tiny_cards, tiny_settings.model_copy(update={"previews": False}))
    tasks = [Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO]
    words, image = (manager.get("pocket", task) for task in tasks)
    before = [frames_of(each) for each in (words, image)]
    plan = replace(words.weights.plan, offload=offload)
    words.weights.plan = plan
    move_weights(words.pipe, plan)
    for turn in (words, image, words):  # both share their weights, and so the hooks
        install_hooks(turn.pipe, plan)
        expected = before[0] if turn is words else before[1]
        assert np.array_equal(frames_of(turn), expected)
    move_weights(words.pipe, replace(plan, offload="none"))
    words.weights.plan = replace(plan, offload="none")
    assert np.array_equal(frames_of(words), before[0])


def test_float8_weights_take_less_and_change_little(loaded: Loaded) -> None:
    def held() -> int:
        return sum(p.numel() * p.element_size() for p in loaded.pipe.transformer.parameters())

    plan, before, size = loaded.weights.plan, frames_of(loaded), held()
    apply_plan(loaded.pipe, replace(plan, storage="float8"))
    assert held() < 0.8 * size
    after = frames_of(loaded)
    assert 0 < np.abs(after.astype(int) - before.astype(int)).mean() < 40


def test_the_step_cache_is_on_while_it_is_planned(loaded: Loaded) -> None:
    plan = replace(loaded.weights.plan, step_cache="first_block")
    for _ in range(2):
        install_hooks(loaded.pipe, plan)
        assert loaded.pipe.transformer.is_cache_enabled
        first, second = frames_of(loaded), frames_of(loaded)
        assert np.array_equal(first, second)  # nothing is left over from the clip before


def test_an_attention_backend_is_this_models_alone(loaded: Loaded) -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    from pipelines.engine.placement import _set_attention

    before = _AttentionBackendRegistry.get_active_backend()[0]
    expected = frames_of(loaded)
    _set_attention(loaded.pipe.transformer, "_native_math")
    assert _AttentionBackendRegistry.get_active_backend()[0] == before
    close = np.abs(frames_of(loaded).astype(int) - expected.astype(int))
    assert close.mean() < 3


# -- the checkpoint ---------------------------------------------------------------------------


RUN: dict[str, Any] = {"sound": None, "finished_early": False, "steps_done": 1, "seconds": {}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_latents_come_back_bit_for_bit(tmp_path: Any, dtype: torch.dtype) -> None:
    latents = torch.randn(1, 16, 5, 4, 4).to(dtype)
    noise = torch.randn(1, 16, 5, 4, 4).transpose(3, 4).to(dtype)
    sampled = SampledLatents(
        latents=latents,
        noise=noise,
        sound=Sound(np.linspace(-1, 1, 20, dtype=np.float32).reshape(2, 10), 24_000),
        finished_early=True,
        steps_done=3,
        seconds={"denoise": 1.5},
    )
    save(sampled, tmp_path / "latents")
    back = load(tmp_path / "latents", torch.device("cpu"))
    assert isinstance(back, SampledLatents)
    assert torch.equal(back.latents, latents) and back.latents.dtype is dtype
    assert back.noise is not None and torch.equal(back.noise, noise)
    assert back.sound is not None and sampled.sound is not None
    assert np.array_equal(back.sound.samples, sampled.sound.samples)
    assert back.sound.rate_hz == 24_000
    assert (back.finished_early, back.steps_done, back.seconds) == (True, 3, {"denoise": 1.5})


def test_latents_that_are_no_numbers_are_not_used_again(tmp_path: Any) -> None:
    lost = SampledLatents(latents=torch.full((1, 1, 1, 2, 2), float("nan")), noise=None, **RUN)
    save(lost, tmp_path / "latents")
    assert load(tmp_path / "latents", torch.device("cpu")) is None
    assert load(tmp_path / "nothing", torch.device("cpu")) is None


def test_frames_come_back_bit_for_bit(tmp_path: Any) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 8, 4, 3), np.uint8)
    save(SampledFrames(frames=frames, **RUN), tmp_path / "frames")
    back = load(tmp_path / "frames", torch.device("cpu"))
    assert isinstance(back, SampledFrames)
    assert np.array_equal(back.frames, frames)


@pytest.mark.parametrize("with_latents", [True, False])
def test_frames_kept_by_an_earlier_version_are_frames(tmp_path: Any, with_latents: bool) -> None:
    """It wrote the pixels as noise, beside the last latents it could read, or the pixels again."""
    pixels = torch.randint(0, 256, (1, 3, 5, 8, 4), dtype=torch.uint8)
    latents = torch.randn(1, 16, 2, 1, 1) if with_latents else pixels.clone()
    fields = {"finished_early": False, "steps_done": 3, "seconds": {"denoise": 1.5}, "changes": []}
    metadata = {name: json.dumps(value) for name, value in fields.items()}
    save_file({"latents": latents, "noise": pixels}, tmp_path / "latents", metadata=metadata)
    back = load(tmp_path / "latents", torch.device("cpu"))
    assert isinstance(back, SampledFrames)
    assert np.array_equal(back.frames, pixels[0].permute(1, 2, 3, 0).numpy())
    assert (back.steps_done, back.seconds) == (3, {"denoise": 1.5})


@pytest.mark.parametrize("with_noise", [True, False])
def test_latents_kept_by_an_earlier_version_are_latents(tmp_path: Any, with_noise: bool) -> None:
    tensors = {"latents": torch.randn(1, 16, 2, 1, 1).half()}
    if with_noise:
        tensors["noise"] = torch.randn(1, 16, 2, 1, 1).half()
    metadata = {"finished_early": "true", "steps_done": "2", "seconds": "{}"}
    save_file(tensors, tmp_path / "latents", metadata=metadata)
    back = load(tmp_path / "latents", torch.device("cpu"))
    assert isinstance(back, SampledLatents)
    assert torch.equal(back.latents, tensors["latents"])
    assert (back.noise is not None) == with_noise
    assert back.finished_early and back.steps_done == 2 and back.sound is None
