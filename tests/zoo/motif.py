"""Motif-Video in miniature: words, or a picture, with a guider that remembers earlier steps."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card

TEXT, PICTURE = "MotifVideoPipeline", "MotifVideoImage2VideoPipeline"


def build(folder: Path, of: str) -> None:
    from tests.zoo.any.build import build_at

    build_at(folder, of, {})


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    pipe.guider = pipe.guider.new(guidance_scale=3.0)
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "width": 32,
        "height": 32,
        "num_frames": 9,
        "num_inference_steps": 3,
    }
    return arguments if inputs.image is None else arguments | {"image": inputs.image}


SPECIMENS = (
    Specimen("motif-t2v", card("motif", ["t2v"]), partial(build, of=TEXT), plain),
    Specimen("motif-i2v", card("motif", ["i2v"]), partial(build, of=PICTURE), plain),
)
