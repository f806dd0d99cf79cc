from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from errors import ErrorCode, KinoraError
from pipelines.engine.decode import decode
from pipelines.engine.denoise import denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import load_cards
from pipelines.request import Task
from settings import Settings
from tests import tiny
from tests.pipelines.engine.test_denoise import TASKS, StopRequests, fitted, picture, sample


def ours(loaded: Loaded, **fields: object) -> np.ndarray:
    request = fitted(loaded, **fields)
    inputs = Inputs(picture() if loaded.task is Task.IMAGE_TO_VIDEO else None)
    sampled = denoise(loaded, request, inputs, StopRequests(), lambda _step: None)
    return decode(loaded, sampled, request)


def plain(repo: Path, loaded: Loaded, output_type: str, **extra: Any) -> Any:
    """What anybody would write with diffusers alone."""
    task = loaded.task
    name = "LTXPipeline" if task is Task.TEXT_TO_VIDEO else "LTXImageToVideoPipeline"
    pipe = getattr(diffusers, name).from_pretrained(repo, dtype=loaded.dtype)
    pipe.set_progress_bar_config(disable=True)
    if task is Task.IMAGE_TO_VIDEO:
        extra["image"] = picture()
    return pipe(
        prompt="a dog in the snow",
        negative_prompt="",
        width=64,
        height=64,
        num_frames=9,
        frame_rate=8,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(3),
        output_type=output_type,
        **extra,
    ).frames[0]


@pytest.mark.parametrize("task", TASKS)
def test_our_frames_equal_the_plain_pipelines_bit_for_bit(
    tiny_repo: Path, tiny_manager: PipelineManager, task: Task
) -> None:
    loaded = tiny_manager.get("pocket", task)
    frames = ours(loaded)
    as_numbers = plain(tiny_repo, loaded, "np")
    assert np.array_equal(frames, (as_numbers * 255).round().astype(np.uint8))
    as_pictures = plain(tiny_repo, loaded, "pil")
    assert np.array_equal(frames, np.stack([np.asarray(image) for image in as_pictures]))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "extra", [{}, {"decode_timestep": 0.05, "decode_noise_scale": 0.025}, {"decode_timestep": 0.1}]
)
def test_decoders_that_want_a_timestep_get_the_same_noise(
    tmp_path: Path, tiny_settings: Settings, task: Task, extra: dict[str, float]
) -> None:
    repo = tiny.build(tmp_path / "conditioned", timestep_conditioning=True)
    tiny.write_card(tmp_path / "cards", repo, call=extra)
    loaded = PipelineManager(load_cards(tmp_path / "cards"), tiny_settings).get("pocket", task)
    expected = (plain(repo, loaded, "np", **extra) * 255).round().astype(np.uint8)
    assert np.array_equal(ours(loaded), expected)


@pytest.fixture
def short_of_memory(tiny_manager: PipelineManager) -> Any:
    """Stands in for a GPU that cannot hold more than so many latent positions at once."""
    decoder = tiny_manager.get("pocket", Task.TEXT_TO_VIDEO).pipe.vae.decoder
    asked: list[tuple[int, ...]] = []
    limit = [0]

    def refuse(_module: object, arguments: tuple[torch.Tensor, ...]) -> None:
        asked.append(tuple(arguments[0].shape[2:]))
        if arguments[0][0, 0].numel() > limit[0]:
            raise torch.OutOfMemoryError("stand-in")

    handle = decoder.register_forward_pre_hook(refuse)
    yield limit, asked
    handle.remove()


@pytest.mark.parametrize(("limit", "tile"), [(100, (5, 4, 4)), (60, (3, 4, 4))])
def test_when_memory_is_short_decoding_goes_in_pieces(
    tiny_manager: PipelineManager, short_of_memory: Any, limit: int, tile: tuple[int, ...]
) -> None:
    loaded = tiny_manager.get("pocket", Task.TEXT_TO_VIDEO)
    request = fitted(loaded, width=128, height=128)
    sampled = denoise(loaded, request, Inputs(), StopRequests(), lambda _step: None)
    before = dict(vars(loaded.pipe.vae))
    short_of_memory[0][0] = limit
    frames = decode(loaded, sampled, request)
    assert frames.shape == (9, 128, 128, 3)
    assert tile in short_of_memory[1]
    assert {k: v for k, v in vars(loaded.pipe.vae).items() if k[0] != "_"} == {
        k: v for k, v in before.items() if k[0] != "_"
    }


def test_when_nothing_helps_the_person_is_told_so(
    tiny_manager: PipelineManager, short_of_memory: Any
) -> None:
    loaded = tiny_manager.get("pocket", Task.TEXT_TO_VIDEO)
    sampled = sample(loaded)
    with pytest.raises(KinoraError) as caught:
        decode(loaded, sampled, fitted(loaded))
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY


def test_latents_that_are_not_numbers_make_no_clip(tiny_manager: PipelineManager) -> None:
    loaded = tiny_manager.get("pocket", Task.TEXT_TO_VIDEO)
    broken = replace(sample(loaded), latents=torch.full((1, 16, 5, 4, 4), float("nan")))
    with pytest.raises(KinoraError) as caught:
        decode(loaded, broken, fitted(loaded))
    assert caught.value.code is ErrorCode.DECODE
