"""A real LTX pipeline with random weights, small enough to build in a blink.

It is built like the pocket model (16x16 pixels and 2 frames per latent) and knows nothing.
"""

from __future__ import annotations

import string
from pathlib import Path

import yaml

CARD = {
    "id": "pocket",
    "name": "Tiny",
    "family": "ltx",
    "tasks": ["t2v", "i2v"],
    "license": "apache-2.0",
    "about": "Random weights for tests.",
    "knows": {"subjects": ["dog", "rocket"], "places": ["snow", "night"]},
    "defaults": {
        "width": 64,
        "height": 64,
        "num_frames": 9,
        "fps": 8,
        "num_inference_steps": 4,
        "guidance_scale": 3.0,
    },
    "limits": {
        "min_width": 32,
        "max_width": 128,
        "min_height": 32,
        "max_height": 128,
        "min_frames": 5,
        "max_frames": 33,
        "max_steps": 50,
        "max_guidance": 10,
        "min_fps": 4,
        "max_fps": 24,
    },
    "shapes": [
        {"label": "1:1", "width": 64, "height": 64},
        {"label": "3:2", "width": 96, "height": 64},
        {"label": "2:3", "width": 64, "height": 96},
    ],
    "frames": {"of": 2, "plus": 1},
    "size": {"of": 32},
    "needs": {"ram_gb": 1, "disk_gb": 0.01},
    "examples": [{"prompt": "a dog running to the right in the snow", "seed": 3}],
}


def build(folder: Path, *, timestep_conditioning: bool = False, seed: int = 0) -> Path:
    """Save the pipeline into `folder`, as `from_pretrained` reads it."""
    import torch
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    torch.manual_seed(seed)
    letters = string.ascii_letters + string.digits + string.punctuation
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    tokenizer = T5Tokenizer(
        vocab=vocab + [(c, -3.0) for c in letters], extra_ids=0, model_max_length=128
    )
    text_encoder = T5EncoderModel(
        T5Config(vocab_size=128, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    )
    transformer = LTXVideoTransformer3DModel(
        in_channels=16,
        out_channels=16,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        caption_channels=32,
        num_layers=2,
    )
    vae = AutoencoderKLLTXVideo(
        latent_channels=16,
        block_out_channels=(16, 32),
        down_block_types=("LTXVideo095DownBlock3D",),
        downsample_type=("spatiotemporal",),
        spatio_temporal_scaling=(True,),
        layers_per_block=(1, 1),
        decoder_block_out_channels=(32,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_layers_per_block=(1, 1),
        decoder_inject_noise=(False, False),
        upsample_residual=(True,),
        upsample_factor=(2,),
        timestep_conditioning=timestep_conditioning,
        patch_size=8,
        spatial_compression_ratio=16,
        temporal_compression_ratio=2,
    )
    vae.latents_mean.copy_(torch.linspace(-0.1, 0.1, 16))
    vae.latents_std.copy_(torch.linspace(0.5, 1.5, 16))
    pipe = LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    )
    pipe.save_pretrained(folder)
    return folder


def write_card(models_dir: Path, repo: Path, **changes: object) -> Path:
    """A card for a pipeline in `repo`; `changes` replace whole keys. By its own name it is the
    usual one, whatever other cards are there."""
    models_dir.mkdir(parents=True, exist_ok=True)
    card = CARD | {"repo": str(repo)} | changes
    card["usual"] = card["id"] == CARD["id"]
    path = models_dir / f"{card['id']}.yaml"
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    return path
