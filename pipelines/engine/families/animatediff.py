"""AnimateDiff: a Stable Diffusion 1.5 checkpoint with a motion adapter.

The adapter has a repository of its own (the card's `parts`). Clips longer than it was trained for
use FreeNoise (arXiv 2310.15169), which slides windows over the clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.engine.families.base import Inputs, LatentFamily, usual_arguments
from pipelines.engine.families.image_vae import encode_frames
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    import torch

    from pipelines.models.cards import ModelCard

DECODE_CHUNK = 16
WINDOW, STRIDE = 16, 4
"""Frames of a FreeNoise window and its step, as its authors recommend."""


class AnimateDiff(LatentFamily):
    pipelines = {Task.TEXT_TO_VIDEO: "AnimateDiffPipeline"}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        return usual_arguments(fitted) | card.call

    @contextmanager
    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> Iterator[None]:
        if fitted.num_frames <= pipe.motion_adapter.config.motion_max_seq_length:
            yield
            return
        pipe.enable_free_noise(context_length=WINDOW, context_stride=STRIDE)
        try:
            yield
        finally:
            pipe.disable_free_noise()

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        chunk = int(card.call.get("decode_chunk_size", DECODE_CHUNK))
        return pipe.decode_latents(latents.to(pipe.vae.dtype), chunk)

    def encode(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        return encode_frames(pipe.vae, pixels)
