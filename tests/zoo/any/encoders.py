"""Text and image encoders, tokenizers and processors, by the names that annotations have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.zoo import hunyuan, hunyuan15, kandinsky5, ltx2, parts, sana
from tests.zoo.words import word_tokenizer


def qwen2_vl() -> Any:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    text = {
        "vocab_size": 400,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6},
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 2,
    }
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 1}
    config = Qwen2VLConfig(text_config=text, vision_config=vision)
    return Qwen2VLForConditionalGeneration(config).eval()


def t5gemma() -> Any:
    from transformers import SiglipVisionConfig, T5Gemma2Config, T5Gemma2EncoderConfig
    from transformers.models.t5gemma2.modeling_t5gemma2 import T5Gemma2Encoder

    del T5Gemma2Config
    text = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 1104,
        "max_position_embeddings": 128,
        "head_dim": 16,
        "num_key_value_heads": 2,
        "dropout_rate": 0.0,
    }
    vision = SiglipVisionConfig(
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
    )
    config = T5Gemma2EncoderConfig(text_config=text, vision_config=vision.to_dict())
    return T5Gemma2Encoder(config).eval()


def llama() -> Any:
    from transformers import LlamaModel

    return LlamaModel(hunyuan.llama_config()).eval()


def hunyuan_words(kind: str = "pipeline_hunyuan_video") -> Any:
    """One that knows the words of the pipeline's template, which it cuts off by their number."""
    from importlib import import_module

    from tokenizers import processors

    module = import_module(f"diffusers.pipelines.hunyuan_video.{kind}")
    template = module.DEFAULT_PROMPT_TEMPLATE
    tokenizer = word_tokenizer(template["template"], begin=True)
    # as many tokens as the real one has, so that something is left of an empty prompt too
    short = template["crop_start"] + 1 - len(tokenizer(template["template"].format("")).input_ids)
    first = " ".join(["<s>"] * (1 + max(0, short)))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


def chat_words(text: str = "") -> Any:
    tokenizer = word_tokenizer(text)
    tokenizer.chat_template = hunyuan15.CHAT
    return tokenizer


def qwen_words() -> Any:
    """With the tokens that a pipeline looks up by name."""
    tokenizer = chat_words()
    tokenizer.add_special_tokens(
        {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|vision_start|>"]}
    )
    return tokenizer


def left_words() -> Any:
    tokenizer = word_tokenizer("a dog in the snow", length=32)
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "left"
    return tokenizer


def small_siglip(number: int, side: int = 32) -> Any:
    return hunyuan15.siglip()[number]


def kandinsky_words(of: str) -> Any:
    """The words of the template of that class, which it cuts off by their number."""
    import inspect

    import diffusers

    source = inspect.getsource(inspect.getmodule(getattr(diffusers, of)))  # type: ignore[arg-type]
    return chat_words(source[source.find("prompt_template") :][:4000])


def hunyuan15_words() -> Any:
    """Those of the system message, which the pipeline cuts off by their number."""
    import inspect

    from diffusers import HunyuanVideo15Pipeline as of

    source = inspect.getsource(of.__init__)
    return chat_words(source[source.find("system_message") :])


def byt5() -> Any:
    return hunyuan15.byt5()[0]


ENCODERS: dict[str, Callable[..., Any]] = {
    "ByT5Encoder": byt5,
    "ByT5Tokenizer": lambda: hunyuan15.byt5()[1],
    "Hunyuan15Words": hunyuan15_words,
    "KandinskyWords": kandinsky_words,
    "LeftWords": left_words,
    "T5EncoderModel": parts.t5_encoder,
    "UMT5EncoderModel": parts.umt5_encoder,
    "CLIPTextModel": parts.clip_text,
    "CLIPTextModelWithProjection": partial(parts.clip_text, cls="CLIPTextModelWithProjection"),
    "CLIPVisionModel": partial(parts.clip_vision, width=4, image=32),
    "CLIPVisionModelWithProjection": partial(
        parts.clip_vision, width=4, image=32, cls="CLIPVisionModelWithProjection"
    ),
    "LlamaModel": llama,
    "LlavaForConditionalGeneration": hunyuan.llava,
    "Qwen2_5_VLTextModel": hunyuan15.qwen_text,
    "Qwen2_5_VLForConditionalGeneration": kandinsky5.qwen,
    "Qwen2VLForConditionalGeneration": qwen2_vl,
    "Gemma2PreTrainedModel": sana.gemma,
    "Gemma3ForConditionalGeneration": ltx2.text_encoder,
    "T5Gemma2Encoder": t5gemma,
    "SiglipVisionModel": partial(small_siglip, 0),
    "SiglipImageProcessor": partial(small_siglip, 1),
    "CLIPImageProcessor": partial(parts.clip_image_processor, image=32),
    "CLIPProcessor": partial(parts.clip_image_processor, image=32),
    "T5Tokenizer": parts.t5_tokenizer,
    "T5TokenizerFast": parts.t5_tokenizer,
    "AutoTokenizer": parts.t5_tokenizer,
    "PreTrainedTokenizerBase": parts.t5_tokenizer,
    "CLIPTokenizer": parts.clip_tokenizer,
    "GemmaTokenizer": partial(word_tokenizer, "", length=1000),
    "LlamaTokenizer": hunyuan_words,
    "Qwen2Tokenizer": qwen_words,
    "Qwen2VLProcessor": chat_words,
    "Qwen2_5_VLProcessor": chat_words,
}
