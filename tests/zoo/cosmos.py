"""Cosmos Predict 2 and 2.5 in miniature, and what stands in for the packages they need.

cosmos_guardrail loads gated models from the Hub, and torchvision would change how everything else
here is loaded, so neither is installed for tests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card

COSMOS_2, COSMOS_25 = "Cosmos2VideoToWorldPipeline", "Cosmos2_5_PredictBasePipeline"
UNIPC: dict[str, Any] = {
    "use_karras_sigmas": True,
    "use_flow_sigmas": True,
    "prediction_type": "flow_prediction",
    "sigma_max": 200.0,
    "sigma_min": 0.01,
}
FORBIDDEN = "a forbidden thing"
PIPELINES = "diffusers.pipelines.cosmos.pipeline_cosmos2"


@cache
def guardrail() -> type[Any]:
    """Refuses one prompt, and blackens the first row of every frame."""
    import torch

    class CosmosSafetyChecker(torch.nn.Module):
        dtype, device = torch.float32, torch.device("cpu")

        def check_text_safety(self, prompt: str) -> bool:
            return prompt != FORBIDDEN

        def check_video_safety(self, frames: np.ndarray) -> np.ndarray:
            frames = frames.copy()
            frames[:, 0] = 0
            return frames

    return CosmosSafetyChecker


def resize(image: Any, size: list[int], interpolation: Any = None) -> Any:
    from torch.nn.functional import interpolate

    return interpolate(image, size=size, mode="nearest")


def to_tensor(image: Any) -> Any:
    import torch

    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255


@contextmanager
def packages() -> Iterator[None]:
    """Both packages, as far as Cosmos uses them."""
    functional = SimpleNamespace(resize=resize, to_tensor=to_tensor)
    transforms = SimpleNamespace(
        functional=functional, InterpolationMode=SimpleNamespace(NEAREST="nearest")
    )
    torchvision = SimpleNamespace(transforms=transforms)
    transformer = import_module("diffusers.models.transformers.transformer_cosmos")
    checker = guardrail()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("cosmos_guardrail", "torchvision"):
            module = ModuleType(name)
            module.__spec__ = ModuleSpec(name, None)
            patch.setitem(sys.modules, name, module)
        for end in ("_video2world", "_5_predict"):
            pipeline = import_module(PIPELINES + end)
            patch.setattr(pipeline, "CosmosSafetyChecker", checker)
            patch.setattr(pipeline, "torchvision", torchvision, raising=False)
        patch.setattr(transformer, "transforms", transforms, raising=False)
        yield


def build(folder: Path, of: str) -> None:
    from tests.zoo.any.build import build_at

    parts: dict[str, Any] = {
        "scheduler": ("FlowMatchEulerDiscreteScheduler", {"use_karras_sigmas": True})
    }
    if of == COSMOS_25:
        parts = {
            "scheduler": ("UniPCMultistepScheduler", UNIPC),
            "tokenizer": ("Qwen2Tokenizer", {}),
        }
    build_at(folder, of, parts)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 32,
        "height": 32,
        "num_frames": 9,
        "num_inference_steps": 3,
        "guidance_scale": 3.0,
    }
    if type(pipe).__name__ == COSMOS_2:
        arguments["fps"] = 8
    return arguments if inputs.image is None else arguments | {"image": inputs.image}


SPECIMENS = (
    Specimen(
        "cosmos-predict-2",
        card("cosmos", ["i2v"], classes={"i2v": COSMOS_2}),
        partial(build, of=COSMOS_2),
        plain,
        packages=packages,
    ),
    Specimen(
        "cosmos-predict-2.5",
        card("cosmos", ["t2v", "i2v"]),
        partial(build, of=COSMOS_25),
        plain,
        packages=packages,
    ),
)
