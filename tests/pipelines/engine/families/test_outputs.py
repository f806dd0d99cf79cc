"""Layouts of latents and the sound of pipelines that no family here knows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from pipelines.engine.families.layouts import to_bcfhw, unpack_tokens
from pipelines.engine.families.output_sound import has_sound, sound_of

CLIP = (3, 8, 12)
LATENTS = torch.randn(1, 4, *CLIP)

LAYOUTS = {
    "as Wan": (0, 1, 2, 3, 4),
    "as CogVideoX": (0, 2, 1, 3, 4),
    "as Kandinsky": (0, 2, 3, 4, 1),
}


@pytest.mark.parametrize("order", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("frames", [1, 3, 9], ids=lambda frames: f"{frames}-frames")
def test_any_number_of_frames_is_read(order: tuple[int, ...], frames: int) -> None:
    latents = torch.randn(1, 4, frames, 8, 12)
    assert torch.equal(to_bcfhw(latents.permute(order), 4, (8, 12)), latents)


def test_as_many_frames_as_channels_are_told_apart_by_the_size() -> None:
    latents = torch.randn(1, 4, 4, 8, 12)
    for order in (LAYOUTS["as Wan"], LAYOUTS["as Kandinsky"]):
        assert torch.equal(to_bcfhw(latents.permute(order), 4, (8, 12)), latents)


def test_a_stage_of_another_size_is_read_by_its_channels() -> None:
    latents = torch.randn(1, 16, 9, 2, 3)
    assert torch.equal(to_bcfhw(latents, 16, (8, 12)), latents)
    assert torch.equal(to_bcfhw(latents.permute(0, 2, 1, 3, 4), 16, (8, 12)), latents)


def test_a_batch_of_batches_is_read() -> None:
    latents = torch.randn(1, 4, 3, 8, 12)
    assert torch.equal(to_bcfhw(latents[None], 4, (8, 12)), latents)


def test_frames_as_a_batch_are_read() -> None:
    latents = torch.randn(5, 4, 8, 12)
    assert torch.equal(to_bcfhw(latents, 4, (8, 12))[0, :, 2], latents[2])


@pytest.mark.parametrize("shape", [(1, 3, 5, 8, 12), (4, 8, 12), (1, 9)])
def test_an_unknown_layout_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="unknown layout"):
        to_bcfhw(torch.zeros(shape), 4, (8, 12))


def packing(of: Any, patch: int, patch_t: int) -> Any:
    return SimpleNamespace(
        _unpack_latents=of._unpack_latents,
        transformer_spatial_patch_size=patch,
        transformer_temporal_patch_size=patch_t,
    )


@pytest.mark.parametrize("of", [diffusers.LTXPipeline, diffusers.LTX2Pipeline])
@pytest.mark.parametrize(("patch", "patch_t"), [(1, 1), (2, 1), (2, 3)])
def test_packed_latents_are_unpacked_by_their_pipeline(of: Any, patch: int, patch_t: int) -> None:
    packed = of._pack_latents(LATENTS, patch, patch_t)
    pipe = packing(of, patch, patch_t)
    assert torch.equal(unpack_tokens(pipe, packed, CLIP), LATENTS)
    conditions = torch.zeros(1, 17, packed.shape[2])
    assert torch.equal(unpack_tokens(pipe, torch.cat([packed, conditions], 1), CLIP), LATENTS)


def test_the_small_first_stage_of_a_packed_clip_is_unpacked() -> None:
    small = torch.randn(1, 4, 3, 4, 6)
    packed = diffusers.LTX2Pipeline._pack_latents(small, 1, 1)
    assert torch.equal(unpack_tokens(packing(diffusers.LTX2Pipeline, 1, 1), packed, CLIP), small)


def test_tokens_of_no_size_of_the_clip_are_an_error() -> None:
    pipe = packing(diffusers.LTX2Pipeline, 1, 1)
    with pytest.raises(ValueError, match="5 tokens"):
        unpack_tokens(pipe, torch.zeros(1, 5, 4), CLIP)
    with pytest.raises(ValueError, match="does not say"):
        unpack_tokens(SimpleNamespace(), torch.zeros(1, 288, 4), CLIP)


# -- sound ---------------------------------------------------------------------------------------


def pipe_of(**components: dict[str, float]) -> Any:
    parts = {name: SimpleNamespace(config=SimpleNamespace(**c)) for name, c in components.items()}
    return SimpleNamespace(components=parts, **parts)


WAVE = np.linspace(-1, 1, 48, dtype=np.float32)

SHAPES = [
    (WAVE[None], 1),
    (np.stack([WAVE, -WAVE])[None], 2),
    (np.stack([WAVE, -WAVE], -1)[None], 2),
    (torch.from_numpy(WAVE).bfloat16()[None], 1),
    ([torch.from_numpy(np.stack([WAVE, WAVE]))], 2),
]


@pytest.mark.parametrize(("samples", "channels"), SHAPES)
@pytest.mark.parametrize("name", ["audio", "sound", "audios"])
def test_the_sound_of_an_output_is_found(samples: Any, channels: int, name: str) -> None:
    pipe = pipe_of(
        vae={}, vocoder={"output_sampling_rate": 24000}, audio_vae={"sample_rate": 16000}
    )
    sound = sound_of(pipe, SimpleNamespace(frames=None, **{name: samples}))
    assert sound is not None
    assert sound.samples.shape == (channels, 48)
    assert np.allclose(sound.samples[0], WAVE, atol=0.01)
    assert sound.rate_hz == 24000


def test_a_decoder_gives_the_rate_where_no_vocoder_does() -> None:
    output = SimpleNamespace(audio=WAVE[None])
    found = sound_of(pipe_of(vocoder={}, audio_vae={"sample_rate": 44100}), output)
    assert found is not None
    assert found.rate_hz == 44100
    found = sound_of(pipe_of(sound_tokenizer={"sampling_rate": 48000}), output)
    assert found is not None
    assert found.rate_hz == 48000


def test_sound_without_a_rate_is_no_sound_but_is_not_missed() -> None:
    output = SimpleNamespace(audio=WAVE[None])
    assert sound_of(pipe_of(vae={"sample_rate": 16000}), output) is None
    assert has_sound(output)
    assert not has_sound(SimpleNamespace(audio=None, frames=[1]))
    assert not has_sound(None)
