"""The pocket model's three networks, as diffusers and transformers know them. Knows no data."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
from transformers import T5Config, T5EncoderModel

LATENT_CHANNELS = 64
LEAST_LOG_VARIANCE = -30.0
"""What diffusers' DiagonalGaussianDistribution clamps to."""
TOKENS = 128
"""The padded prompt length LTXPipeline uses when it is not told otherwise."""


def autoencoder() -> AutoencoderKLLTXVideo:
    """16 x 16 pixels x 2 frames to a latent of 64 channels; the first frame has one of its own.

    Pixels go through the residual down- and upsamplers of LTX-Video 0.9.5 (space to channel
    averages, as in DC-AE, arXiv:2410.10733), which learn much faster than strided convolutions.
    """
    model = AutoencoderKLLTXVideo(
        latent_channels=LATENT_CHANNELS,
        block_out_channels=(96, 192),
        down_block_types=("LTXVideo095DownBlock3D",),
        downsample_type=("spatiotemporal",),
        spatio_temporal_scaling=(True,),
        layers_per_block=(2, 1),
        decoder_block_out_channels=(192,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_layers_per_block=(2, 1),
        decoder_inject_noise=(False, False),
        upsample_residual=(True,),
        upsample_factor=(2,),
        patch_size=8,
        spatial_compression_ratio=16,
        temporal_compression_ratio=2,
        encoder_causal=True,
        decoder_causal=False,
    )
    return certain(model)


@torch.no_grad()
def certain(model: AutoencoderKLLTXVideo) -> AutoencoderKLLTXVideo:
    """Its posterior is its mode. Pipelines draw a given picture's latents from the posterior, whose
    variance nothing here trains: left as it began, it is noise of half the latents' own spread.
    """
    last: torch.nn.Conv3d = model.encoder.conv_out.conv
    assert last.bias is not None
    last.weight[LATENT_CHANNELS:] = 0
    last.bias[LATENT_CHANNELS:] = LEAST_LOG_VARIANCE
    return model


@torch.no_grad()
def grown(smaller: AutoencoderKLLTXVideo) -> AutoencoderKLLTXVideo:
    """One that does the same, with the layers that `autoencoder` has now: new ones add nothing yet.

    Errors: ValueError when `smaller` is of another kind.
    """
    model = autoencoder()
    missing, unknown = model.load_state_dict(smaller.state_dict(), strict=False)
    if unknown or any(".resnets." not in name for name in missing):
        raise ValueError(f"not an autoencoder to grow from: {[*unknown, *missing][:3]}")
    state = model.state_dict()
    for name in missing:
        if ".conv2." in name:
            state[name].zero_()
    return model


def trained_autoencoder(path: Path) -> AutoencoderKLLTXVideo:
    """From a run of `train_autoencoder`, or from a pipeline's folder such as the shipped one."""
    if (path / "vae").is_dir():
        return certain(
            AutoencoderKLLTXVideo.from_pretrained(path, subfolder="vae", use_safetensors=True)
        )
    model = autoencoder()
    model.load_state_dict(
        torch.load(path / "state.pt", map_location="cpu", weights_only=True)["ema"]
    )
    return certain(model)


def denoiser() -> LTXVideoTransformer3DModel:
    return LTXVideoTransformer3DModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_attention_heads=4,
        attention_head_dim=64,
        cross_attention_dim=256,
        num_layers=6,
        caption_channels=192,
    )


def text_encoder(vocab_size: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=vocab_size,
            d_model=192,
            d_kv=48,
            num_heads=4,
            d_ff=512,
            num_layers=2,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            tie_word_embeddings=False,  # type: ignore[call-arg]
        )
    )


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
