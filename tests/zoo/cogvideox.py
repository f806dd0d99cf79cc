"""CogVideoX in miniature: 1.0 (T2V and V2V; I2V), 1.5 with patches over time, and the DPM sampler
that the 5B checkpoints are best with."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest, Task
from tests.zoo import Specimen, card, parts


def build(folder: Path, task: str = "t2v", sampler: str = "DDIM", **transformer: Any) -> None:
    import diffusers
    import torch

    torch.manual_seed(0)
    image = task == "i2v"
    model = diffusers.CogVideoXTransformer3DModel(
        **{
            "num_attention_heads": 2 if image else 4,
            "attention_head_dim": 16 if image else 8,
            "in_channels": 8 if image else 4,
            "out_channels": 4,
            "time_embed_dim": 2,
            "text_embed_dim": 32,
            "num_layers": 1,
            "sample_width": 2,
            "sample_height": 2,
            "sample_frames": 9,
            "patch_size": 2,
            "max_text_seq_length": 16,
            "use_rotary_positional_embeddings": image,
            "use_learned_positional_embeddings": image,
            **transformer,
        }
    )
    vae = diffusers.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),  # pyright: ignore[reportArgumentType]
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        scaling_factor=0.7,
    )
    name = "CogVideoXImageToVideoPipeline" if image else "CogVideoXPipeline"
    getattr(diffusers, name)(
        tokenizer=parts.t5_tokenizer(16),
        text_encoder=parts.t5_encoder(),
        vae=vae,
        transformer=model,
        scheduler=getattr(diffusers, f"CogVideoX{sampler}Scheduler")(
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
        ),
    ).save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 16,
        "height": 16,
        "num_inference_steps": 3,
        "guidance_scale": 6.0,
        "max_sequence_length": 16,
    }
    match fitted.task:
        case Task.TEXT_TO_VIDEO:
            return arguments | {"num_frames": fitted.num_frames}
        case Task.IMAGE_TO_VIDEO:
            return arguments | {"num_frames": fitted.num_frames, "image": inputs.image}
        case Task.VIDEO_TO_VIDEO:
            return arguments | {"video": list(inputs.video), "strength": 0.8}


def plain_dpm(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return plain(pipe, fitted, inputs) | {"use_dynamic_cfg": True}


def small(tasks: list[str], **changes: Any) -> dict[str, Any]:
    size = {"width": 16, "height": 16, "guidance_scale": 6.0} | changes.pop("defaults", {})
    limits = {"min_width": 16, "min_height": 16}
    call = {"max_sequence_length": 16} | changes.pop("call", {})
    return card("cogvideox", tasks, defaults=size, limits=limits, call=call, **changes)


V15 = {
    "patch_size_t": 2,
    "patch_bias": False,
    "use_rotary_positional_embeddings": True,
    "use_learned_positional_embeddings": False,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "sample_width": 4,
    "sample_height": 4,
}
SPECIMENS = (
    Specimen("cogvideox-2b", small(["t2v", "v2v"]), build, plain),
    Specimen(
        "cogvideox-5b",
        small(["t2v"], call={"use_dynamic_cfg": True}),
        partial(build, sampler="DPM"),
        plain_dpm,
    ),
    Specimen("cogvideox-5b-i2v", small(["i2v"]), partial(build, task="i2v"), plain),
    Specimen(
        "cogvideox-1.5-5b",
        small(["t2v"], defaults={"num_frames": 17}, frames={"of": 8, "plus": 1}),
        partial(build, **V15),
        plain,
    ),
    Specimen(
        "cogvideox-1.5-5b-i2v",
        small(["i2v"], defaults={"num_frames": 17}),
        partial(build, task="i2v", ofs_embed_dim=2, **V15),
        plain,
    ),
)
