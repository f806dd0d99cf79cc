"""Loads the networks that edits use, and keeps the last ones in memory."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from errors import megabytes
from pipelines.engine.interpolation_model import InterpolationModel, load_interpolation_model
from pipelines.engine.torch_device import torch_device
from pipelines.engine.upscale_model import UpscaleModel, load_upscale_model
from pipelines.models.failures import Reason, failure, is_out_of_memory
from settings import Settings

Role = Literal["interpolation", "upscaling"]
LOADERS = {"interpolation": load_interpolation_model, "upscaling": load_upscale_model}


def load_edit_network(
    role: Role, path: Path, name: str, settings: Settings
) -> InterpolationModel | UpscaleModel:
    """The network in a safetensors file; `name` is what sentences call it. Call `release` when the
    edit is done.

    Raises KinoraError(MODEL_REFUSED | MODEL_LOAD | OUT_OF_MEMORY).
    """
    # ZeroGPU has a GPU only within a call that counts against the visitor's quota
    kind = "cpu" if settings.zero_gpu else torch_device().kind
    return _load(role, path, path.stat().st_mtime_ns, name, kind)


@lru_cache(maxsize=2)
def _load(
    role: Role, path: Path, changed_ns: int, name: str, kind: str
) -> InterpolationModel | UpscaleModel:
    del changed_ns  # a part of the key: another file of the same name is loaded again
    try:
        return LOADERS[role](path, name, torch.device(kind))
    except Exception as error:
        if is_out_of_memory(error):
            raise failure(
                Reason.OUT_OF_MEMORY, name, f"{megabytes(path.stat().st_size)} MB"
            ) from error
        raise
