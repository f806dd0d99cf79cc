"""ChronoEdit in miniature: a picture and its edit, and a clip that leads from one to the other."""

from __future__ import annotations

from functools import partial
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, wan


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return wan.words(fitted) | {"image": inputs.image}


def plain_reasoning(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    return plain(pipe, fitted, inputs) | {
        "num_frames": 13,
        "enable_temporal_reasoning": True,
        "num_temporal_reasoning_steps": 99,
    }


build = partial(
    wan.save,
    cls="ChronoEditPipeline",
    flow_shift=5.0,
    transformer=partial(
        wan.transformer,
        "ChronoEditTransformer3DModel",
        in_channels=36,
        image_dim=4,
        added_kv_proj_dim=24,
    ),
    sees=True,
)

SPECIMENS = (
    Specimen(
        "chronoedit",
        card("chronoedit", ["i2v"], defaults={"num_frames": 13}, limits={"min_frames": 5}),
        build,
        plain_reasoning,
    ),
    Specimen(
        "chronoedit-edit-only",
        card("chronoedit", ["i2v"], defaults={"num_frames": 5}, limits={"min_frames": 5}),
        build,
        plain,
        slow=True,
    ),
)
