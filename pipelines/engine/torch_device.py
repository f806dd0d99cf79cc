"""Finds the device that torch can really compute on, by trying it.

`python -m pipelines.engine.torch_device` prints it as JSON, for processes that do not import torch.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from dataclasses import asdict
from functools import lru_cache

import torch

from pipelines.planning.device import (
    GIB,
    Device,
    GpuList,
    describe_cuda_error,
    describe_gpu_problem,
    list_gpus,
)

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def torch_device() -> Device:
    """The device, tried once per process with a small sum on the GPU. Logs a problem."""
    device = _try_torch(list_gpus())
    if device.problem:
        log.warning("%s Clips are made on the CPU.", device.problem)
    return device


def _try_torch(listed: GpuList) -> Device:
    if torch.version.hip is not None:  # AMD: not supported, as nothing here was ever tested on one
        return Device()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the error that follows says the same
            torch.cuda.init()
            properties = torch.cuda.get_device_properties(0)
    except Exception as error:  # drivers raise many types
        return Device(problem=describe_gpu_problem(listed, describe_cuda_error(error)))
    found = Device(properties.name, properties.total_memory / GIB)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (torch.ones(8, device="cuda") + 1).sum().item()
    except torch.cuda.OutOfMemoryError:
        return found  # the GPU works, and another process has filled it
    except Exception as error:
        only = GpuList(((found.vram_gb or 0.0, properties.name),))
        return Device(problem=describe_gpu_problem(only, describe_cuda_error(error)))
    return found


if __name__ == "__main__":
    logging.disable()
    sys.stdout.write(json.dumps(asdict(torch_device())) + "\n")
