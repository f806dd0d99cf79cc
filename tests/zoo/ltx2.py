"""LTX-2 in miniature: video and sound, and a decoder that wants a timestep."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest, Task
from tests.zoo import Specimen, card, parts
from tests.zoo.words import word_tokenizer

WIDTH, LAYERS = 32, 2
DECODE = {"decode_timestep": 0.05, "decode_noise_scale": 0.025}


def text_encoder() -> Any:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    text = Gemma3TextConfig(
        vocab_size=512,
        hidden_size=WIDTH,
        intermediate_size=37,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    )
    vision = SiglipVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    return Gemma3ForConditionalGeneration(config).eval()


def save(folder: Path, *, timestep_conditioning: bool = False) -> None:
    from diffusers import (
        AutoencoderKLLTX2Audio,
        AutoencoderKLLTX2Video,
        FlowMatchEulerDiscreteScheduler,
        LTX2Pipeline,
        LTX2VideoTransformer3DModel,
    )
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder

    transformer = LTX2VideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        audio_in_channels=4,
        audio_out_channels=4,
        audio_num_attention_heads=2,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=8,
        num_layers=2,
        caption_channels=WIDTH,
        rope_double_precision=False,
        rope_type="split",
    )
    connectors = LTX2TextConnectors(
        caption_channels=WIDTH,
        text_proj_in_factor=LAYERS + 1,
        video_connector_num_attention_heads=4,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=None,
        audio_connector_num_attention_heads=4,
        audio_connector_attention_head_dim=8,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=None,
        connector_rope_base_seq_len=32,
        rope_double_precision=False,
        rope_type="split",
    )
    vae = AutoencoderKLLTX2Video(
        latent_channels=4,
        block_out_channels=(8, 8),
        down_block_types=("LTX2VideoDownBlock3D", "LTX2VideoDownBlock3D"),
        decoder_block_out_channels=(8, 8),
        layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        spatio_temporal_scaling=(True, True),
        decoder_spatio_temporal_scaling=(True, True),
        decoder_inject_noise=(False, False, False),
        downsample_type=("spatiotemporal", "spatiotemporal"),
        upsample_type=("spatiotemporal", "spatiotemporal"),
        upsample_residual=(False, False),
        upsample_factor=(1, 1),
        timestep_conditioning=timestep_conditioning,
        patch_size=4,
        decoder_causal=False,
        spatial_compression_ratio=16,
        temporal_compression_ratio=4,
    )
    parts.spread_latent_statistics(vae)
    audio_vae = AutoencoderKLLTX2Audio(
        base_channels=4,
        ch_mult=(1,),
        num_res_blocks=1,
        resolution=32,
        latent_channels=2,
        mel_bins=8,
    )
    vocoder = LTX2Vocoder(
        in_channels=2 * 8,  # the spectrogram's channels and bins
        hidden_channels=16,
        upsample_kernel_sizes=[20, 8, 8],
        upsample_factors=[10, 4, 6],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3]],
    )
    tokenizer = word_tokenizer("a dog in the snow", length=32)
    # as Gemma's: the pipelines remember the side they were made with
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "left"
    LTX2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        audio_vae=audio_vae,
        text_encoder=text_encoder(),
        tokenizer=tokenizer,
        connectors=connectors,
        transformer=transformer,
        vocoder=vocoder,
    ).save_pretrained(folder)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": fitted.negative_prompt,
        "width": fitted.width,
        "height": fitted.height,
        "num_frames": 9,
        "frame_rate": 8.0,
        "num_inference_steps": 3,
        "guidance_scale": 3.0,
        "spatio_temporal_guidance_blocks": [1],
        "max_sequence_length": 32,
    }
    if pipe.vae.config.timestep_conditioning:
        arguments |= DECODE
    if fitted.task is Task.VIDEO_TO_VIDEO:
        clip = LTX2VideoCondition(frames=list(inputs.video), strength=1.0 - 0.8)
        arguments["conditions"] = [clip]
    elif inputs.image is not None:
        arguments["conditions"] = [LTX2VideoCondition(frames=inputs.image, crf=0)]
        if inputs.last_image is not None:
            last = LTX2VideoCondition(frames=inputs.last_image, index=2, crf=0)
            arguments["conditions"].append(last)
    return arguments


DISTILLED = {
    "stg_scale": 0.0,
    "audio_stg_scale": 0.0,
    "modality_scale": 1.0,
    "audio_modality_scale": 1.0,
    "audio_guidance_scale": 1.0,
}


def plain_distilled(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return DISTILLED | {
        "prompt": fitted.prompt,
        "width": 32,
        "height": 32,
        "num_frames": 9,
        "frame_rate": 8.0,
        "num_inference_steps": 8,
        "sigmas": [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875],
        "guidance_scale": 1.0,
        "max_sequence_length": 32,
    }


CALL = {"stg_block": 1, "max_sequence_length": 32}
CARD = card("ltx2", ["t2v", "i2v", "v2v"], frames={"of": 4, "plus": 1})

SPECIMENS = (
    Specimen("ltx-2", CARD | {"call": CALL}, save, plain),
    Specimen(
        "ltx-2-timestep",
        CARD | {"call": CALL | DECODE, "tasks": ["t2v"]},
        partial(save, timestep_conditioning=True),
        plain,
    ),
    Specimen(
        "ltx-2-distilled",
        card(
            "ltx2",
            ["t2v"],
            defaults={"num_inference_steps": 8, "guidance_scale": 1.0},
            frames={"of": 4, "plus": 1},
            takes={"guidance": False, "negative_prompt": False},
            call={"max_sequence_length": 32, "distilled_sigmas": True, **DISTILLED},
        ),
        save,
        plain_distilled,
    ),
)
