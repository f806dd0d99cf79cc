"""Tries what torch can compute on: the worker's own word on whether there is a usable GPU.

`python -m pipelines.engine.device` prints it as JSON, for processes that do not import torch.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from dataclasses import asdict
from functools import lru_cache

import torch

from pipelines.planning.device import GIB, Device, Listed, list_gpus, problem_of, reason_of

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def torch_device() -> Device:
    """Tried, once in a process: a small sum on the GPU. Logs what is wrong."""
    device = _try_torch(list_gpus())
    if device.problem:
        log.warning("%s Clips are made on the CPU.", device.problem)
    return device


def _try_torch(listed: Listed) -> Device:
    if torch.version.hip is not None:  # AMD's; nothing here was ever tried on one
        return Device()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the error that follows says the same
            torch.cuda.init()
            properties = torch.cuda.get_device_properties(0)
    except Exception as error:  # whatever a driver may do
        return Device(problem=problem_of(listed, reason_of(error)))
    found = Device(properties.name, properties.total_memory / GIB)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (torch.ones(8, device="cuda") + 1).sum().item()
    except torch.cuda.OutOfMemoryError:
        return found  # full of another process's work at the moment
    except Exception as error:
        only = Listed(((found.vram_gb or 0.0, properties.name),))
        return Device(problem=problem_of(only, reason_of(error)))
    return found


if __name__ == "__main__":
    logging.disable()
    sys.stdout.write(json.dumps(asdict(torch_device())) + "\n")
