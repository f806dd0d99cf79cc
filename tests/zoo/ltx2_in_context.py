"""LTX-2 with a reference in miniature: the clip that is given, or the picture."""

from __future__ import annotations

from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest, Task
from tests.zoo import Specimen, card, ltx2

CALL = {"stg_block": 1, "max_sequence_length": 32}
CARD = card(
    "ltx2_in_context",
    ["t2v", "i2v", "v2v"],
    frames={"of": 4, "plus": 1},
    call=CALL,
)


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    from diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora import LTX2ReferenceCondition

    if fitted.task is not Task.VIDEO_TO_VIDEO:
        return ltx2.plain(pipe, fitted, inputs)
    words = fitted.model_copy(update={"task": Task.TEXT_TO_VIDEO})
    reference = LTX2ReferenceCondition(frames=list(inputs.video))
    return ltx2.plain(pipe, words, Inputs()) | {"reference_conditions": [reference]}


def plain_picture(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    from diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora import LTX2ReferenceCondition

    assert inputs.image is not None
    reference = LTX2ReferenceCondition(frames=inputs.image)
    return ltx2.plain(pipe, fitted, Inputs()) | {"reference_conditions": reference}


SPECIMENS = (
    Specimen("ltx-2-in-context", CARD, ltx2.save, plain, frames_only=True),
    Specimen(
        "ltx-2-reference-picture",
        CARD
        | {
            "tasks": ["i2v"],
            "call": CALL | {"reference_picture": True},
            "takes": {"last_image": False, "lead": False},
        },
        ltx2.save,
        plain_picture,
        frames_only=True,
    ),
)
