"""Kandinsky 5 in miniature: text, and image with what it is conditioned on beside the latents."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, parts
from tests.zoo.hunyuan import vae
from tests.zoo.words import word_tokenizer


def qwen() -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "vocab_size": 400,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {
            "mrope_section": [1, 1, 2],
            "rope_type": "default",
            "rope_theta": 1000000.0,
        },
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 2,
    }
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
    }
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def build(folder: Path, task: str = "t2v") -> None:
    import diffusers
    import torch

    torch.manual_seed(0)
    transformer = diffusers.Kandinsky5Transformer3DModel(
        in_visual_dim=4,
        in_text_dim=16,
        in_text_dim2=8,
        time_dim=16,
        out_visual_dim=4,
        model_dim=16,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=1,
        axes_dims=(2, 2, 4),
        visual_cond=True,
    )
    kind: Any = diffusers.Kandinsky5T2VPipeline
    if task == "i2v":
        kind = diffusers.Kandinsky5I2VPipeline
    pipe = kind(
        transformer=transformer,
        vae=vae(),
        text_encoder=qwen(),
        tokenizer=word_tokenizer(""),
        text_encoder_2=parts.clip_text(8),
        tokenizer_2=parts.clip_tokenizer(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0),
    )
    pipe.register_modules(tokenizer=word_tokenizer(pipe.prompt_template))
    pipe.save_pretrained(folder)
    name_tokenizer(folder, "Qwen2VLProcessor")  # as the real repositories do


def name_tokenizer(folder: Path, of: str) -> None:
    path = folder / "model_index.json"
    index = json.loads(path.read_text()) | {"tokenizer": ["transformers", of]}
    path.write_text(json.dumps(index))


def load(of: Any, folder: Path, dtype: Any) -> Any:
    """The real processor wants torchvision, and hands words on to its tokenizer."""
    copy = folder.with_name("plain")
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    name_tokenizer(copy, "PreTrainedTokenizerFast")
    return of.from_pretrained(copy, dtype=dtype)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 32,
        "height": 32,
        "num_frames": 17,
        "num_inference_steps": 3,
        "guidance_scale": 5.0,
    }
    return arguments if inputs.image is None else arguments | {"image": inputs.image}


def small(task: str) -> dict[str, Any]:
    """At least five latent frames: the first four are evened out with the fifth."""
    defaults = {"num_frames": 17, "guidance_scale": 5.0}
    return card("kandinsky5", [task], defaults=defaults, limits={"min_frames": 17})


SPECIMENS = (
    Specimen("kandinsky-5-t2v", small("t2v"), build, plain, load),
    Specimen("kandinsky-5-i2v", small("i2v"), partial(build, task="i2v"), plain, load),
)
