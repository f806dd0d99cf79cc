"""Somebody is asked between the decoder's layers: all frames of a long clip may take minutes.

Knows modules and their hooks. Does not know who is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch.nn import Module

from pipelines.manager import Loaded


@contextmanager
def between_layers(loaded: Loaded, check: Callable[[], None]) -> Iterator[None]:
    """What `check` raises ends the decoding."""

    def look(_layer: Module, _given: object) -> None:
        check()

    decoder: Module | None = getattr(loaded.pipe, "vae", None)
    layers = list(decoder.modules()) if decoder is not None else []
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
