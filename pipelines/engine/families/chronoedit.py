"""ChronoEdit: Wan 2.1 14B, trained to edit a picture by a short clip that leads to the result.

With five frames (two latent frames) the clip jumps to the edited picture. With more of them the
change is seen: the frames between are sampled as well, which the pipeline calls reasoning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, usual_arguments
from pipelines.engine.families.wan import Wan
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

WITHOUT_REASONING = 5
"""Frames of a clip that is only the picture and its edit; the pipeline makes no other number."""
ENDS = [0, -1]


class ChronoEdit(Wan):
    pipelines = {Task.IMAGE_TO_VIDEO: "ChronoEditPipeline"}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        return {
            **usual_arguments(fitted),
            "image": inputs.image,
            "enable_temporal_reasoning": fitted.num_frames > WITHOUT_REASONING,
            # the step at which the frames between are dropped: none, for they are the clip
            "num_temporal_reasoning_steps": -1,
            **card.call,
        }

    def decode(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        """The edited picture is decoded right after the first frame, as it was trained, and not
        after the frames between."""
        if latents.shape[2] <= len(ENDS):
            return super().decode(pipe, card, latents, noise)
        edit = super().decode(pipe, card, latents[:, :, ENDS], noise)
        between = super().decode(pipe, card, latents[:, :, :-1], noise)
        return torch.cat([between, edit[:, :, 1:]], dim=2)
