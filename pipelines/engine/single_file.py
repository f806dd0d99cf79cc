"""Loads a component that is published as one safetensors file without a folder of its own, such as
the motion adapters of AnimateDiff-Lightning."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import torch

SUFFIX = ".safetensors"


def annotated_class(pipeline_classes: Iterable[type[Any]], name: str) -> type[Any] | None:
    """The class that a pipeline's constructor takes for its component `name`; None where it has no
    such component."""
    for each in pipeline_classes:
        # diffusers' modules postpone annotations, so they are strings without `eval_str`
        parameter = inspect.signature(each.__init__, eval_str=True).parameters.get(name)
        if parameter is None:
            continue
        for kind in get_args(parameter.annotation) or (parameter.annotation,):
            if isinstance(kind, type) and issubclass(kind, torch.nn.Module):
                return kind
    return None


def load_file_as(component_class: Any, path: Path, dtype: torch.dtype) -> torch.nn.Module:
    """The component with the weights of one file, in `dtype`.

    Its settings are those of a config.json beside the file, else the defaults of its class. Raises
    RuntimeError where the names or shapes of the weights differ from the class's.
    """
    from safetensors.torch import load_file

    config = path.with_name("config.json")
    if config.is_file():
        made = component_class.from_config(json.loads(config.read_text(encoding="utf-8")))
    else:
        made = component_class()
    made.load_state_dict(load_file(path))
    return made.to(dtype).eval()
