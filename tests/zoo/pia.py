"""PIA in miniature: a checkpoint for pictures, and an adapter with five more channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, animatediff, card
from tests.zoo.animatediff import ADAPTER, SCHEDULER


def build(folder: Path) -> None:
    animatediff.build(folder)
    animatediff.save_adapter(folder, motion_layers_per_block=2, conv_in_channels=9)


def load(of: Any, folder: Path, dtype: Any) -> Any:
    return animatediff.load(of, folder, dtype, SCHEDULER)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return {
        "prompt": fitted.prompt,
        "negative_prompt": "dull",
        "image": inputs.image,
        "width": 16,
        "height": 16,
        "num_frames": 4,
        "num_inference_steps": 3,
        "guidance_scale": 7.5,
        "motion_scale": 1,
    }


SPECIMENS = (
    Specimen(
        "pia",
        card(
            "pia",
            ["i2v"],
            defaults={"width": 16, "height": 16, "num_frames": 4, "guidance_scale": 7.5},
            limits={"min_width": 16, "min_height": 16, "min_frames": 2, "max_frames": 32},
            scheduler=SCHEDULER,
            parts={"motion_adapter": f"../repo/{ADAPTER}"},
            call={"motion_scale": 1},
        ),
        build,
        plain,
        load,
    ),
)
