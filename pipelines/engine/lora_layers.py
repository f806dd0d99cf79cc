"""A LoRA file as layers of one loaded model: found by name, scaled by alpha, checked by shape.

Names that the model itself has are matched directly, so every trainer's way of writing them will
do. Where a file uses another code base's names (Wan's, HunyuanVideo's, LTX-2's own), diffusers'
converters translate. Knows torch and diffusers' loaders; knows no folder and no request.
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
    Named,
    flat,
    layers_of,
    place_of,
)

log = logging.getLogger(__name__)

Tensors = dict[str, torch.Tensor]
ADAPTER_METADATA = "lora_adapter_metadata"
"""Where diffusers keeps peft's configuration in a file's header."""
ADAPTER_CONFIG = "adapter_config.json"
"""Where peft keeps it: beside the file."""
MAIN_NAMES = ("transformer", "unet")


@dataclass
class Matched:
    """What of a file fits a model: state dictionaries in peft's naming, one for each component."""

    states: dict[str, Tensors] = field(default_factory=dict)
    fitting: int = 0
    total: int = 0


class Model:
    """The modules of a pipeline that may carry a layer, by component and by name."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.modules: dict[str, dict[str, torch.nn.Module]] = {}
        self._flat: dict[str, dict[str, str]] = {}
        for name in pipe._lora_loadable_modules:
            component = getattr(pipe, name, None)
            if component is not None:
                self.modules[name] = dict(_carriers(component))
                self._flat[name] = {flat(each): each for each in self.modules[name]}

    def component(self, place: str) -> str | None:
        """Its name in the pipeline; None where it has none of that kind."""
        names = {SECOND: ("transformer_2",), TEXT: ("text_encoder",), MAIN: MAIN_NAMES}
        return next((each for each in names.get(place, ()) if each in self.modules), None)

    def find(self, component: str, names: list[str]) -> str | None:
        for name in names:
            if name in self.modules[component]:
                return name
        flattened = self._flat[component]
        return next((flattened[flat(n)] for n in names if flat(n) in flattened), None)


def match(model: Model, file: Path, *, into_second: bool = False) -> Matched:
    """The layers that fit. With `into_second`, those of the main component go to the second
    transformer. Raises what safetensors raises where the file cannot be read."""
    tensors, metadata = _read(file)
    scales = _Scales(metadata, file)
    best = _match(model, tensors, scales, into_second)
    if best.fitting < best.total:
        for converted in _conversions(model.pipe, tensors):
            other = _match(model, converted, scales, into_second)
            other.total = max(other.total, _distinct(tensors))
            if other.fitting > best.fitting:
                best = other
    return best


def _match(model: Model, tensors: Tensors, scales: _Scales, into_second: bool) -> Matched:
    found = Matched()
    for layer in layers_of(tensors):
        if _does_nothing(layer, tensors):
            continue
        found.total += 1
        if DOWN not in layer.keys or UP not in layer.keys:
            continue
        place, names = place_of(layer.module)
        component = model.component(SECOND if into_second and place == MAIN else place)
        name = model.find(component, names) if component else None
        if component is None or name is None:
            continue
        shaped = _shaped(model.modules[component][name], layer, tensors)
        if shaped is None:
            continue
        down, up = shaped
        scale = scales.of(component, name, down.shape[0], _alpha(layer, tensors))
        state = found.states.setdefault(component, {})
        dtype = _dtype(getattr(model.pipe, component))
        state[f"{name}.lora_A.weight"] = down.to(dtype)
        state[f"{name}.lora_B.weight"] = (up.float() * scale if scale != 1 else up).to(dtype)
        if BIAS in layer.keys:
            state[f"{name}.lora_B.bias"] = tensors[layer.keys[BIAS]].to(dtype)
        found.fitting += 1
    for state in found.states.values():
        _complete_biases(state)
    return found


# -- reading -------------------------------------------------------------------------------------


def _read(file: Path) -> tuple[Tensors, dict[str, str]]:
    from safetensors import safe_open

    with safe_open(file, framework="pt", device="cpu") as source:
        tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
        return tensors, source.metadata() or {}


def _distinct(tensors: Tensors) -> int:
    return sum(not _does_nothing(layer, tensors) for layer in layers_of(tensors))


def _does_nothing(layer: Named, tensors: Tensors) -> bool:
    """Differences of zero, as some trainers write them for what they left alone."""
    if set(layer.keys) & {DOWN, UP}:
        return False
    return all(
        part in (DIFF, BIAS, ALPHA) and not bool(tensors[key].float().any())
        for part, key in layer.keys.items()
    )


def _alpha(layer: Named, tensors: Tensors) -> float | None:
    return float(tensors[layer.keys[ALPHA]].float()) if ALPHA in layer.keys else None


class _Scales:
    """How strongly a layer counts at weight 1: alpha / rank, from the file, from peft's
    configuration in its header, or from the one beside it; 1 where nothing is said."""

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

    def of(self, component: str, name: str, rank: int, alpha: float | None) -> float:
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


def _conversions(pipe: Any, tensors: Tensors) -> list[Tensors]:
    """What diffusers' own converter makes of the file, as it is and in ComfyUI's naming."""
    found: list[Tensors] = []
    for given in (tensors, _like_comfy(tensors)):
        try:
            made = type(pipe).lora_state_dict(dict(given))
        except Exception as error:  # converters raise whatever a key they do not know makes them
            log.debug("diffusers does not convert these keys: %s", error)
            continue
        state, alphas = made if isinstance(made, tuple) else (made, None)
        state = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
        for name, alpha in (alphas or {}).items():
            state[name if name.endswith(".alpha") else f"{name}.alpha"] = torch.tensor(float(alpha))
        found.append(state)
    return found


def _like_comfy(tensors: Tensors) -> Tensors:
    """diffusion_model.<name>.lora_A.weight, with alpha in it."""
    found: Tensors = {}
    for layer in layers_of(tensors):
        if DOWN not in layer.keys or UP not in layer.keys:
            continue
        _, names = place_of(layer.module)
        down, up = tensors[layer.keys[DOWN]], tensors[layer.keys[UP]]
        alpha = _alpha(layer, tensors)
        if alpha is not None:
            up = up.float() * (alpha / down.shape[0])
        found[f"diffusion_model.{names[0]}.lora_A.weight"] = down
        found[f"diffusion_model.{names[0]}.lora_B.weight"] = up
        if BIAS in layer.keys:
            found[f"diffusion_model.{names[0]}.diff_b"] = tensors[layer.keys[BIAS]]
    return found


# -- shapes --------------------------------------------------------------------------------------


def _carriers(component: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    return [(name, each) for name, each in component.named_modules() if isinstance(each, kinds)]


def _shaped(
    module: torch.nn.Module, layer: Named, tensors: Tensors
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Down and up as the module wants them; None where they do not fit it. Trainers write a
    linear layer as a convolution of one pixel, and the other way round."""
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


def _complete_biases(state: Tensors) -> None:
    """peft gives all layers a bias or none: those without get one of zeros."""
    if not any(key.endswith(".lora_B.bias") for key in state):
        return
    for key in [key for key in state if key.endswith(".lora_B.weight")]:
        bias = f"{key.removesuffix('weight')}bias"
        if bias not in state:
            state[bias] = torch.zeros(state[key].shape[0], dtype=state[key].dtype)


def _dtype(component: Any) -> torch.dtype:
    """The component's own, where it computes in that: float8 is for keeping only."""
    dtype = next(component.parameters()).dtype
    return dtype if dtype in (torch.float32, torch.bfloat16, torch.float16) else torch.bfloat16
