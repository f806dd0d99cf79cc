"""Lucy-Edit: Wan 2.2's 5B, trained to change a clip as the prompt says and to keep its motion.

The given clip is a second set of latent channels beside the noise, so there is no strength.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.engine.families.base import Inputs, usual_arguments
from pipelines.engine.families.wan import Wan
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard


class Lucy(Wan):
    pipelines = {Task.VIDEO_TO_VIDEO: "LucyEditPipeline"}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        return {
            **usual_arguments(fitted),
            "video": list(inputs.video),
            **card.call,
        }
