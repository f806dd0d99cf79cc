"""Matches the layers of a LoRA file with a model: by name, scaled by alpha, checked by shape.

The names of the model's own modules are matched directly, in every trainer's spelling. Names of
other code bases (Wan's, HunyuanVideo's, LTX-2's own) go through diffusers' converters.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pipelines.models.lora_keys import (
    ALPHA,
    BIAS,
    DIFF,
    DOWN,
    MAIN,
    SECOND,
    TEXT,
    UP,
    LoraLayer,
    group_layers,
    kohya_name,
    locate_module,
    wan_name,
)

log = logging.getLogger(__name__)

Tensors = dict[str, torch.Tensor]
ADAPTER_METADATA = "lora_adapter_metadata"
"""The key of peft's configuration in the header of diffusers' files."""
ADAPTER_CONFIG = "adapter_config.json"
"""peft's own file with it, beside the weights."""
MAIN_NAMES = ("transformer", "unet")


@dataclass
class Matched:
    """The layers of a file that fit: a state dictionary in peft's naming for each component."""

    states: dict[str, Tensors] = field(default_factory=dict)
    fitting: int = 0
    total: int = 0


class LoraTarget:
    """The modules of a pipeline that can have a LoRA, by component and name."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.modules: dict[str, dict[str, torch.nn.Module]] = {}
        self._flat: dict[str, dict[str, str]] = {}
        for name in pipe._lora_loadable_modules:
            component = getattr(pipe, name, None)
            if component is not None:
                self.modules[name] = dict(_adaptable_modules(component))
                self._flat[name] = {kohya_name(each): each for each in self.modules[name]}

    def component(self, place: str) -> str | None:
        """The pipeline's component for MAIN, SECOND or TEXT; None where it has none."""
        names = {SECOND: ("transformer_2",), TEXT: ("text_encoder",), MAIN: MAIN_NAMES}
        return next((each for each in names.get(place, ()) if each in self.modules), None)

    def find(self, component: str, names: list[str]) -> str | None:
        for name in names:
            if name in self.modules[component]:
                return name
        flattened = self._flat[component]
        return next((flattened[kohya_name(n)] for n in names if kohya_name(n) in flattened), None)


def match_file(model: LoraTarget, file: Path, *, into_second: bool = False) -> Matched:
    """The layers that fit. With `into_second`, layers without a component are for the second
    transformer. Raises SafetensorError or OSError for an unreadable file."""
    tensors, metadata = _read_file(file)
    scales = _Scales(metadata, file)
    # the file's own names first, and converters only where layers are left over: a converter may
    # drop keys that it does not know
    best = _match_tensors(model, tensors, scales, into_second)
    if best.fitting < best.total:
        for converted in _convert_names(model.pipe, tensors):
            other = _match_tensors(model, converted, scales, into_second)
            other.total = max(other.total, _count_layers(tensors))
            if other.fitting > best.fitting:
                best = other
    return best


def _match_tensors(
    model: LoraTarget, tensors: Tensors, scales: _Scales, into_second: bool
) -> Matched:
    found = Matched()
    for layer in group_layers(tensors):
        if _is_zero(layer, tensors):
            continue
        found.total += 1
        if DOWN not in layer.keys or UP not in layer.keys:
            continue
        place, names = locate_module(layer.module)
        component = model.component(SECOND if into_second and place == MAIN else place)
        name = model.find(component, names) if component else None
        if component is None or name is None:
            continue
        shaped = _reshape_to_fit(model.modules[component][name], layer, tensors)
        if shaped is None:
            continue
        down, up = shaped
        scale = scales.scale(component, name, down.shape[0], _alpha(layer, tensors))
        state = found.states.setdefault(component, {})
        dtype = _compute_dtype(getattr(model.pipe, component))
        state[f"{name}.lora_A.weight"] = down.to(dtype)
        state[f"{name}.lora_B.weight"] = (up.float() * scale if scale != 1 else up).to(dtype)
        if BIAS in layer.keys:
            state[f"{name}.lora_B.bias"] = tensors[layer.keys[BIAS]].to(dtype)
        found.fitting += 1
    for state in found.states.values():
        _fill_missing_biases(state)
    return found


# -- reading -------------------------------------------------------------------------------------


def _read_file(file: Path) -> tuple[Tensors, dict[str, str]]:
    from safetensors import safe_open

    with safe_open(file, framework="pt", device="cpu") as source:
        tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
        return tensors, source.metadata() or {}


def _count_layers(tensors: Tensors) -> int:
    return sum(not _is_zero(layer, tensors) for layer in group_layers(tensors))


def _is_zero(layer: LoraLayer, tensors: Tensors) -> bool:
    """A full difference of zeros, which some trainers write for untrained layers."""
    if set(layer.keys) & {DOWN, UP}:
        return False
    return all(
        part in (DIFF, BIAS, ALPHA) and not bool(tensors[key].float().any())
        for part, key in layer.keys.items()
    )


def _alpha(layer: LoraLayer, tensors: Tensors) -> float | None:
    return float(tensors[layer.keys[ALPHA]].float()) if ALPHA in layer.keys else None


