"""Sana-Video in miniature, with Wan's autoencoder (480p) or LTX-2's (720p)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card
from tests.zoo.words import word_tokenizer


def gemma() -> Any:
    from transformers import Gemma2Config, Gemma2Model

    config = Gemma2Config(
        vocab_size=300,
        head_dim=16,
        hidden_size=8,
        intermediate_size=64,
        num_attention_heads=2,
        num_hidden_layers=1,
        num_key_value_heads=2,
        attn_implementation="eager",  # pyright: ignore[reportCallIssue]
    )
    return Gemma2Model(config).eval()


def build(folder: Path, ltx2: bool = False) -> None:
    import diffusers
    import torch

    torch.manual_seed(0)
    transformer = diffusers.SanaVideoTransformer3DModel(
        in_channels=16,
        out_channels=16,
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=1,
        num_cross_attention_heads=2,
        cross_attention_head_dim=12,
        cross_attention_dim=24,
        caption_channels=8,
        sample_size=30,
        rope_max_seq_len=32,
    )
    vae: Any = diffusers.AutoencoderKLWan(
        base_dim=3,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )
    if ltx2:
        from tests.zoo.any.models import make

        vae = make("AutoencoderKLLTX2Video", latent_channels=16)
    diffusers.SanaVideoPipeline(
        tokenizer=word_tokenizer("", length=1000),
        text_encoder=gemma(),
        vae=vae,
        transformer=transformer,
        scheduler=diffusers.DPMSolverMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=8.0
        ),
    ).save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler

    arguments: dict[str, Any] = {
        "prompt": fitted.prompt + " motion score: 30.",
        "negative_prompt": "dull",
        "width": 32,
        "height": 32,
        "frames": 9,
        "num_inference_steps": 3,
        "guidance_scale": 6.0,
        "use_resolution_binning": False,
        "max_sequence_length": 24,
    }
    if inputs.image is None:
        return arguments
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=8.0)
    return arguments | {"image": inputs.image}


CARD = card(
    "sana",
    ["t2v", "i2v"],
    defaults={"guidance_scale": 6.0},
    call={"motion_score": 30, "max_sequence_length": 24},
)
SPECIMENS = (
    Specimen("sana-video", CARD, build, plain),
    Specimen("sana-video-ltx2", CARD, partial(build, ltx2=True), plain, frames_only=True),
)
