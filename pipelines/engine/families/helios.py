"""Helios: clips of any length, made in windows of 33 frames; every window sees those before it.

Helios-Base samples at full size. The pyramid pipeline (Helios-Mid, Helios-Distilled) samples each
window in three stages, the first at a quarter of the size. A given clip is continued, not changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs
from pipelines.engine.families.wan import Wan, _statistics
from pipelines.engine.patching import recorded_result, replaced_method
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

PYRAMID = "HeliosPyramidPipeline"
STAGES = 3
WINDOW = 9
"""Latent frames of a window, which the decoder turns into 33 frames."""
WINDOW_FRAMES = 33
KEPT_FRAMES = 32
"""Frames of a window that count: the pipeline cuts a clip to 4 k + 1 frames, so that n windows
(n <= 4) give 32 n + 1."""


class Helios(Wan):
    pipelines = dict.fromkeys(
        (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.VIDEO_TO_VIDEO), "HeliosPipeline"
    )

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        windows = _windows(fitted)
        arguments: dict[str, Any] = {
            "prompt": fitted.prompt,
            "negative_prompt": fitted.negative_prompt,
            "width": fitted.width,
            "height": fitted.height,
            "guidance_scale": fitted.guidance_scale,
        }
        if card.classes.get(fitted.task) == PYRAMID:
            steps = fitted.num_inference_steps
            # the first stages are the cheap ones, so they get what cannot be divided
            stages = [(steps + STAGES - 1 - stage) // STAGES for stage in range(STAGES)]
            arguments["pyramid_num_inference_steps_list"] = [max(1, each) for each in stages]
        else:
            arguments["num_inference_steps"] = fitted.num_inference_steps
        if inputs.lead:  # the first window of the clip
            arguments["video"] = list(inputs.lead)
            windows -= 1
        elif inputs.video:
            arguments["video"] = list(inputs.video)
        elif inputs.image is not None:
            arguments["image"] = inputs.image
        return arguments | {"num_frames": windows * WINDOW_FRAMES} | card.call

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """Records the windows that are complete, and the latents of a given clip.

        The pipeline decodes each window even where only latents are wanted (diffusers 0.42);
        instead of decoding, the window is recorded.
        """
        vae = pipe.vae

        def record_window(latents: torch.Tensor, **_options: Any) -> tuple[torch.Tensor]:
            mean, per_deviation = _statistics(vae, latents)
            window = (latents - mean) * per_deviation
            run["windows"] = torch.cat([run["windows"], window], 2) if "windows" in run else window
            return (latents[:, :3, :1],)

        def record_clip(prepared: tuple[torch.Tensor, torch.Tensor]) -> None:
            _, run["clip"] = prepared

        with ExitStack() as patches:
            patches.enter_context(replaced_method(vae, "decode", record_window))
            patches.enter_context(recorded_result(pipe, "prepare_video_latents", record_clip))
            yield

    def unpack_latents(
        self, pipe: Any, output: torch.Tensor, fitted: FittedRequest
    ) -> torch.Tensor:
        """Without what the pipeline puts before the clip's own windows: a picture or a clip."""
        return output[:, :, -_windows(fitted) * WINDOW :]

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """The windows so far. A stage below the full size is enlarged."""
        size = (fitted.height, fitted.width)
        place = tuple(side // self.spatial_compression(pipe) for side in size)
        if tuple(x0.shape[-2:]) != place:
            x0 = torch.nn.functional.interpolate(x0, size=(x0.shape[2], *place))
        before = [run[name].to(x0) for name in ("windows",) if name in run]
        if fitted.overlap > 1:
            before.insert(0, run["clip"].to(x0))
        return torch.cat([*before, x0], dim=2)

    def decode(
        self,
        pipe: Any,
        card: ModelCard,
        latents: torch.Tensor,
        noise: torch.Tensor | None,
    ) -> torch.Tensor:
        windows = latents.split(WINDOW, dim=2)
        frames = [super(Helios, self).decode(pipe, card, each, noise) for each in windows]
        return torch.cat(frames, dim=2)[:, :, : KEPT_FRAMES * len(windows) + 1]


def _windows(fitted: FittedRequest) -> int:
    """How many windows the clip has, with that of a clip to continue."""
    return max(1, (fitted.num_frames - 1) // KEPT_FRAMES)
