"""Cosmos, which predicts what follows a picture, some frames or words.

Their pipelines decode by themselves, because NVIDIA's licence wants every frame to pass its
guardrail first; so there are neither latents to keep nor previews.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.engine.families.base import FrameFamily, Inputs, usual_arguments
from pipelines.engine.frames import Frames, to_uint8
from pipelines.models.call_signatures import call_signature
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    import torch

    from pipelines.models.cards import ModelCard

COSMOS_25 = "Cosmos2_5_PredictBasePipeline"


class Cosmos(FrameFamily):
    pipelines = {Task.TEXT_TO_VIDEO: COSMOS_25, Task.IMAGE_TO_VIDEO: COSMOS_25}  # noqa: RUF012
    shows_previews = False

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments = usual_arguments(fitted) | {
            # None: the pipelines' own default, which is not empty
            "negative_prompt": fitted.negative_prompt or None,
        }
        call = call_signature(card.classes.get(fitted.task, self.pipelines[fitted.task]))
        if call is not None and call.takes("fps"):  # all but Predict 2.5
            arguments["fps"] = fitted.fps
        if inputs.lead:
            arguments["video"] = list(inputs.lead)
        elif inputs.image is not None:
            arguments["image"] = inputs.image
        return arguments | card.call

    def to_frames(self, output: Any) -> Frames:
        return to_uint8(np.asarray(output[0]))

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("needed for previews only, which Cosmos has none of")
