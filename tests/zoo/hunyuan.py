"""HunyuanVideo in miniature: text, and the two kinds of image checkpoints."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, parts
from tests.zoo.words import word_tokenizer

IMAGE_TOKEN, PAD_TOKEN = 3, 0


def vae() -> Any:
    from diffusers import AutoencoderKLHunyuanVideo

    return AutoencoderKLHunyuanVideo(
        block_out_channels=(8, 8, 8, 8),  # pyright: ignore[reportArgumentType]
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
    )


def llama_config() -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        pad_token_id=PAD_TOKEN,
        bos_token_id=2,
        eos_token_id=2,
    )


def llava() -> Any:
    """24 x 24 patches of a picture, as the template expects."""
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=37,
        num_attention_heads=2,
        num_hidden_layers=2,
        projection_dim=8,
        image_size=48,
        patch_size=2,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=llama_config(),
        image_token_index=IMAGE_TOKEN,
        image_seq_length=576,
        pad_token_id=PAD_TOKEN,  # pyright: ignore[reportCallIssue]
    )
    return LlavaForConditionalGeneration(config).eval()


def build(folder: Path, image: str | None = None) -> None:
    import diffusers
    import torch
    from diffusers.pipelines.hunyuan_video import (
        pipeline_hunyuan_video,
        pipeline_hunyuan_video_image2video,
    )
    from transformers import LlamaModel

    torch.manual_seed(0)
    transformer = diffusers.HunyuanVideoTransformer3DModel(
        in_channels=9 if image == "latent_concat" else 4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        guidance_embeds=image != "latent_concat",
        text_embed_dim=16,
        pooled_projection_dim=8,
        rope_axes_dim=(2, 4, 4),
        image_condition_type=image,
    )
    rest: dict[str, Any] = {
        "transformer": transformer,
        "vae": vae(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        "text_encoder_2": parts.clip_text(8),
        "tokenizer_2": parts.clip_tokenizer(),
    }
    if image is None:
        template = pipeline_hunyuan_video.DEFAULT_PROMPT_TEMPLATE["template"]
        pipe = diffusers.HunyuanVideoPipeline(
            text_encoder=LlamaModel(llama_config()).eval(),
            tokenizer=word_tokenizer(template, begin=True),
            **rest,
        )
    else:
        template = pipeline_hunyuan_video_image2video.DEFAULT_PROMPT_TEMPLATE["template"]
        pipe = diffusers.HunyuanVideoImageToVideoPipeline(
            text_encoder=llava(),
            tokenizer=word_tokenizer(template, begin=True),
            image_processor=parts.clip_image_processor(48),
            **rest,
        )
    pipe.save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "width": 16,
        "height": 16,
        "num_frames": 9,
        "num_inference_steps": 3,
        "guidance_scale": 6.0,
    }
    return arguments if inputs.image is None else arguments | {"image": inputs.image}


def plain_concat(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    """Four frames more, as the pipeline cuts four away."""
    return plain(pipe, fitted, inputs) | {"num_frames": 13, "guidance_scale": 1.0}


def plain_true_cfg(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return plain(pipe, fitted, inputs) | {"negative_prompt": "dull", "true_cfg_scale": 2.0}


def small(tasks: list[str], **changes: Any) -> dict[str, Any]:
    defaults = {"width": 16, "height": 16, "guidance_scale": 6.0} | changes.pop("defaults", {})
    limits = {"min_width": 16, "min_height": 16}
    return card("hunyuan", tasks, defaults=defaults, limits=limits, **changes)


SPECIMENS = (
    Specimen("hunyuan-video", small(["t2v"]), build, plain),
    Specimen(
        "hunyuan-video-true-cfg",
        small(["t2v"], takes={"negative_prompt": True}, call={"true_cfg_scale": 2.0}),
        build,
        plain_true_cfg,
    ),
    Specimen("hunyuan-video-i2v", small(["i2v"]), partial(build, image="token_replace"), plain),
    Specimen(
        "hunyuan-video-i2v-33ch",
        small(
            ["i2v"],
            defaults={"guidance_scale": 1.0},
            takes={"guidance": False},
            call={"image_condition_type": "latent_concat"},
        ),
        partial(build, image="latent_concat"),
        plain_concat,
    ),
)
