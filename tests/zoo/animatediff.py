"""AnimateDiff in miniature: a Stable Diffusion checkpoint, and a motion adapter beside it."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, parts

ADAPTER = "adapter"
LIGHTNING = "lightning/adapter_4step.safetensors"
SCHEDULER = {
    "class": "DDIMScheduler",
    "beta_schedule": "linear",
    "clip_sample": False,
    "steps_offset": 1,
    "timestep_spacing": "linspace",
}
ADAPTER_SETTINGS: dict[str, Any] = {
    "block_out_channels": (8, 8),
    "motion_norm_num_groups": 2,
    "motion_num_attention_heads": 4,
}
LCM = {"class": "LCMScheduler", "beta_schedule": "linear", "clip_sample": False}


def build(folder: Path) -> None:
    """As such checkpoints lie on the Hub: an image pipeline with another scheduler."""
    import torch

    torch.manual_seed(0)
    diffusers: Any = import_module("diffusers")
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 8),
        layers_per_block=2,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        norm_num_groups=2,
        attention_head_dim=4,
    )
    scheduler = diffusers.PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
    )
    diffusers.StableDiffusionPipeline(
        vae=vae(),
        text_encoder=parts.clip_text(),
        tokenizer=parts.clip_tokenizer(),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    save_adapter(folder, motion_layers_per_block=2)


def vae() -> Any:
    diffusers: Any = import_module("diffusers")
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=2,
    )


def save_adapter(folder: Path, **settings: Any) -> None:
    import torch
    from diffusers import MotionAdapter

    adapter = MotionAdapter(**ADAPTER_SETTINGS, **settings)
    generator = torch.Generator().manual_seed(1)
    for parameter in adapter.parameters():  # its output layers begin at zero: no motion at all
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    adapter.save_pretrained(folder / ADAPTER)


def build_lightning(folder: Path) -> None:
    """With an adapter that is a single file. The default settings of its class, which the real one
    has, are those of Stable Diffusion 1.5, so this tiny one has a config.json beside it."""
    build(folder)
    file = folder / LIGHTNING
    file.parent.mkdir()
    (folder / ADAPTER / "diffusion_pytorch_model.safetensors").rename(file)
    (folder / ADAPTER / "config.json").rename(file.with_name("config.json"))


def load_lightning(pipeline_class: Any, folder: Path, dtype: Any) -> Any:
    """As the page of AnimateDiff-Lightning shows it, but for the settings."""
    import diffusers
    from safetensors.torch import load_file

    adapter = diffusers.MotionAdapter(**ADAPTER_SETTINGS, motion_layers_per_block=2)
    adapter.load_state_dict(load_file(folder / LIGHTNING))
    pipe = pipeline_class.from_pretrained(folder, motion_adapter=adapter.to(dtype), dtype=dtype)
    pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(
        pipe.scheduler.config, timestep_spacing="trailing", beta_schedule="linear"
    )
    return pipe


def load(pipeline_class: Any, folder: Path, dtype: Any, scheduler: dict[str, Any]) -> Any:
    import diffusers

    adapter = diffusers.MotionAdapter.from_pretrained(folder / ADAPTER, dtype=dtype)
    pipe = pipeline_class.from_pretrained(folder, motion_adapter=adapter, dtype=dtype)
    options = dict(scheduler)
    kind = getattr(diffusers, options.pop("class"))
    pipe.scheduler = kind.from_config(pipe.scheduler.config, **options)
    return pipe


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs, num_frames: int) -> dict[str, Any]:
    if num_frames > 32:
        pipe.enable_free_noise(context_length=16, context_stride=4)
    return {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 16,
        "height": 16,
        "num_frames": num_frames,
        "num_inference_steps": 2,
        "guidance_scale": 7.5,
    }


def specimen(name: str, num_frames: int, scheduler: dict[str, Any]) -> Specimen:
    made = partial(load, scheduler=scheduler)
    about = small(num_frames, scheduler, ADAPTER)
    return Specimen(name, about, build, partial(plain, num_frames=num_frames), made)


def small(num_frames: int, scheduler: dict[str, Any], adapter: str) -> dict[str, Any]:
    return card(
        "animatediff",
        ["t2v"],
        defaults={
            "width": 16,
            "height": 16,
            "num_frames": num_frames,
            "num_inference_steps": 2,
            "guidance_scale": 7.5,
        },
        limits={"min_width": 16, "min_height": 16, "min_frames": 2, "max_frames": 64},
        scheduler=scheduler,
        parts={"motion_adapter": f"../repo/{adapter}"},
    )


TRAILING = {
    "class": "EulerDiscreteScheduler",
    "beta_schedule": "linear",
    "timestep_spacing": "trailing",
}

SPECIMENS = (
    specimen("animatediff", 4, SCHEDULER),
    specimen("animatediff-free-noise", 36, SCHEDULER),
    specimen("animatelcm", 4, LCM),
    Specimen(
        "animatediff-lightning",
        small(4, TRAILING, LIGHTNING),
        build_lightning,
        partial(plain, num_frames=4),
        load_lightning,
        frames_only=True,
    ),
)
