"""Mochi 1 in miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, parts


def build(folder: Path) -> None:
    import diffusers
    import torch

    torch.manual_seed(0)
    transformer = diffusers.MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=12,
        text_embed_dim=32,
        time_embed_dim=4,
    )
    vae = diffusers.AutoencoderKLMochi(
        latent_channels=12,
        encoder_block_out_channels=(32, 32, 32, 32),  # pyright: ignore[reportArgumentType]
        decoder_block_out_channels=(32, 32, 32, 32),  # pyright: ignore[reportArgumentType]
        layers_per_block=(1, 1, 1, 1, 1),
    )
    diffusers.MochiPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=vae,
        text_encoder=parts.t5_encoder(),
        tokenizer=parts.t5_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 16,
        "height": 16,
        "num_frames": 7,
        "num_inference_steps": 4,
        "guidance_scale": 4.5,
        "max_sequence_length": 16,
    }


CARD = card(
    "mochi",
    ["t2v"],
    defaults={
        "width": 16,
        "height": 16,
        "num_frames": 7,
        "num_inference_steps": 4,
        "guidance_scale": 4.5,
    },
    limits={"min_width": 16, "min_height": 16, "min_frames": 7, "max_frames": 31, "min_steps": 2},
    call={"max_sequence_length": 16},
)
SPECIMENS = (Specimen("mochi-1", CARD, build, plain),)
