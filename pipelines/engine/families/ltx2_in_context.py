"""LTX-2 with in-context LoRAs: a reference clip, such as one of depths or poses, or a reference
picture is encoded into tokens beside those of the video.

Everything else is as in LTX-2. The LoRA is chosen with the request; without one the reference
changes little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.engine.families.base import Inputs
from pipelines.engine.families.ltx2 import LTX2
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

IN_CONTEXT = "LTX2InContextPipeline"
REFERENCE_PICTURE = "reference_picture"
"""In a card's `call`: the picture is a reference, not the first frame."""


class LTX2InContext(LTX2):
    pipelines = dict.fromkeys(Task, IN_CONTEXT)

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        own = {k: v for k, v in card.call.items() if k != REFERENCE_PICTURE}
        plain_card = card.model_copy(update={"call": own})
        reference: Any = list(inputs.video)
        if card.call.get(REFERENCE_PICTURE) and inputs.image is not None:
            reference = inputs.image
        if not reference:
            return super().call_arguments(plain_card, fitted, inputs)

        from diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora import LTX2ReferenceCondition

        arguments = super().call_arguments(plain_card, fitted, Inputs(last_image=inputs.last_image))
        arguments["reference_conditions"] = [LTX2ReferenceCondition(frames=reference)]
        return arguments
