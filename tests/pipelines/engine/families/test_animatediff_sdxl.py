"""What AnimateDiff on SDXL mends in diffusers; its clips are in test_families.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import AnimateDiffSDXLPipeline, DDIMScheduler, MotionAdapter

from pipelines.engine.families.animatediff_sdxl import AnimateDiffSDXL
from tests.zoo import parts
from tests.zoo.animatediff import ADAPTER_SETTINGS, vae
from tests.zoo.any.folders import SDXL
from tests.zoo.any.models import make


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    return {
        "vae": vae(),
        "text_encoder": parts.clip_text(),
        "tokenizer": parts.clip_tokenizer(),
        "text_encoder_2": parts.clip_text(cls="CLIPTextModelWithProjection"),
        "tokenizer_2": parts.clip_tokenizer(),
        "unet": make("UNet2DConditionModel", **SDXL["unet"]),
        "motion_adapter": MotionAdapter(**ADAPTER_SETTINGS, motion_layers_per_block=1),
        "scheduler": DDIMScheduler(),
    }


def test_the_embedding_of_the_size_is_that_of_the_checkpoint(components: dict[str, Any]) -> None:
    pipe: Any = AnimateDiffSDXLPipeline(**components)
    theirs = components["unet"].add_embedding.state_dict()
    as_built = pipe.unet.add_embedding.state_dict()
    # where this fails, diffusers copies it by itself, and `complete_pipeline` can go
    assert any(not torch.equal(as_built[name], value) for name, value in theirs.items())
    AnimateDiffSDXL().complete_pipeline(pipe, components)
    ours = pipe.unet.add_embedding.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_in_float16_frames_are_decoded_in_float32(components: dict[str, Any]) -> None:
    pipe: Any = AnimateDiffSDXLPipeline(**components)
    latents = torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    card: Any = SimpleNamespace(call={})
    pipe.vae.half()
    pixels = AnimateDiffSDXL().decode(pipe, card, latents.half(), None)
    assert pipe.vae.dtype is torch.float16
    pipe.vae.float()  # float16 weights, as they were decoded
    assert torch.equal(pixels, AnimateDiffSDXL().decode(pipe, card, latents.half(), None))
