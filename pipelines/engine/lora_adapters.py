"""Applies LoRA adapters to a loaded pipeline for one run, and removes them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from safetensors import SafetensorError

from pipelines.engine.lora_layers import LoraTarget, match_file
from pipelines.models.failures import is_out_of_memory
from pipelines.models.loras import LoraFile, lora_refusal
from pipelines.request import Adjustment

MIN_FITTING_SHARE = 0.5
"""If a smaller share of the layers fits, the file was made for another model."""
LOW_NOISE = re.compile(r"low[-_ ]?noise", re.IGNORECASE)
HIGH_NOISE = re.compile(r"high[-_ ]?noise", re.IGNORECASE)
"""LoRAs for models with two experts come in pairs, which differ by these words in the name."""


@contextmanager
def apply_loras(
    pipe: Any,
    loras: Sequence[LoraFile],
    on_change: Callable[[Adjustment], None] = lambda _change: None,
) -> Iterator[None]:
    """Applies the LoRAs while the block runs. Hold the model's `busy` lock.

    Reports an adjustment for a LoRA of which some layers do not fit. Raises
    KinoraError(INVALID_INPUT) for a model without LoRA support, a damaged file, and a LoRA of which
    most layers do not fit.
    """
    if not loras:
        yield
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise lora_refusal("This model takes no LoRA.")
    _refuse_same_file(loras)
    try:
        model = LoraTarget(pipe)  # before peft wraps the modules and changes their names
        found = [_match_layers(model, lora, on_change) for lora in loras]
        names = [
            _attach(pipe, states, lora, f"kinora_{n}")
            for n, (lora, states) in enumerate(zip(loras, found, strict=True))
        ]
        pipe.set_adapters(names, [lora.weight for lora in loras])
        yield
    finally:
        pipe.unload_lora_weights()


def _target_experts(pipe: Any, lora: LoraFile) -> list[bool]:
    """The transformers that a file is for, True for the second: by its name, else both."""
    if getattr(pipe, "transformer_2", None) is None:
        return [False]
    if LOW_NOISE.search(lora.path.name):
        return [True]
    return [False] if HIGH_NOISE.search(lora.path.name) else [False, True]


def _refuse_same_file(loras: Sequence[LoraFile]) -> None:
    """Raises KinoraError where two names mean one file, which would be applied twice."""
    for n, lora in enumerate(loras):
        for other in loras[:n]:
            if lora.path.resolve() == other.path.resolve():
                raise lora_refusal(f"“{other.name}” and “{lora.name}” are the same LoRA.")


def _match_layers(
    model: LoraTarget, lora: LoraFile, on_change: Callable[[Adjustment], None]
) -> dict[str, dict[str, Any]]:
    """The state dictionary of each component, in peft's naming."""
    states: dict[str, dict[str, Any]] = {}
    for into_second in _target_experts(model.pipe, lora):
        try:
            found = match_file(model, lora.path, into_second=into_second)
        except (SafetensorError, OSError) as error:
            raise lora_refusal(f"“{lora.name}” is damaged, or no safetensors file.") from error
        if found.fitting < MIN_FITTING_SHARE * found.total:
            few = f"only {found.fitting}" if found.fitting else "none"
            raise lora_refusal(
                f"The LoRA “{lora.name}” was made for another model: {few} of {found.total} "
                "layers fit this one."
            )
        if found.fitting < found.total:
            left = found.total - found.fitting
            on_change(
                Adjustment(
                    field="loras",
                    asked=lora.name,
                    used=f"{found.fitting} of {found.total} layers",
                    sentence=f"Of the LoRA “{lora.name}”, {found.fitting} of {found.total} layers "
                    f"fit this model; the other {left} not used.",
                )
            )
        for component, state in found.states.items():
            states.setdefault(component, {}).update(state)
        if "transformer_2" in found.states:
            break  # the file names the transformer of each layer
    return states


def _attach(pipe: Any, states: dict[str, dict[str, Any]], lora: LoraFile, adapter: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns about several adapters, which are intended
            for name, state in states.items():
                if name == "text_encoder":
                    prefixed = {f"{name}.{key}": value for key, value in state.items()}
                    pipe.load_lora_into_text_encoder(
                        prefixed,
                        network_alphas=None,
                        text_encoder=pipe.text_encoder,
                        adapter_name=adapter,
                        _pipeline=pipe,
                    )
                else:
                    getattr(pipe, name).load_lora_adapter(
                        state,
                        prefix=None,
                        adapter_name=adapter,
                        low_cpu_mem_usage=True,
                        _pipeline=pipe,
                    )
    except (ValueError, RuntimeError, KeyError, AttributeError, IndexError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        sentence = f"The LoRA “{lora.name}” fits this model, but cannot be applied to it."
        raise lora_refusal(sentence) from error
    return adapter
