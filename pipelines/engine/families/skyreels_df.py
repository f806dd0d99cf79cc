"""SkyReels-V2 by diffusion forcing: each latent frame has a noise level and a scheduler of its own.

A clip longer than `base_num_frames` is sampled in windows, of which each begins with the last
`overlap_history` frames of the one before. A given clip is continued in the same way: its last
frames come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs, usual_arguments
from pipelines.engine.families.wan import Wan
from pipelines.engine.patching import replaced_method
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

BASE, OVERLAP = "base_num_frames", "overlap_history"
"""In a card's `call`; by default what the pipeline's documentation recommends for 540p."""
DEFAULT_BASE, DEFAULT_OVERLAP = 97, 17
GROUP = 4
"""Frames for one latent frame after the first."""


class SkyReelsDF(Wan):
    pipelines = {  # noqa: RUF012
        Task.TEXT_TO_VIDEO: "SkyReelsV2DiffusionForcingPipeline",
        Task.IMAGE_TO_VIDEO: "SkyReelsV2DiffusionForcingImageToVideoPipeline",
        Task.VIDEO_TO_VIDEO: "SkyReelsV2DiffusionForcingVideoToVideoPipeline",
    }

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments = usual_arguments(fitted) | {
            "fps": fitted.fps,
        }
        arguments |= {k: v for k, v in card.call.items() if k not in (BASE, OVERLAP)}
        base = int(card.call.get(BASE, DEFAULT_BASE))
        overlap = int(card.call.get(OVERLAP, DEFAULT_OVERLAP))
        if inputs.video:
            # at least one latent frame is new, or the pipeline makes no round at all
            overlap = min(overlap, fitted.num_frames - GROUP)
            return arguments | {"video": list(inputs.video), BASE: base, OVERLAP: overlap}
        if inputs.image is not None:
            arguments["image"] = inputs.image
            if inputs.last_image is not None:
                arguments["last_image"] = inputs.last_image
            base, overlap = _equal_windows(fitted.num_frames, base, overlap)
        if fitted.num_frames > base:
            arguments |= {OVERLAP: overlap}
        return arguments | {BASE: base}

    def unpack_latents(
        self, pipe: Any, output: torch.Tensor, fitted: FittedRequest
    ) -> torch.Tensor:
        """Without the latent frame of a last image, which the pipeline cuts off when it decodes."""
        return output[:, :, : _latents(fitted.num_frames)]

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """Records what comes before the frames that a window samples: the windows so far, or the
        latent frames of a picture or a clip."""
        prepare = pipe.prepare_latents

        def prepare_and_record(*args: Any, **kwargs: Any) -> Any:
            prepared = prepare(*args, **kwargs)
            _, _, prefix, _ = prepared
            windows = kwargs.get("video_latents")
            if windows is not None:
                run["before"] = windows
            elif prefix is not None:
                run["before"] = prefix[:1]  # a last picture follows in the batch
            return prepared

        with replaced_method(pipe, "prepare_latents", prepare_and_record):
            yield

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """The windows so far. `x0` has only the frames that this window samples."""
        before = run.get("before")
        return x0 if before is None else torch.cat([before.to(x0), x0], dim=2)

    @contextmanager
    def temporary_settings(self, pipe: Any, fitted: FittedRequest) -> Iterator[None]:
        """Seeds torch's global generator, from which the pipeline draws the noise of
        `addnoise_condition`, so that the seed alone reproduces a clip."""
        device = pipe._execution_device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(fitted.seed)
            yield


def _equal_windows(num_frames: int, base: int, overlap: int) -> tuple[int, int]:
    """`base` and `overlap` of windows that are all of one length, in frames.

    The pipeline for images takes each window as long as the first and fails where the last one is
    shorter (diffusers 0.42: `generate_timestep_matrix` gets `base_latent_num_frames`).
    """
    if num_frames <= base:
        return base, overlap
    latents, longest, least = (_latents(n) for n in (num_frames, base, overlap))
    windows = 2
    while True:
        # `shared` latent frames more or less, so that the rest can be divided
        for shared in range(least, least + windows):
            new, rest = divmod(latents - shared, windows)
            if rest == 0 and new > 0 and new + shared <= longest:
                return _frames(new + shared), _frames(shared)
        windows += 1


def _latents(frames: int) -> int:
    return (frames - 1) // GROUP + 1


def _frames(latents: int) -> int:
    return (latents - 1) * GROUP + 1
