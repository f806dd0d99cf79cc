"""Latte in miniature."""

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
    transformer = diffusers.LatteTransformer3DModel(
        sample_size=4,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        video_length=16,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),  # pyright: ignore[reportArgumentType]
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
    )
    diffusers.LattePipeline(
        tokenizer=parts.t5_tokenizer(),
        text_encoder=parts.t5_encoder(),
        vae=vae,
        transformer=transformer,
        scheduler=diffusers.DDIMScheduler(beta_schedule="linear", clip_sample=False),  # pyright: ignore[reportArgumentType]
    ).save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 32,
        "height": 32,
        "video_length": 16,
        "num_inference_steps": 3,
        "guidance_scale": 7.5,
        "clean_caption": False,
    }


CARD = card(
    "latte",
    ["t2v"],
    defaults={"num_frames": 16, "guidance_scale": 7.5},
    limits={"min_frames": 16, "max_frames": 16},
)
SPECIMENS = (Specimen("latte-1", CARD, build, plain),)
