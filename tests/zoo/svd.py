"""Stable Video Diffusion in miniature."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, parts


def build(folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    diffusers: Any = import_module("diffusers")
    unet = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        layers_per_block=1,
        sample_size=32,
        in_channels=8,
        out_channels=4,
        cross_attention_dim=32,
        num_attention_heads=8,
        projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
    )
    vae = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        latent_channels=4,
    )
    diffusers.StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=parts.clip_vision(cls="CLIPVisionModelWithProjection"),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            interpolation_type="linear",
            prediction_type="v_prediction",
            sigma_min=0.002,
            sigma_max=700.0,
            steps_offset=1,
            timestep_spacing="leading",
            timestep_type="continuous",
            use_karras_sigmas=True,
        ),
        feature_extractor=parts.clip_image_processor(),
    ).save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return {
        "image": inputs.image,
        "width": 32,
        "height": 32,
        "num_frames": 5,
        "fps": 7,
        "num_inference_steps": 3,
        "min_guidance_scale": 1.0,
        "max_guidance_scale": 3.0,
        "motion_bucket_id": 80,
        "noise_aug_strength": 0.05,
        "decode_chunk_size": 2,
    }


CARD = card(
    "svd",
    ["i2v"],
    defaults={"num_frames": 5, "fps": 7, "motion_bucket_id": 80},
    limits={"min_frames": 2, "max_frames": 25},
    call={"noise_aug_strength": 0.05, "decode_chunk_size": 2},
    size={"of": 8},
)
SPECIMENS = (Specimen("svd", CARD, build, plain),)
