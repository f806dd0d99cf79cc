"""LTX-Video in miniature: 0.9.0; 0.9.1, whose decoder wants a timestep; 0.9.5 with conditions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel
from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests import tiny
from tests.zoo import Specimen, card

DECODE = {"decode_timestep": 0.05, "decode_noise_scale": 0.025}


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": fitted.negative_prompt,
        "width": 64,
        "height": 64,
        "num_frames": 9,
        "frame_rate": 8,
        "num_inference_steps": 3,
        "guidance_scale": 3.0,
    }
    if type(pipe).__name__ == "LTXConditionPipeline":
        arguments["image_cond_noise_scale"] = 0.1
        if inputs.video:
            clip = LTXVideoCondition(video=list(inputs.video), strength=1.0 - 0.8)
            arguments["conditions"] = [clip]
        elif inputs.image is not None:
            first = LTXVideoCondition(image=inputs.image)
            last = LTXVideoCondition(image=inputs.last_image, frame_index=8)
            arguments["conditions"] = [first, last] if inputs.last_image else [first]
    elif inputs.image is not None:
        arguments["image"] = inputs.image
    if pipe.vae.config.timestep_conditioning:
        arguments |= DECODE
    return arguments


CARD = card(
    "ltx",
    ["t2v", "i2v"],
    defaults={"width": 64, "height": 64},
    frames={"of": 2, "plus": 1},
)

SPECIMENS = (
    Specimen("ltx-0.9.0", CARD, tiny.build, plain),
    Specimen(
        "ltx-0.9.1",
        CARD | {"call": DECODE},
        partial(tiny.build, timestep_conditioning=True, seed=1),
        plain,
    ),
    Specimen(
        "ltx-0.9.5",
        CARD
        | {
            "tasks": ["t2v", "i2v", "v2v"],
            "classes": {task: "LTXConditionPipeline" for task in ("t2v", "i2v", "v2v")},
            "takes": {"last_image": True},
            "call": DECODE | {"image_cond_noise_scale": 0.1},
        },
        partial(tiny.build, timestep_conditioning=True, seed=2),
        plain,
    ),
)

UPSCALED = Specimen(
    "ltx-0.9.7",
    SPECIMENS[-1].card | {"latent_upsampler": "../upsampler"},
    partial(tiny.build, timestep_conditioning=True, seed=3),
    plain,
)
"""Not among the others: it is the one before with `build_upsampler`'s model beside it."""


def build_upsampler(folder: Path, **changes: Any) -> Path:
    """For the latents of `tiny.build`."""
    torch.manual_seed(4)
    sizes: dict[str, Any] = {"in_channels": 16, "mid_channels": 32, "num_blocks_per_stage": 1}
    LTXLatentUpsamplerModel(**sizes | changes).save_pretrained(folder)
    return folder
