"""Parses the keys of LoRA files into layers: kohya, peft, old and new diffusers, ComfyUI.

Works on names alone; `pipelines/engine/lora_layers.py` matches them with a model's modules.
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
"""Adapters that are no plain LoRA: they would be applied in part, or wrongly."""

PREFIXES = (
    "base_model.model.", "model.diffusion_model.", "diffusion_model.", "lora_unet_",
    "lora_transformer_", "lycoris_", "transformer.", "unet.", "model.", "module.",
)  # fmt: skip
"""Prefixes of a module's name; a file may have several in a row."""
TEXT_PREFIXES = ("text_encoder.", "lora_te_", "lora_te1_", "te1_", "te_")
OTHER_TEXT_PREFIXES = ("text_encoder_2.", "text_encoder_3.", "lora_te2_", "lora_te3_", "te2_")
SECOND_PREFIXES = ("transformer_2.",)

WAN_LAYER = re.compile(r"blocks_(\d+)_(?:(self_attn|cross_attn)_(\w+)|(ffn)_(\d+))")
MAIN, SECOND, TEXT, OTHER_TEXT = "main", "second", "text", "other text"


@dataclass
class LoraLayer:
    """One layer of a file: its keys by their role (DOWN, UP, ALPHA, BIAS, DIFF)."""

    module: str
    """The name in the file, without the ending."""
    keys: dict[str, str] = field(default_factory=dict)


def unsupported_kind(keys: Iterable[str]) -> str | None:
    """The kind of adapter, such as "a LoKr", if the file is no plain LoRA; else None."""
    for key in keys:
        for pattern, kind in OTHER_KINDS:
            if pattern.search(key):
                return kind
    return None


def group_layers(keys: Iterable[str]) -> list[LoraLayer]:
    """The layers of a file in its order; an unknown key is a layer of its own."""
    found: dict[str, LoraLayer] = {}
    for key in keys:
        module, part = _split_key(key)
        found.setdefault(module, LoraLayer(module)).keys[part] = key
    return list(found.values())


def is_lora(keys: Iterable[str]) -> bool:
    return any({DOWN, UP} <= set(layer.keys) for layer in group_layers(keys))


def _split_key(key: str) -> tuple[str, str]:
    for pattern, part in ENDINGS:
        found = pattern.search(key)
        if found:
            return key[: found.start()], part
    return key, "unknown"


def locate_module(module: str) -> tuple[str, list[str]]:
    """The component a module belongs to, and its possible names there, likeliest first."""
    for prefixes, place in (
        (SECOND_PREFIXES, SECOND),
        (OTHER_TEXT_PREFIXES, OTHER_TEXT),
        (TEXT_PREFIXES, TEXT),
    ):
        for prefix in prefixes:
            if module.startswith(prefix):
                name = module.removeprefix(prefix)
                return place, [_current_attention_name(each) for each in _name_variants(name)]
    names = [module]
    while True:
        prefix = next((p for p in PREFIXES if names[-1].startswith(p)), None)
        if prefix is None:
            return MAIN, [_current_attention_name(name) for name in reversed(names)]
        names.append(names[-1].removeprefix(prefix))


def _name_variants(name: str) -> list[str]:
    """With and without the wrapper around CLIP's encoder, which newer transformers do not have."""
    for wrapper in ("text_model.", "text_model_"):
        if name.startswith(wrapper):
            return [name, name.removeprefix(wrapper)]
    return [name, f"text_model.{name}", f"text_model_{name}"]


def _current_attention_name(name: str) -> str:
    """Old diffusers had the layers in attention processors: attn1.processor.to_out is now
    attn1.to_out.0."""
    if ".processor." not in name:
        return name
    name = name.replace(".processor.", ".")
    return f"{name}.0" if name.endswith(".to_out") else name


def kohya_name(name: str) -> str:
    """A module's name as kohya's scripts write it, with underscores for dots."""
    return name.replace(".", "_")


def wan_name(flat: str) -> str:
    """The name in Wan's own code of a layer as musubi-tuner writes it, with dots again; others stay
    as they are."""
    found = WAN_LAYER.fullmatch(flat)
    return ".".join(("blocks", *filter(None, found.groups()))) if found else flat
