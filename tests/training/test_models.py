"""The three networks' shapes, sizes, and what the encoder must not see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLLTXVideo
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from training.models import (
    LATENT_CHANNELS,
    TOKENS,
    build_autoencoder,
    build_denoiser,
    build_text_encoder,
    count,
    grow_autoencoder,
    make_deterministic,
)
from training.pack import ALL_LIMIT_BYTES, FILE_LIMIT_BYTES

HALF = 2
"""Bytes of a number in half precision."""


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLLTXVideo:
    torch.manual_seed(0)
    return build_autoencoder().eval()


@torch.no_grad()
def encode(vae: AutoencoderKLLTXVideo, video: Tensor) -> Tensor:
    return vae.encode(video).latent_dist.mode()  # type: ignore[union-attr]


def draw_clip(frames: int, side: int = 32, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, frames, side, side, generator=generator) * 2 - 1


@pytest.mark.parametrize("frames", [1, 3, 9, 17])
def test_sixteen_pixels_and_two_frames_make_one_latent(
    vae: AutoencoderKLLTXVideo, frames: int
) -> None:
    latents = encode(vae, draw_clip(frames))
    assert latents.shape == (1, LATENT_CHANNELS, (frames - 1) // 2 + 1, 2, 2)
    with torch.no_grad():
        assert vae.decode(latents).sample.shape == (1, 3, frames, 32, 32)  # type: ignore[union-attr]


def test_the_first_latent_knows_the_first_picture_alone(vae: AutoencoderKLLTXVideo) -> None:
    one, other = draw_clip(9, seed=1), draw_clip(9, seed=2)
    other[:, :, 0] = one[:, :, 0]
    a, b = encode(vae, one), encode(vae, other)
    torch.testing.assert_close(a[:, :, 0], b[:, :, 0])
    assert (a[:, :, 1:] - b[:, :, 1:]).abs().mean() > 1e-3


def test_a_picture_has_the_latent_of_a_film_that_begins_with_it(
    vae: AutoencoderKLLTXVideo,
) -> None:
    video = draw_clip(9)
    torch.testing.assert_close(encode(vae, video[:, :, :1]), encode(vae, video)[:, :, :1])


def test_no_latent_knows_the_future(vae: AutoencoderKLLTXVideo) -> None:
    one = draw_clip(9)
    other = one.clone()
    other[:, :, 5:] = draw_clip(4, seed=3)
    torch.testing.assert_close(encode(vae, one)[:, :, :3], encode(vae, other)[:, :, :3])


def smaller(**changed: Any) -> AutoencoderKLLTXVideo:
    """With a layer less, and a posterior as diffusers makes it."""
    torch.manual_seed(1)
    config = {k: v for k, v in build_autoencoder().config.items() if not k.startswith("_")}
    changed = {"layers_per_block": (1, 1)} | changed
    return AutoencoderKLLTXVideo(**{**config, **changed}).eval()


@torch.no_grad()
def test_drawn_from_its_posterior_a_picture_has_the_latents_of_its_mode() -> None:
    """Pipelines draw; the variance is trained by nothing, so it must be none."""
    model, picture = smaller(), draw_clip(1)
    before = model.encode(picture).latent_dist  # type: ignore[union-attr]
    assert (before.sample() - before.mode()).abs().mean() > 0.1
    after = make_deterministic(model).encode(picture).latent_dist  # type: ignore[union-attr]
    torch.testing.assert_close(after.mode(), before.mode())
    torch.testing.assert_close(after.sample(), after.mode(), atol=1e-5, rtol=0)


@torch.no_grad()
def test_grown_an_autoencoder_does_what_it_did(vae: AutoencoderKLLTXVideo) -> None:
    before = make_deterministic(smaller())
    after = grow_autoencoder(before).eval()
    assert count(after) == count(vae) > count(before)
    latents = encode(before, draw_clip(5))
    torch.testing.assert_close(encode(after, draw_clip(5)), latents)
    torch.testing.assert_close(
        after.decode(latents).sample,  # type: ignore[union-attr]
        before.decode(latents).sample,  # type: ignore[union-attr]
    )


def test_another_kind_of_autoencoder_does_not_grow() -> None:
    with pytest.raises(ValueError, match="cannot grow this autoencoder"):
        grow_autoencoder(smaller(decoder_layers_per_block=(3, 2)))


def test_in_half_precision_everything_fits_the_repository(
    vae: AutoencoderKLLTXVideo, words: PreTrainedTokenizerFast
) -> None:
    networks = [vae, build_denoiser(), build_text_encoder(len(words))]
    assert sum(count(network) for network in networks) * HALF < 0.99 * ALL_LIMIT_BYTES
    largest = max(p.numel() for network in networks for p in network.parameters())
    assert largest * HALF < FILE_LIMIT_BYTES, "a file holds at least one tensor"


def test_the_networks_fit_each_other(words: PreTrainedTokenizerFast) -> None:
    transformer, encoder = build_denoiser(), build_text_encoder(len(words))
    assert transformer.config["in_channels"] == LATENT_CHANNELS
    assert transformer.config["out_channels"] == LATENT_CHANNELS
    assert transformer.config["caption_channels"] == encoder.config.d_model
    assert encoder.config.vocab_size == len(words)
    assert words.model_max_length == TOKENS
