"""The same clip by diffusers alone, and what Kinora hands to a pipeline, seen from outside."""

from __future__ import annotations

import functools
import inspect
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.zoo.any.classes import RESULTS

FRAME_COUNTS = ("num_frames", "video_length", "frames")


@dataclass
class Call:
    """One call of a pipeline, as it arrived."""

    class_name: str
    arguments: dict[str, Any]
    guidance: float | None = None
    """Of the pipeline's guider, where it has one instead of an argument."""

    @property
    def names(self) -> set[str]:
        """What was given, by the names that a request has."""
        names = set(self.arguments)
        if "conditions" in names:
            names.add("strength")
        if names & {"true_cfg_scale", "max_guidance_scale"} or self.guidance is not None:
            names.add("guidance_scale")
        return names


@dataclass
class Calls:
    seen: list[Call] = field(default_factory=list)
    _inside: threading.local = field(default_factory=threading.local)

    def wrapped(self, call: Any) -> Any:
        @functools.wraps(call)
        def recorded(pipe: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(self._inside, "call", False):
                return call(pipe, *args, **kwargs)
            self._inside.call = True
            try:
                guidance = getattr(getattr(pipe, "guider", None), "guidance_scale", None)
                self.seen.append(Call(type(pipe).__name__, dict(kwargs), guidance))
                return call(pipe, *args, **kwargs)
            finally:
                self._inside.call = False

        return recorded


@contextmanager
def recorded(classes: list[type[Any]]) -> Iterator[Calls]:
    """What reaches the pipelines of those classes meanwhile."""
    calls, before = Calls(), {}
    for each in classes:
        if "__call__" in vars(each):
            before[each] = vars(each)["__call__"]
            each.__call__ = calls.wrapped(before[each])  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        for each, call in before.items():
            each.__call__ = call


def load(of: type[Any], folder: Path, storage: str | None = None) -> Any:
    """As anybody would, in float32; `storage` is how Kinora keeps the weights here."""
    import torch
    from transformers import AutoTokenizer

    given: dict[str, Any] = {}
    for name, value in json.loads((folder / "model_index.json").read_text()).items():
        if isinstance(value, list) and str(value[1]).endswith("VLProcessor"):  # wants torchvision
            given[name] = AutoTokenizer.from_pretrained(folder / name)
    pipe: Any = of
    # added afterwards: a tokenizer of another class than the index names is refused
    left_out = dict.fromkeys(given)
    pipe = pipe.from_pretrained(folder, torch_dtype=torch.float32, **left_out)
    pipe.register_modules(**given)
    pipe.set_progress_bar_config(disable=True)
    for name in ("transformer", "transformer_2", "unet"):
        if storage == "float8" and (part := getattr(pipe, name, None)) is not None:
            part.enable_layerwise_casting(
                storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32
            )
    return pipe


def parameters_of(of: type[Any]) -> set[str]:
    return set(inspect.signature(of.__call__).parameters)


def has_true_guidance(of: type[Any]) -> bool:
    """Of two arguments for it, the one that is on by default."""
    own = inspect.signature(of.__call__).parameters.get("true_cfg_scale")
    return own is not None and own.default > 1


def asked_of(of: type[Any], given: dict[str, Any]) -> dict[str, Any]:
    """Those arguments that the class takes, by its own names."""
    parameters = inspect.signature(of.__call__).parameters
    given = given | dict.fromkeys(FRAME_COUNTS, given["num_frames"])
    return {
        name: value for name, value in given.items() if name in parameters and value is not None
    }


def frames_of(output: Any) -> np.ndarray:
    """uint8 [F, H, W, 3] of whatever a pipeline calls its clip."""
    value = next((output[name] for name in (*RESULTS, "images") if name in output), None)
    if value is None:
        raise LookupError(f"no clip in {type(output).__name__}")
    clip = value[0] if isinstance(value, list) or getattr(value, "ndim", 5) == 5 else value
    if isinstance(clip, list) and isinstance(clip[0], Image.Image):
        return np.stack([np.asarray(each) for each in clip])
    if isinstance(clip, list):
        clip = np.stack([np.asarray(each) for each in clip])
    clip = np.asarray(clip)
    if clip.ndim == 4 and clip.shape[1] == 3 and clip.shape[-1] != 3:
        clip = clip.transpose(0, 2, 3, 1)
    return clip if clip.dtype == np.uint8 else (clip * 255).round().astype(np.uint8)


def has_sound(output: Any) -> bool:
    return any(output.get(name) is not None for name in ("audio", "sound", "audios"))


def make(pipe: Any, arguments: dict[str, Any], seed: int, guidance: float | None = None) -> Any:
    """`guidance`: for the guider of a pipeline that has no argument for it."""
    import torch

    if guidance is not None:
        pipe.guider = pipe.guider.new(guidance_scale=guidance)
    parameters = inspect.signature(type(pipe).__call__).parameters

    def call() -> Any:
        own = {"generator": torch.Generator().manual_seed(seed), "output_type": "np"}
        own = {name: value for name, value in own.items() if name in parameters}
        with torch.no_grad():
            return pipe(**(arguments | own))

    try:
        return call()
    except NotImplementedError as error:
        if "tiling" not in str(error):
            raise
        pipe.vae.enable_tiling()  # as the example of Allegro does
        return call()
