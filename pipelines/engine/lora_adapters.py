"""Applies LoRA adapters to a loaded pipeline for one run, and removes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.request import Adjustment

if TYPE_CHECKING:
    pass
from pipelines.models.loras import LoraFile, _attach, _fitting, _refusal, _refuse_same_file

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
        raise _refusal("This model takes no LoRA.")
    _refuse_same_file(loras)
    from pipelines.engine.lora_layers import Model

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
