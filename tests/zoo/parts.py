"""Tokenizers and encoders small enough to build in a blink, without any hub."""

from __future__ import annotations

import string
from typing import Any

LETTERS = string.ascii_letters + string.digits + string.punctuation


def t5_tokenizer(length: int = 128) -> Any:
    from transformers import T5Tokenizer

    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocab += [(letter, -3.0) for letter in LETTERS]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=length)


def t5_encoder(width: int = 32) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=128, d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    ).eval()


def umt5_encoder(width: int = 32) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(
        UMT5Config(vocab_size=128, d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    ).eval()


def clip_tokenizer() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def clip_text(width: int = 8, cls: str = "CLIPTextModel") -> Any:
    """`cls` may be CLIPTextModelWithProjection."""
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=520,
        hidden_size=width,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=width,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    return getattr(transformers, cls)(config).eval()


def clip_vision(width: int = 32, *, image: int = 224, cls: str = "CLIPVisionModel") -> Any:
    """`cls` may be CLIPVisionModelWithProjection."""
    import transformers

    config = transformers.CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=width,
        image_size=image,
        patch_size=32,
    )
    return getattr(transformers, cls)(config).eval()


def clip_image_processor(image: int = 224) -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(
        size={"shortest_edge": image}, crop_size={"height": image, "width": image}
    )


def spread_latent_statistics(vae: Any) -> None:
    """Means and deviations that a decoder which forgets them would get wrong."""
    import torch

    channels = len(vae.latents_mean)
    vae.latents_mean.copy_(torch.linspace(-0.1, 0.1, channels))
    vae.latents_std.copy_(torch.linspace(0.5, 1.5, channels))
