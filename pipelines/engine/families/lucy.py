"""Lucy-Edit: Wan 2.2's 5B, trained to change a clip as the prompt says and to keep its motion.

The given clip is a second set of latent channels beside the noise, so there is no strength.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.engine.families.base import Inputs
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
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt,
            "video": list(inputs.video),
            "width": fitted.width,
            "height": fitted.height,
            "num_frames": fitted.num_frames,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
        } | card.call
