"""HunyuanVideo 1.5 in miniature."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card
from tests.zoo.words import word_tokenizer

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen_text() -> Any:
    from transformers import Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

    config = Qwen2_5_VLTextConfig(
        vocab_size=400,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        rope_parameters={
            "mrope_section": [1, 1, 2],
            "rope_type": "default",
            "rope_theta": 1000000.0,
        },
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=2,
    )
    return Qwen2_5_VLTextModel(config).eval()


def byt5() -> tuple[Any, Any]:
    from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=400, d_model=32, d_kv=4, d_ff=16, num_layers=2, num_heads=2, use_cache=False
    )
    return T5EncoderModel(config).eval(), ByT5Tokenizer()


def siglip() -> tuple[Any, Any]:
    from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

    config = SiglipVisionConfig(
        hidden_size=12,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    return (
        SiglipVisionModel(config).eval(),
        SiglipImageProcessor(size={"height": 32, "width": 32}),
    )


def build(folder: Path, task: str = "t2v") -> None:
    import diffusers
    import torch
    from diffusers.guiders import ClassifierFreeGuidance

    torch.manual_seed(0)
    transformer = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=16,
        text_embed_2_dim=32,
        image_embed_dim=12,
        rope_axes_dim=(2, 2, 4),
        target_size=16,
        task_type=task,
    )
    vae = diffusers.AutoencoderKLHunyuanVideo15(
        latent_channels=4,
        block_out_channels=(16, 16),  # pyright: ignore[reportArgumentType]
        layers_per_block=1,
        spatial_compression_ratio=4,
        temporal_compression_ratio=2,
        downsample_match_channel=False,
        upsample_match_channel=False,
    )
    glyph_encoder, glyph_tokenizer = byt5()
    rest: dict[str, Any] = {
        "text_encoder": qwen_text(),
        "transformer": transformer,
        "vae": vae,
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        "text_encoder_2": glyph_encoder,
        "tokenizer_2": glyph_tokenizer,
        "guider": ClassifierFreeGuidance(guidance_scale=6.0),
    }
    kind = diffusers.HunyuanVideo15Pipeline
    if task == "i2v":
        kind = diffusers.HunyuanVideo15ImageToVideoPipeline
        rest["image_encoder"], rest["feature_extractor"] = siglip()
    tokenizer = word_tokenizer("")
    pipe = kind(tokenizer=tokenizer, **rest)
    tokenizer = word_tokenizer(pipe.system_message)
    tokenizer.chat_template = CHAT
    pipe.register_modules(tokenizer=tokenizer)
    pipe.save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    pipe.guider = pipe.guider.new(guidance_scale=3.0)
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "num_frames": 9,
        "num_inference_steps": 3,
    }
    if inputs.image is None:
        return arguments | {"width": 16, "height": 16}
    return arguments | {"image": inputs.image}


def small(task: str) -> dict[str, Any]:
    size = {"width": 16, "height": 16}
    limits = {"min_width": 16, "min_height": 16}
    return card("hunyuan15", [task], defaults=size, limits=limits)


SPECIMENS = (
    Specimen("hunyuan-video-1.5-t2v", small("t2v"), build, plain),
    Specimen("hunyuan-video-1.5-i2v", small("i2v"), partial(build, task="i2v"), plain),
)