class _Scales:
    """The factor of a layer at weight 1: alpha / rank, with alpha from the file, from peft's
    configuration in its header, or from the one beside it; 1 where there is none."""

    def __init__(self, metadata: Mapping[str, str], file: Path) -> None:
        self.config: dict[str, Any] = {}
        beside = file.with_name(ADAPTER_CONFIG)
        try:
            if ADAPTER_METADATA in metadata:
                self.config = json.loads(metadata[ADAPTER_METADATA])
            elif file.name.startswith("adapter_model") and beside.is_file():
                self.config = json.loads(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            log.warning("LoRA configuration not readable; using alpha = rank.")

    def scale(self, component: str, name: str, rank: int, alpha: float | None) -> float:
        if alpha is None:
            alpha = self._configured(component, name)
        if alpha is None or rank == 0:
            return 1.0
        return alpha / (math.sqrt(rank) if self._get(component, "use_rslora") else rank)

    def _configured(self, component: str, name: str) -> float | None:
        for pattern, value in (self._get(component, "alpha_pattern") or {}).items():
            if re.fullmatch(rf"(.*\.)?({pattern.lstrip('^')})", name):
                return float(value)
        alpha = self._get(component, "lora_alpha")
        return None if alpha is None else float(alpha)

    def _get(self, component: str, key: str) -> Any:
        value = self.config.get(f"{component}.{key}")
        return self.config.get(key) if value is None else value


# -- names of other code bases -------------------------------------------------------------------


def _convert_names(pipe: Any, tensors: Tensors) -> list[Tensors]:
    """The file after diffusers' own converter, from its own naming and from ComfyUI's."""
    found: list[Tensors] = []
    for state_dict in (tensors, _to_comfyui_names(tensors)):
        try:
            made = type(pipe).lora_state_dict(dict(state_dict))
        except Exception as error:  # converters raise anything for unknown keys
            log.debug("diffusers does not convert these keys: %s", error)
            continue
        state, alphas = made if isinstance(made, tuple) else (made, None)
        state = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
        for name, alpha in (alphas or {}).items():
            state[name if name.endswith(".alpha") else f"{name}.alpha"] = torch.tensor(float(alpha))
        found.append(state)
    return found


def _to_comfyui_names(tensors: Tensors) -> Tensors:
    """Keys like `diffusion_model.<name>.lora_A.weight`, with alpha multiplied in."""
    found: Tensors = {}
    for layer in group_layers(tensors):
        if DOWN not in layer.keys or UP not in layer.keys:
            continue
        name = wan_name(locate_module(layer.module)[1][0])
        down, up = tensors[layer.keys[DOWN]], tensors[layer.keys[UP]]
        alpha = _alpha(layer, tensors)
        if alpha is not None:
            up = up.float() * (alpha / down.shape[0])
        found[f"diffusion_model.{name}.lora_A.weight"] = down
        found[f"diffusion_model.{name}.lora_B.weight"] = up
        if BIAS in layer.keys:
            found[f"diffusion_model.{name}.diff_b"] = tensors[layer.keys[BIAS]]
    return found


# -- shapes --------------------------------------------------------------------------------------


def _adaptable_modules(component: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    return [(name, each) for name, each in component.named_modules() if isinstance(each, kinds)]


def _reshape_to_fit(
    module: torch.nn.Module, layer: LoraLayer, tensors: Tensors
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Down and up in the module's shape; None where they do not fit. Some trainers write a linear
    layer as a 1x1 convolution, or the other way round."""
    down, up = tensors[layer.keys[DOWN]], tensors[layer.keys[UP]]
    weight: Any = module.weight
    out, *inner = weight.shape
    rank = down.shape[0] if down.ndim else 0
    wanted_down = (rank, *inner)
    wanted_up = (out, rank, *([1] * (len(inner) - 1)))
    if down.numel() != math.prod(wanted_down) or up.numel() != math.prod(wanted_up):
        return None
    same_down = [n for n in down.shape if n != 1] == [n for n in wanted_down if n != 1]
    same_up = [n for n in up.shape if n != 1] == [n for n in wanted_up if n != 1]
    if rank == 0 or not same_down or not same_up:
        return None
    return down.reshape(wanted_down), up.reshape(wanted_up)


def _fill_missing_biases(state: Tensors) -> None:
    """Adds biases of zeros: peft creates them for all layers or for none."""
    if not any(key.endswith(".lora_B.bias") for key in state):
        return
    for key in [key for key in state if key.endswith(".lora_B.weight")]:
        bias = f"{key.removesuffix('weight')}bias"
        if bias not in state:
            state[bias] = torch.zeros(state[key].shape[0], dtype=state[key].dtype)


def _compute_dtype(component: Any) -> torch.dtype:
    """The component's dtype, unless it is a storage dtype such as float8."""
    dtype = next(component.parameters()).dtype
    return dtype if dtype in (torch.float32, torch.bfloat16, torch.float16) else torch.bfloat16
