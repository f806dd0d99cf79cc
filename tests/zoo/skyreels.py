"""SkyReels-V2 in miniature."""

from __future__ import annotations

from functools import partial
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest
from tests.zoo import Specimen, card, parts, wan

TRANSFORMER = partial(wan.transformer, "SkyReelsV2Transformer3DModel")


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments = wan.words(fitted) | {"num_frames": 9}
    return arguments if inputs.image is None else arguments | {"image": inputs.image}


def vision() -> dict[str, Any]:
    return {
        "image_encoder": lambda: parts.clip_vision(
            4, image=32, cls="CLIPVisionModelWithProjection"
        ),
        "image_processor": lambda: parts.clip_image_processor(32),
    }


SPECIMENS = (
    Specimen(
        "skyreels-v2-t2v",
        card("skyreels", ["t2v"]),
        partial(wan.save, cls="SkyReelsV2Pipeline", flow_shift=8.0, transformer=TRANSFORMER),
        plain,
    ),
    Specimen(
        "skyreels-v2-i2v",
        card("skyreels", ["i2v"]),
        lambda folder: wan.save(
            folder,
            "SkyReelsV2ImageToVideoPipeline",
            5.0,
            transformer=partial(TRANSFORMER, in_channels=36, image_dim=4, added_kv_proj_dim=24),
            **vision(),
        ),
        plain,
    ),
)
