"""Applies LoRA adapters to a loaded pipeline for one run, and removes them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from safetensors import SafetensorError

from pipelines.engine.lora_layers import Model, match
from pipelines.models.failures import is_out_of_memory
from pipelines.models.loras import LoraFile, lora_refusal
from pipelines.request import Adjustment

FEW = 0.5
"""If a smaller share of a file's layers fits, it was made for another model."""
LOW_NOISE = re.compile(r"low[-_ ]?noise", re.IGNORECASE)
HIGH_NOISE = re.compile(r"high[-_ ]?noise", re.IGNORECASE)
"""Models with two experts have LoRAs in pairs, told apart by their names."""


@contextmanager
def applied(
    pipe: Any,
    loras: Sequence[LoraFile],
    on_change: Callable[[Adjustment], None] = lambda _change: None,
) -> Iterator[None]:
    """On the pipeline for the length of the block. Hold the model's `busy` lock. Reports a LoRA
    of which some layers do not fit; raises a sentence where most of them do not."""
    if not loras:
        yield
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise lora_refusal("This model takes no LoRA.")
    _refuse_same_file(loras)
    try:
        model = Model(pipe)  # before the first of them changes its modules
        found = [_fitting(model, lora, on_change) for lora in loras]
        names = [
            _attach(pipe, states, lora, f"kinora_{n}")
            for n, (lora, states) in enumerate(zip(loras, found, strict=True))
        ]
        pipe.set_adapters(names, [lora.weight for lora in loras])
        yield
    finally:
        pipe.unload_lora_weights()


def _experts(pipe: Any, lora: LoraFile) -> list[bool]:
    """For models with two transformers: the one the name says, else both. True is the second."""
    if getattr(pipe, "transformer_2", None) is None:
        return [False]
    if LOW_NOISE.search(lora.path.name):
        return [True]
    return [False] if HIGH_NOISE.search(lora.path.name) else [False, True]


def _refuse_same_file(loras: Sequence[LoraFile]) -> None:
    """Two names may mean one file, which would be applied twice."""
    for n, lora in enumerate(loras):
        for other in loras[:n]:
            if lora.path.resolve() == other.path.resolve():
                raise lora_refusal(f"“{other.name}” and “{lora.name}” are the same LoRA.")


def _fitting(
    model: Model, lora: LoraFile, on_change: Callable[[Adjustment], None]
) -> dict[str, dict[str, Any]]:
    """The layers of each component in peft's naming."""
    states: dict[str, dict[str, Any]] = {}
    for into_second in _experts(model.pipe, lora):
        try:
            found = match(model, lora.path, into_second=into_second)
        except (SafetensorError, OSError) as error:
            raise lora_refusal(f"“{lora.name}” is damaged, or no safetensors file.") from error
        if found.fitting < FEW * found.total:
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
                    f"fit this model; the other {left} {'is' if left == 1 else 'are'} not used.",
                )
            )
        for component, state in found.states.items():
            states.setdefault(component, {}).update(state)
        if "transformer_2" in found.states:
            break  # the file itself says which layers are whose
    return states


def _attach(pipe: Any, states: dict[str, dict[str, Any]], lora: LoraFile, adapter: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns of several adapters: they are meant
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
