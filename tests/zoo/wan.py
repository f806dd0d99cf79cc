"""Wan in miniature: 2.1 (text, picture, two pictures), 2.2 A14B with two experts, TI2V-5B, VACE."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest, Task
from tests.zoo import Specimen, card, parts

VISION_TOKENS = 5


def vae(**changes: Any) -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        **{
            "base_dim": 3,
            "z_dim": 16,
            "dim_mult": [1] * 4,
            "num_res_blocks": 1,
            "temperal_downsample": [False, True, True],
        }
        | changes
    )


def vae_22() -> Any:
    """The 5B's: 16 pixels along a side, two by two of them packed into channels."""
    return vae(
        decoder_base_dim=4,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    )


def transformer(cls: str = "WanTransformer3DModel", **changes: Any) -> Any:
    import diffusers

    return getattr(diffusers, cls)(
        **{
            "patch_size": (1, 2, 2),
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "in_channels": 16,
            "out_channels": 16,
            "text_dim": 32,
            "freq_dim": 256,
            "ffn_dim": 32,
            "num_layers": 2,
            "cross_attn_norm": True,
            "qk_norm": "rms_norm_across_heads",
            "rope_max_seq_len": 32,
        }
        | changes
    )


def scheduler(flow_shift: float) -> Any:
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        num_train_timesteps=1000,
        flow_shift=flow_shift,
    )


def vision() -> dict[str, Any]:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=4,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        projection_dim=4,
        image_size=32,
        patch_size=16,
    )
    return {
        "image_encoder": CLIPVisionModel(config).eval(),
        "image_processor": parts.clip_image_processor(32),
    }


def save(folder: Path, cls: str, flow_shift: float = 3.0, **given: Any) -> None:
    import diffusers

    made = {name: part() if callable(part) else part for name, part in given.items()}
    if made.pop("sees", False):
        made |= vision()
    pipe = getattr(diffusers, cls)(
        **{
            "tokenizer": parts.t5_tokenizer(),
            "text_encoder": parts.umt5_encoder(),
            "vae": made.pop("vae", None) or vae(),
            "scheduler": scheduler(flow_shift),
        }
        | made
    )
    pipe.save_pretrained(folder)


def words(fitted: FittedRequest) -> dict[str, Any]:
    return {
        "prompt": fitted.prompt,
        "negative_prompt": fitted.negative_prompt,
        "width": fitted.width,
        "height": fitted.height,
        "num_inference_steps": fitted.num_inference_steps,
        "guidance_scale": 3.0,
    }


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments = words(fitted)
    if fitted.task is Task.VIDEO_TO_VIDEO:
        return arguments | {"video": list(inputs.video), "strength": 0.8}
    arguments["num_frames"] = 9
    if fitted.task is Task.IMAGE_TO_VIDEO:
        arguments["image"] = inputs.image
        arguments["last_image"] = inputs.last_image
    if pipe.config.boundary_ratio is not None:
        arguments["guidance_scale_2"] = 2.0
    return arguments


def plain_two_pictures(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments = plain(pipe, fitted, inputs)
    return arguments | {"last_image": inputs.last_image or inputs.image}


def plain_vace(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments = words(fitted) | {"num_frames": 9}
    if inputs.video:
        return arguments | {"video": list(inputs.video)}
    if inputs.image is None:
        return arguments
    size = inputs.image.size
    grey, white = Image.new("RGB", size, (128, 128, 128)), Image.new("L", size, 255)
    video, mask = [inputs.image, *[grey] * 8], [Image.new("L", size), *[white] * 8]
    if inputs.last_image is not None:
        video[-1], mask[-1] = inputs.last_image, Image.new("L", size)
    return arguments | {"video": video, "mask": mask}


RENOISED: dict[str, Any] = {"shift": 0.967, "shift_terminal": 0.522, "stochastic_sampling": True}


def plain_renoised(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    """FastWan: three steps, each to a clean video with new noise on it."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler

    pipe.scheduler = FlowMatchEulerDiscreteScheduler(**RENOISED)
    torch.manual_seed(fitted.seed)  # the pipeline passes no generator on to the scheduler
    return plain(pipe, fitted, inputs) | {"guidance_scale": 1.0}


EXPERTS = {"boundary_ratio": 0.875, "transformer_2": transformer}
SEES_BOTH = partial(transformer, in_channels=36)
PICTURE = partial(transformer, in_channels=36, image_dim=4, added_kv_proj_dim=24)

SPECIMENS = (
    Specimen(
        "wan-2.1-t2v",
        # so many steps that a strength of 0.8 leaves more than one
        card("wan", ["t2v", "v2v"], defaults={"num_inference_steps": 4}),
        partial(save, cls="WanPipeline", transformer=transformer),
        plain,
    ),
    Specimen(
        "wan-2.1-i2v",
        card("wan", ["i2v"]),
        partial(save, cls="WanImageToVideoPipeline", transformer=PICTURE, sees=True),
        plain,
    ),
    Specimen(
        "wan-2.1-flf2v",
        card("wan", ["i2v"], takes={"last_image": True}, call={"needs_last_image": True}),
        partial(
            save,
            cls="WanImageToVideoPipeline",
            transformer=partial(PICTURE, pos_embed_seq_len=2 * VISION_TOKENS),
            sees=True,
        ),
        plain_two_pictures,
    ),
    Specimen(
        "wan-2.2-t2v-a14b",
        card("wan", ["t2v"], call={"guidance_scale_2": 2.0}),
        partial(save, cls="WanPipeline", transformer=transformer, **EXPERTS),
        plain,
    ),
    Specimen(
        "wan-2.2-i2v-a14b",
        card("wan", ["i2v"], call={"guidance_scale_2": 2.0}, takes={"last_image": True}),
        partial(
            save,
            cls="WanImageToVideoPipeline",
            transformer=SEES_BOTH,
            **EXPERTS | {"transformer_2": SEES_BOTH},
        ),
        plain,
    ),
    Specimen(
        "wan-2.2-ti2v-5b",
        card("wan", ["t2v", "i2v"], defaults={"width": 64, "height": 64}, size={"of": 32}),
        partial(
            save,
            cls="WanPipeline",
            flow_shift=5.0,
            transformer=transformer,
            vae=vae_22,
            expand_timesteps=True,
        ),
        plain,
    ),
    Specimen(
        "wan-2.1-vace",
        card(
            "wan",
            ["t2v", "i2v", "v2v"],
            classes={task: "WanVACEPipeline" for task in ("t2v", "i2v", "v2v")},
            takes={"last_image": True},
        ),
        partial(
            save,
            cls="WanVACEPipeline",
            transformer=partial(transformer, "WanVACETransformer3DModel", vace_layers=[0]),
        ),
        plain_vace,
    ),
    Specimen(
        "fastwan",
        card(
            "wan",
            ["t2v"],
            defaults={"guidance_scale": 1.0},
            limits={"min_steps": 3, "max_steps": 3, "max_guidance": 1.0},
            takes={"guidance": False, "negative_prompt": False},
            scheduler={"class": "FlowMatchEulerDiscreteScheduler", **RENOISED},
        ),
        partial(save, cls="WanPipeline", transformer=transformer),
        plain_renoised,
        frames_only=True,
    ),
)
