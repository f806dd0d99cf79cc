"""A tokenizer of whole words, for pipelines that cut their template off at a fixed token."""

from __future__ import annotations

from typing import Any

SPECIAL = (
    "<pad>",
    "<unk>",
    "<s>",
    "<image>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|im_start|>",
    "<|im_end|>",
)


def word_tokenizer(text: str, *, begin: bool = False, length: int = 2048) -> Any:
    """Words of `text` are one token each, others are spelled; `begin` puts <s> in front."""
    import re
    import string

    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    split = r"\n+| ?\w+| ?[^\w\s]"
    words = [
        word for word in re.findall(split, text) if not any(word.strip() in s for s in SPECIAL)
    ]
    letters = [*string.printable, *(f"##{c}" for c in string.printable)]
    vocab = {w: n for n, w in enumerate(dict.fromkeys([*SPECIAL, *letters, *words, "\n", "\n\n"]))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(split), "isolated")  # type: ignore
    if begin:
        tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore
            single="<s> $A", special_tokens=[("<s>", vocab["<s>"])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        bos_token="<s>",  # noqa: S106
        additional_special_tokens=list(SPECIAL[3:]),
        model_max_length=length,
    )
