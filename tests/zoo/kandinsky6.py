"""Kandinsky 6 in miniature: text or a picture, and sound."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card
from tests.zoo.kandinsky5 import load

OF = "Kandinsky6TI2VAPipeline"


def build(folder: Path, sounds: bool = True) -> None:
    from tests.zoo.any.build import build_at

    parts: dict[str, Any] = {"tokenizer": ("KandinskyWords", {"of": OF})}
    if sounds:
        parts |= {"audio_vae": {}, "vocoder": {}}
    build_at(folder, OF, parts)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs, sounds: bool = True) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 32,
        "height": 32,
        "num_frames": 9,
        "frame_rate": 8.0,
        "num_inference_steps": 3,
        "guidance_scale": 3.0,
        "sample_audio": sounds,
    }
    return arguments if inputs.image is None else arguments | {"image": inputs.image}


SPECIMENS = (
    Specimen("kandinsky-6", card("kandinsky6", ["t2v", "i2v"]), build, plain, load),
    Specimen(
        "kandinsky-6-silent",
        card("kandinsky6", ["t2v"], call={"sample_audio": False}),
        partial(build, sounds=False),
        partial(plain, sounds=False),
        load,
        frames_only=True,
    ),
)
