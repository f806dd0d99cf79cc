"""The pocket model's three networks, as diffusers and transformers know them. Knows no data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
from transformers import T5Config, T5EncoderModel

from training import current_world


@dataclass(frozen=True)
class Architecture:
    """Of the autoencoder; each level halves height, width and time, after patches of 8 x 8."""

    latent_channels: int
    space: int
    """Pixels to a latent, along height and width."""
    time: int
    """Frames to a latent; the first frame has one of its own."""
    encoder: tuple[int, ...]
    """Widths, from pixels to latents."""
    encoder_layers: tuple[int, ...]
    """Residual layers on each level, and between the last level and the latents."""
    decoder: tuple[int, ...]
    """As diffusers counts: what a level has before its upsampler divides it."""
    decoder_layers: tuple[int, ...]
    upsample_factor: tuple[int, ...]


ARCHITECTURES = {
    "emoji": Architecture(64, 16, 2, (96, 192), (2, 1), (192,), (2, 1), (2,)),
    "storybook": Architecture(128, 32, 4, (64, 128, 128), (1, 1, 1), (96, 192), (2, 2, 1), (1, 2)),
}
ARCHITECTURE = ARCHITECTURES[current_world.NAME]
LATENT_CHANNELS = ARCHITECTURE.latent_channels
LEAST_LOG_VARIANCE = -30.0
"""What diffusers' DiagonalGaussianDistribution clamps to."""
TOKENS = 128
"""The padded prompt length LTXPipeline uses when it is not told otherwise."""


def autoencoder() -> AutoencoderKLLTXVideo:
    """16 x 16 pixels x 2 frames to a latent of 64 channels, or 32 x 32 x 4 to 128 (the storybook).

    The first frame has a latent of its own. Pixels go through the residual down- and
    upsamplers of LTX-Video 0.9.5 (space to channel averages, as in DC-AE, arXiv:2410.10733), which
    learn much faster than strided convolutions.
    """
    is_a = ARCHITECTURE
    levels = len(is_a.decoder)
    model = AutoencoderKLLTXVideo(
        latent_channels=is_a.latent_channels,
        block_out_channels=is_a.encoder,
        down_block_types=("LTXVideo095DownBlock3D",) * levels,
        downsample_type=("spatiotemporal",) * levels,
        spatio_temporal_scaling=(True,) * levels,
        layers_per_block=is_a.encoder_layers,
        decoder_block_out_channels=is_a.decoder,
        decoder_spatio_temporal_scaling=(True,) * levels,
        decoder_layers_per_block=is_a.decoder_layers,
        decoder_inject_noise=(False,) * (levels + 1),
        upsample_residual=(True,) * levels,
        upsample_factor=is_a.upsample_factor,
        patch_size=8,
        spatial_compression_ratio=is_a.space,
        temporal_compression_ratio=is_a.time,
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
