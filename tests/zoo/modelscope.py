"""ModelScope's text to video, and Zeroscope XL's second pass over a clip, in miniature."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest, Task
from tests.zoo import Specimen, card, parts


def build(folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    diffusers: Any = import_module("diffusers")
    unet = diffusers.UNet3DConditionModel(
        block_out_channels=(8, 8),
        layers_per_block=1,
        sample_size=32,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=2,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=2,
    )
    diffusers.TextToVideoSDPipeline(
        vae=vae,
        text_encoder=parts.clip_text(),
        tokenizer=parts.clip_tokenizer(),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
        ),
    ).save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "guidance_scale": 9.0,
    }
    if fitted.task is Task.VIDEO_TO_VIDEO:
        return arguments | {"video": list(inputs.video), "strength": 0.6, "num_inference_steps": 5}
    size = {"width": 32, "height": 32, "num_frames": 4}
    return arguments | size | {"num_inference_steps": 5}


CARD = card(
    "modelscope",
    ["t2v", "v2v"],
    defaults={
        "num_frames": 4,
        "guidance_scale": 9.0,
        "num_inference_steps": 5,
        "strength": 0.6,
    },
    limits={"min_frames": 2, "max_frames": 32},
)
SPECIMENS = (Specimen("modelscope", CARD, build, plain),)
