"""FramePack: HunyuanVideo trained to make a clip section by section from a packed context.

The first checkpoint begins with the last section of the clip, and the first picture is an anchor
all the while ("inverted_anti_drifting"). F1 goes forward; its card has
`call: {sampling_type: vanilla}`. The transformer has a repository of its own, so cards name it, the
image encoder and the feature extractor in `parts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pipelines.engine.families.base import Inputs
from pipelines.engine.families.hunyuan import HunyuanVideo
from pipelines.engine.patching import recorded_result
from pipelines.request import FittedRequest, Task

if TYPE_CHECKING:
    from pipelines.models.cards import ModelCard

SECTION = 9
"""Latent frames of a section."""
SECTION_FRAMES = 36
OVERLAP_FRAMES = 33
"""Frames of two neighbouring sections that are decoded twice and blended."""
FORWARD = "vanilla"
RUN = "_run_of_kinora"
"""The attribute of a pipeline where its callbacks find what is recorded of the run."""


class FramePack(HunyuanVideo):
    pipelines = {Task.IMAGE_TO_VIDEO: "HunyuanVideoFramepackPipeline"}  # noqa: RUF012

    def call_arguments(
        self, card: ModelCard, fitted: FittedRequest, inputs: Inputs
    ) -> dict[str, Any]:
        arguments = super().call_arguments(card, fitted, inputs)
        if inputs.last_image is not None:
            arguments["last_image"] = inputs.last_image
        forward = card.call.get("sampling_type") == FORWARD
        arguments["callback_on_step_end"] = _record_forward if forward else _record_backward
        # the pipeline divides by the frames of a section alone: n sections give 36 n + 1 frames
        sections = max(1, (fitted.num_frames - 1) // SECTION_FRAMES)
        return arguments | {"num_frames": sections * OVERLAP_FRAMES}

    @contextmanager
    def record_inputs(self, pipe: Any, run: dict[str, torch.Tensor]) -> Iterator[None]:
        """Records what the sampler never sees: the first picture's latent frame, which is prepared
        before that of the last, and the sections that are complete."""

        def record(latents: torch.Tensor) -> None:
            run.setdefault("image", latents)

        setattr(pipe, RUN, run)
        try:
            with recorded_result(pipe, "prepare_image_latents", record):
                yield
        finally:
            delattr(pipe, RUN)

    def unpack_latents(
        self, pipe: Any, output: list[torch.Tensor], fitted: FittedRequest
    ) -> torch.Tensor:
        """The call returns the latents after each section; the last ones are those of the clip."""
        return output[-1]

    def unpack_x0(
        self, pipe: Any, x0: torch.Tensor, fitted: FittedRequest, run: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """The picture, and the sections so far."""
        found = (run["image"], run.get("before"), x0, run.get("after"))
        return torch.cat([each.to(x0) for each in found if each is not None], dim=2)

    def decode(
        self, pipe: Any, card: ModelCard, latents: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        """Decodes each section with the one before it and blends what they have in common, in the
        pipeline's order: floating-point sums depend on it."""
        forward = card.call.get("sampling_type") == FORWARD
        image, rest = latents[:, :, :1], latents[:, :, 1:]
        sections = list(rest.split(SECTION, dim=2))
        if forward:
            sections[0] = torch.cat([image, sections[0]], dim=2)
        else:
            sections.reverse()
            sections[-1] = torch.cat([image, sections[-1]], dim=2)
        video = super().decode(pipe, card, sections[0], noise)
        for number in range(1, len(sections)):
            before, here = sections[number - 1], sections[number]
            if forward:
                # the picture's latent frame is no part of the pair
                pair = torch.cat([before[:, :, -SECTION:], here], dim=2)
                video = pipe._soft_append(
                    video, super().decode(pipe, card, pair, noise), OVERLAP_FRAMES
                )
            else:
                pair = torch.cat([here, before], dim=2)
                video = pipe._soft_append(
                    super().decode(pipe, card, pair, noise), video, OVERLAP_FRAMES
                )
        return video


def _record_forward(
    pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """A callback_on_step_end."""
    if index + 1 == pipe.num_timesteps:
        run = getattr(pipe, RUN, {})
        done = [run["before"]] if "before" in run else []
        run["before"] = torch.cat([*done, tensors["latents"]], dim=2)
    return {}


def _record_backward(
    pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """As `_record_forward`, where the last section of the clip is sampled first."""
    if index + 1 == pipe.num_timesteps:
        run = getattr(pipe, RUN, {})
        done = [run["after"]] if "after" in run else []
        run["after"] = torch.cat([tensors["latents"], *done], dim=2)
    return {}
