"""LTX-Video in windows that slide over a long clip; a prompt with bars (a | b) has a part for each.

The windows are joined while they are sampled and decoded in tiles, so the pipeline decodes by
itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pipelines.engine.families.base import FrameFamily, Inputs, usual_arguments
from pipelines.engine.families.ltx import LTX
from pipelines.engine.frames import Frames, to_uint8
from pipelines.engine.patching import replaced_method
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

LONG = "LTXI2VLongMultiPromptPipeline"


class LTXLong(FrameFamily):
    pipelines = {Task.TEXT_TO_VIDEO: LONG, Task.IMAGE_TO_VIDEO: LONG}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments = usual_arguments(fitted) | {
            "frame_rate": fitted.fps,
            # one more than are made: the pipeline's loop leaves the last timestep out
            "num_inference_steps": fitted.num_inference_steps + 1,
            # of each window, besides the generator
            "seed": fitted.seed,
        }
        if inputs.image is not None:
            arguments["cond_image"] = inputs.image
        return arguments | card.call

    @contextmanager
    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> Iterator[None]:
        """After "finish now" later windows are missing: the last frame stands for them, so that the
        clip is as long as it was promised."""
        count = (fitted.num_frames - 1) // pipe.vae_temporal_compression_ratio + 1
        decode = pipe.vae_decode_tiled

        def decode_whole(latents: torch.Tensor, **settings: Any) -> Any:
            missing = count - latents.shape[2]
            if missing > 0:
                still = latents[:, :, -1:].expand(-1, -1, missing, -1, -1)
                latents = torch.cat([latents, still], dim=2)
            return decode(latents, **settings)

        with replaced_method(pipe, "vae_decode_tiled", decode_whole):
            yield

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """The latents of the window that is being sampled."""
        if x0.ndim == 5:  # what the call returns undecoded
            return x0
        ratio, patch = pipe.vae_spatial_compression_ratio, pipe.transformer_spatial_patch_size
        height, width = fitted.height // ratio, fitted.width // ratio
        patch_t = pipe.transformer_temporal_patch_size
        frames = x0.shape[1] * patch * patch * patch_t // (height * width)
        unpacked = pipe._unpack_latents(x0, frames, height, width, patch, patch_t)
        # followed by what the window was conditioned on
        return unpacked[:, :, : pipe._current_tile_T]

    def to_frames(self, output: Any) -> Frames:
        return to_uint8(np.asarray(output[0]))

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        return LTX().encode(pipe, pixels)
