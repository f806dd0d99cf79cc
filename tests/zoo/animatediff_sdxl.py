"""AnimateDiff on SDXL in miniature: a checkpoint for pictures, and a motion adapter beside it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, parts
from tests.zoo.animatediff import ADAPTER, SCHEDULER, load, save_adapter, vae


def build(folder: Path) -> None:
    """As such checkpoints lie on the Hub: an image pipeline with another scheduler."""
    from tests.zoo.any.folders import SDXL
    from tests.zoo.any.models import make

    diffusers: Any = import_module("diffusers")
    diffusers.StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=parts.clip_text(),
        tokenizer=parts.clip_tokenizer(),
        text_encoder_2=parts.clip_text(cls="CLIPTextModelWithProjection"),
        tokenizer_2=parts.clip_tokenizer(),
        unet=make("UNet2DConditionModel", **SDXL["unet"]),
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear"),
    ).save_pretrained(folder)
    save_adapter(folder, motion_layers_per_block=1)


def load_with_adapter(of: Any, folder: Path, dtype: Any) -> Any:
    """With the embedding of pooled prompt and size, which diffusers 0.42 leaves random."""
    from diffusers import UNet2DConditionModel

    pipe = load(of, folder, dtype, SCHEDULER)
    pictures = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype)
    pipe.unet.add_embedding.load_state_dict(pictures.add_embedding.state_dict())
    return pipe


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 32,
        "height": 32,
        "num_frames": 4,
        "num_inference_steps": 4,
        "guidance_scale": 15.0,
    }


SPECIMENS = (
    Specimen(
        "animatediff-sdxl",
        card(
            "animatediff_sdxl",
            ["t2v"],
            defaults={"num_frames": 4, "num_inference_steps": 4, "guidance_scale": 15.0},
            limits={"min_frames": 2, "max_frames": 32},
            scheduler=SCHEDULER,
            parts={"motion_adapter": f"../repo/{ADAPTER}"},
        ),
        build,
        plain,
        load_with_adapter,
    ),
)
