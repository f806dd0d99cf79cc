"""ModelScope and Zeroscope: text-to-video, and video-to-video at a larger size.

Their pipelines are deprecated in diffusers, which warns about it in every process.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pipelines.engine.families.base import Inputs, LatentFamily
from pipelines.engine.families.image_vae import encode_frames, unflatten_frames
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    import torch

    from pipelines.models.cards import ModelCard


class ModelScope(LatentFamily):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "TextToVideoSDPipeline",
        Task.VIDEO_TO_VIDEO: "VideoToVideoSDPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt,
            "num_inference_steps": fitted.num_inference_steps,
            "guidance_scale": fitted.guidance_scale,
        }
        if fitted.task is Task.VIDEO_TO_VIDEO:  # the size and length are the video's
            arguments |= {"video": list(inputs.video), "strength": fitted.strength}
        else:
            arguments |= {
                "width": fitted.width,
                "height": fitted.height,
                "num_frames": fitted.num_frames,
            }
        return arguments | card.call

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        return unflatten_frames(x0)

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        return pipe.decode_latents(latents.to(pipe.vae.dtype))

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        return encode_frames(pipe.vae, pixels)


def _is_no_deprecation_notice(record: logging.LogRecord) -> bool:
    return "has been deprecated and will not receive bug fixes" not in record.getMessage()


# diffusers' DeprecatedPipelineMixin (0.33 to 0.42) logs it at warning level. Operators can do
# nothing about it. Can go with these pipelines
logging.getLogger("diffusers.pipelines.pipeline_utils").addFilter(_is_no_deprecation_notice)
