"""Lucy-Edit in miniature: the given clip as further channels beside the noise."""

from __future__ import annotations

from functools import partial
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, wan


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return wan.words(fitted) | {"video": list(inputs.video), "num_frames": 9}


SPECIMENS = (
    Specimen(
        "lucy-edit",
        card("lucy", ["v2v"]),
        partial(
            wan.save,
            cls="LucyEditPipeline",
            flow_shift=5.0,
            transformer=partial(wan.transformer, in_channels=32),
            expand_timesteps=True,
        ),
        plain,
    ),
)
