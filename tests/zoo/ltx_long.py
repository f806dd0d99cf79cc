"""LTX-Video in windows in miniature: one window, or two with a part of the prompt for each."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests import tiny
from tests.zoo import Specimen, card

TILES = {"decode_horizontal_tiles": 1, "decode_vertical_tiles": 1}
TWO_WINDOWS = {"temporal_tile_size": 10, "temporal_overlap": 6}
ANCESTRAL = "LTXEulerAncestralRFScheduler"


def load(of: Any, folder: Path, dtype: Any) -> Any:
    from diffusers import LTXEulerAncestralRFScheduler

    pipe = of.from_pretrained(folder, dtype=dtype)
    pipe.scheduler = LTXEulerAncestralRFScheduler.from_config(pipe.scheduler.config)
    return pipe


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs, **call: Any) -> dict[str, Any]:
    return {
        "prompt": fitted.prompt,
        "negative_prompt": fitted.negative_prompt,
        "width": 64,
        "height": 64,
        "num_frames": fitted.num_frames,
        "frame_rate": 8,
        "num_inference_steps": 4,  # of which the pipeline makes three
        "guidance_scale": 3.0,
        "seed": fitted.seed,
        "cond_image": inputs.image,
        **call,
    }


def long(call: dict[str, Any], num_frames: int = 9) -> dict[str, Any]:
    return card(
        "ltx_long",
        ["t2v", "i2v"],
        defaults={"width": 64, "height": 64, "num_frames": num_frames},
        frames={"of": 2, "plus": 1},
        scheduler={"class": ANCESTRAL},
        call=call,
    )


ONE, TWO = TILES, TILES | TWO_WINDOWS
BUILD = partial(tiny.build, timestep_conditioning=True, seed=2)

SPECIMENS = (Specimen("ltx-long", long(ONE), BUILD, partial(plain, **ONE), load),)
IN_TWO_WINDOWS = Specimen("ltx-long-two", long(TWO, 13), BUILD, partial(plain, **TWO), load)
"""Not among the others: what is drawn of it is one window, and not the whole clip."""
