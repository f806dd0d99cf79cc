"""LTX-Video in miniature: 0.9.0-like, and 0.9.5-like whose decoder wants a timestep."""

from __future__ import annotations

from functools import partial
from typing import Any

from pipelines.families.base import Inputs
from pipelines.request import FittedRequest
from tests import tiny
from tests.zoo import Specimen, card

DECODE = {"decode_timestep": 0.05, "decode_noise_scale": 0.025}


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": fitted.prompt,
        "negative_prompt": fitted.negative_prompt,
        "width": 64,
        "height": 64,
        "num_frames": 9,
        "frame_rate": 8,
        "num_inference_steps": 3,
        "guidance_scale": 3.0,
    }
    if inputs.image is not None:
        arguments["image"] = inputs.image
    if pipe.vae.config.timestep_conditioning:
        arguments |= DECODE
    return arguments


CARD = card(
    "ltx",
    ["t2v", "i2v"],
    defaults={"width": 64, "height": 64},
    frames={"of": 2, "plus": 1},
)

SPECIMENS = (
    Specimen("ltx-0.9.0", CARD, tiny.build, plain),
    Specimen(
        "ltx-0.9.5",
        CARD | {"call": DECODE},
        partial(tiny.build, timestep_conditioning=True, seed=1),
        plain,
    ),
)
