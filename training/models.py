"""The pocket model's three networks, built from diffusers and transformers classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel
from transformers import T5Config, T5EncoderModel

from training import current_world


@dataclass(frozen=True)
class Architecture:
    """The autoencoder's sizes. Each level halves height, width and time, after 8 x 8 patches."""

    latent_channels: int
    space: int
    """Pixels per latent, along height and width."""
    time: int
    """Frames per latent; the first frame has a latent of its own."""
    encoder: tuple[int, ...]
    """Channels per level, from pixels to latents."""
    encoder_layers: tuple[int, ...]
    """Residual layers on each level, and between the last level and the latents."""
    decoder: tuple[int, ...]
    """Channels per level as diffusers counts them: before the upsampler divides them."""
    decoder_layers: tuple[int, ...]
    upsample_factor: tuple[int, ...]


ARCHITECTURE = Architecture(64, 16, 2, (96, 192), (2, 1), (192,), (2, 1), (2,))
LATENT_CHANNELS = ARCHITECTURE.latent_channels
UPSAMPLING = 2 if current_world.STORYBOOK else 1
"""The denoiser works at a clip's width and height divided by this; then its latents are doubled."""
SAMPLED_SIDE = current_world.SIDE // UPSAMPLING
"""In pixels."""
LATENT_FRAMES = (current_world.FRAMES - 1) // ARCHITECTURE.time + 1
LATENT_SIDE = SAMPLED_SIDE // ARCHITECTURE.space
MIN_LOG_VARIANCE = -30.0
"""What diffusers' DiagonalGaussianDistribution clamps to."""
TOKENS = 128
"""LTXPipeline's default prompt length, with padding."""


def build_autoencoder() -> AutoencoderKLLTXVideo:
    """Untrained. 16 x 16 pixels x 2 frames per 64-channel latent.

    Uses the residual down- and upsamplers of LTX-Video 0.9.5 (space-to-channel averages, as in
    DC-AE, arXiv:2410.10733), which learn much faster than strided convolutions.
    """
    architecture = ARCHITECTURE
    levels = len(architecture.decoder)
    model = AutoencoderKLLTXVideo(
        latent_channels=architecture.latent_channels,
        block_out_channels=architecture.encoder,
        down_block_types=("LTXVideo095DownBlock3D",) * levels,
        downsample_type=("spatiotemporal",) * levels,
        spatio_temporal_scaling=(True,) * levels,
        layers_per_block=architecture.encoder_layers,
        decoder_block_out_channels=architecture.decoder,
        decoder_spatio_temporal_scaling=(True,) * levels,
        decoder_layers_per_block=architecture.decoder_layers,
        decoder_inject_noise=(False,) * (levels + 1),
        upsample_residual=(True,) * levels,
        upsample_factor=architecture.upsample_factor,
        patch_size=8,
        spatial_compression_ratio=architecture.space,
        temporal_compression_ratio=architecture.time,
        encoder_causal=True,
        decoder_causal=False,
    )
    return make_deterministic(model)


@torch.no_grad()
def make_deterministic(model: AutoencoderKLLTXVideo) -> AutoencoderKLLTXVideo:
    """Sets the posterior's variance to zero, in place. Pipelines sample a given picture's latents
    from the posterior, whose variance is not trained here: at its initial value it would add noise
    of half the latents' standard deviation.
    """
    last: torch.nn.Conv3d = model.encoder.conv_out.conv
    assert last.bias is not None
    last.weight[LATENT_CHANNELS:] = 0
    last.bias[LATENT_CHANNELS:] = MIN_LOG_VARIANCE
    return model


@torch.no_grad()
def grow_autoencoder(smaller: AutoencoderKLLTXVideo) -> AutoencoderKLLTXVideo:
    """Copies an older autoencoder into the present architecture. New residual layers output zero,
    so the result is the same. Raises ValueError if the architectures do not match otherwise.
    """
    model = build_autoencoder()
    missing, unknown = model.load_state_dict(smaller.state_dict(), strict=False)
    if unknown or any(".resnets." not in name for name in missing):
        raise ValueError(f"cannot grow this autoencoder: {[*unknown, *missing][:3]}")
    state = model.state_dict()
    for name in missing:
        if ".conv2." in name:
            state[name].zero_()
    return model


@torch.no_grad()
def reconstruct(model: AutoencoderKLLTXVideo, video: torch.Tensor) -> torch.Tensor:
    """Encodes and decodes [B, 3, F, H, W] without noise."""
    return model.decode(model.encode(video).latent_dist.mode()).sample  # type: ignore[union-attr]


def restore_autoencoder(weights: dict[str, torch.Tensor]) -> AutoencoderKLLTXVideo:
    model = build_autoencoder()
    model.load_state_dict(weights)
    return model


def load_autoencoder(path: Path) -> AutoencoderKLLTXVideo:
    """Loads from a run of `train_autoencoder` (averaged weights) or from a pipeline's folder."""
    if (path / "vae").is_dir():
        return make_deterministic(
            AutoencoderKLLTXVideo.from_pretrained(path, subfolder="vae", use_safetensors=True)
        )
    state = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
    return make_deterministic(restore_autoencoder(state["ema"]))


def build_upsampler() -> LTXLatentUpsamplerModel:
    """Untrained. Doubles height and width of latents in the autoencoder's own scale."""
    return LTXLatentUpsamplerModel(
        in_channels=LATENT_CHANNELS,
        mid_channels=96,
        num_blocks_per_stage=2,
        dims=3,
        spatial_upsample=True,
        temporal_upsample=False,
    )


class UpsamplingDecoder(torch.nn.Module):
    """From the denoiser's latents, [B, C, F, H, W] in the autoencoder's own scale, to pixels."""

    def __init__(self, autoencoder: AutoencoderKLLTXVideo) -> None:
        super().__init__()
        self.upsampler = build_upsampler()
        self.decoder = autoencoder.decoder

    @classmethod
    def load(cls, run: Path, autoencoder: Path) -> UpsamplingDecoder:
        """The averaged weights of a run of `train_upsampler`."""
        model = cls(load_autoencoder(autoencoder))
        state = torch.load(run / "state.pt", map_location="cpu", weights_only=True)
        model.load_state_dict(state["ema"])
        return model

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.upsampler(latents))


def build_denoiser() -> LTXVideoTransformer3DModel:
    return LTXVideoTransformer3DModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_attention_heads=4,
        attention_head_dim=64,
        cross_attention_dim=256,
        num_layers=6,
        caption_channels=192,
    )


def build_text_encoder(vocab_size: int) -> T5EncoderModel:
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
