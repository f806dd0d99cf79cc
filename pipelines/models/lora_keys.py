"""How LoRA files name their layers: kohya, peft, diffusers old and new, ComfyUI, or nothing at all.

A file's keys become layers: a module's name and what belongs to it. Knows names only, so it is
light; which of them a model has is for `lora_layers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

DOWN, UP, ALPHA, BIAS, DIFF = "down", "up", "alpha", "bias", "diff"

ENDINGS = [
    (re.compile(r"\.lora_A(\.[\w-]+)?(\.weight)?$"), DOWN),
    (re.compile(r"\.lora_B(\.[\w-]+)?\.bias$"), BIAS),
    (re.compile(r"\.lora_B(\.[\w-]+)?(\.weight)?$"), UP),
    (re.compile(r"(\.lora_linear_layer|[._]lora)\.down\.weight$"), DOWN),
    (re.compile(r"(\.lora_linear_layer|[._]lora)\.up\.weight$"), UP),
    (re.compile(r"\.lora_down(\.weight)?$"), DOWN),
    (re.compile(r"\.lora_up(\.weight)?$"), UP),
    (re.compile(r"\.(lora_)?alpha$"), ALPHA),
    (re.compile(r"\.diff_b$"), BIAS),
    (re.compile(r"\.diff$"), DIFF),
]
"""Longer endings first where one contains another."""

OTHER_KINDS = [
    (re.compile(r"dora_scale|lora_magnitude_vector"), "a DoRA"),
    (re.compile(r"\.lokr_w"), "a LoKr"),
    (re.compile(r"\.hada_[wt]"), "a LoHa"),
    (re.compile(r"\.oft_|\.boft_"), "an OFT"),
    (re.compile(r"\.lora_mid(\.weight)?$"), "a LoCon with Tucker layers"),
    (re.compile(r"\.(a1|a2|b1|b2)\.weight$"), "a GLoRA"),
    (re.compile(r"\.on_input$"), "an IA3"),
]
"""Adapters that are no plain LoRA. They would be applied in part, or wrongly."""

PREFIXES = (
    "base_model.model.", "model.diffusion_model.", "diffusion_model.", "lora_unet_",
    "lora_transformer_", "lycoris_", "transformer.", "unet.", "model.", "module.",
)  # fmt: skip
"""What trainers write before a module's name; one file may have several of them in a row."""
TEXT_PREFIXES = ("text_encoder.", "lora_te_", "lora_te1_", "te1_", "te_")
OTHER_TEXT_PREFIXES = ("text_encoder_2.", "text_encoder_3.", "lora_te2_", "lora_te3_", "te2_")
SECOND_PREFIXES = ("transformer_2.",)

MAIN, SECOND, TEXT, OTHER_TEXT = "main", "second", "text", "other text"


@dataclass
class Named:
    """One layer of a file: the keys of its parts, by what they are."""

    module: str
    """As the file has it, without its ending."""
    keys: dict[str, str] = field(default_factory=dict)


def another_kind(keys: Iterable[str]) -> str | None:
    """What the file is, if it is an adapter but no plain LoRA."""
    for key in keys:
        for pattern, kind in OTHER_KINDS:
            if pattern.search(key):
                return kind
    return None


def layers_of(keys: Iterable[str]) -> list[Named]:
    """The layers of a file in its order; keys that belong to none are layers of their own."""
    found: dict[str, Named] = {}
    for key in keys:
        module, part = _split(key)
        found.setdefault(module, Named(module)).keys[part] = key
    return list(found.values())


def is_lora(keys: Iterable[str]) -> bool:
    return any({DOWN, UP} <= set(layer.keys) for layer in layers_of(keys))


def _split(key: str) -> tuple[str, str]:
    for pattern, part in ENDINGS:
        found = pattern.search(key)
        if found:
            return key[: found.start()], part
    return key, "unknown"


def place_of(module: str) -> tuple[str, list[str]]:
    """Which component a module belongs to, and the names it may have there, the likeliest first."""
    for prefixes, place in (
        (SECOND_PREFIXES, SECOND),
        (OTHER_TEXT_PREFIXES, OTHER_TEXT),
        (TEXT_PREFIXES, TEXT),
    ):
        for prefix in prefixes:
            if module.startswith(prefix):
                name = module.removeprefix(prefix)
                return place, [_modern(each) for each in _with_and_without(name)]
    names = [module]
    while True:
        prefix = next((p for p in PREFIXES if names[-1].startswith(p)), None)
        if prefix is None:
            return MAIN, [_modern(name) for name in reversed(names)]
        names.append(names[-1].removeprefix(prefix))


def _with_and_without(name: str) -> list[str]:
    """CLIP's encoder is wrapped in older versions of transformers, and not in newer ones."""
    for wrapper in ("text_model.", "text_model_"):
        if name.startswith(wrapper):
            return [name, name.removeprefix(wrapper)]
    return [name, f"text_model.{name}", f"text_model_{name}"]


def _modern(name: str) -> str:
    """Attention's processors carried the layers once: attn1.processor.to_out -> attn1.to_out.0."""
    if ".processor." not in name:
        return name
    name = name.replace(".processor.", ".")
    return f"{name}.0" if name.endswith(".to_out") else name


def flat(name: str) -> str:
    """As kohya writes a module's name."""
    return name.replace(".", "_")
