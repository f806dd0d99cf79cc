"""Allegro in miniature: its VAE's tiles cannot be smaller than 128 pixels and 24 frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, parts

SIDE = 128


def build(folder: Path) -> None:
    import diffusers
    import torch

    torch.manual_seed(0)
    transformer = diffusers.AllegroTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        cross_attention_dim=24,
        sample_width=SIDE // 8,
        sample_height=SIDE // 8,
        sample_frames=6,
        caption_channels=32,
    )
    vae = diffusers.AutoencoderKLAllegro(
        block_out_channels=(4, 4, 4, 4),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        sample_size=SIDE,
        scaling_factor=2.0,
    )
    diffusers.AllegroPipeline(
        tokenizer=parts.t5_tokenizer(),
        text_encoder=parts.t5_encoder(),
        vae=vae,
        transformer=transformer,
        # little noise: a model that knows nothing must not leave it all to the first step
        scheduler=diffusers.EulerAncestralDiscreteScheduler(  # pyright: ignore[reportArgumentType]
            beta_schedule="scaled_linear", beta_start=0.0001, beta_end=0.004
        ),
    ).save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    pipe.vae.enable_tiling()
    return {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": SIDE,
        "height": SIDE,
        "num_frames": 24,
        "num_inference_steps": 4,
        "guidance_scale": 7.5,
        "clean_caption": False,
        "max_sequence_length": 16,
    }


CARD = card(
    "allegro",
    ["t2v"],
    defaults={
        "width": SIDE,
        "height": SIDE,
        "num_frames": 24,
        "num_inference_steps": 4,
        "guidance_scale": 7.5,
    },
    limits={
        "min_width": SIDE,
        "max_width": SIDE,
        "min_height": SIDE,
        "max_height": SIDE,
        "min_frames": 24,
        "max_frames": 24,
    },
    size={"of": 16},
    call={"max_sequence_length": 16},
)
SPECIMENS = (Specimen("allegro", CARD, build, plain),)
