"""What was sampled, kept in a file until the clip is written, so that it need not be done again.

A safetensors file with everything `Sampled` holds. Knows no job.
"""

from __future__ import annotations

import json
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pipelines.engine.denoise import Sampled
from pipelines.sound import Sound

SOUND = "sound"
"""As a tensor its samples, among the other values its rate."""

log = logging.getLogger(__name__)


def save(sampled: Sampled, file: Path) -> None:
    """Raises OSError where there is no room."""
    tensors: dict[str, torch.Tensor] = {}
    others: dict[str, str] = {}
    for each in fields(sampled):
        value = getattr(sampled, each.name)
        if isinstance(value, Sound):
            tensors[SOUND] = torch.from_numpy(np.ascontiguousarray(value.samples))
            others[SOUND] = json.dumps(value.rate_hz)
        elif isinstance(value, torch.Tensor):
            tensors[each.name] = value.detach().cpu().contiguous().clone()
        elif value is not None:
            others[each.name] = json.dumps(value)
    try:
        save_file(tensors, file, metadata=others)
    except SafetensorError as error:  # it says so also when the disk is full
        raise OSError(str(error)) from error


def load(file: Path, device: torch.device) -> Sampled | None:
    """None where there is nothing, or nothing that can be used."""
    if not file.is_file():
        return None
    try:
        values: dict[str, Any] = {each.name: None for each in fields(Sampled)}
        with safe_open(file, framework="pt", device="cpu") as source:
            others = source.metadata() or {}
            values |= {name: json.loads(text) for name, text in others.items()}
            for name in source.keys():  # noqa: SIM118 - no mapping
                tensor = source.get_tensor(name)
                if name == SOUND:
                    values[name] = Sound(tensor.numpy(), values[name])
                else:
                    values[name] = tensor.to(device)
        if values["latents"] is None or not torch.isfinite(values["latents"]).all():
            return None
        return Sampled(**values)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        log.warning("Reading the checkpoint failed: %s", type(error).__name__)
        return None
