"""SkyReels-V2 by diffusion forcing in miniature: one window, several, two pictures, a clip."""

from __future__ import annotations

from functools import partial
from typing import Any

from pipelines.engine.families.base import Inputs
from pipelines.request import FittedRequest, Task
from tests.zoo import Specimen, card, wan

STEPS = 3
GIVEN = 9
"""Frames of a clip to continue, which the pipeline puts before those that it makes."""


def plain(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    arguments = wan.words(fitted) | {"num_frames": 9}
    if fitted.task is Task.VIDEO_TO_VIDEO:
        return arguments | {"video": list(inputs.video), "overlap_history": 5}
    if inputs.image is not None:
        arguments |= {"image": inputs.image, "last_image": inputs.last_image}
    return arguments


def plain_long(pipe: Any, fitted: FittedRequest, inputs: Inputs) -> dict[str, Any]:
    """17 frames are 5 latent frames: windows of 3 that share one make two, of 4 that share 3 too.

    The noise of `addnoise_condition` comes from torch's global generator.
    """
    import torch

    torch.manual_seed(fitted.seed)
    return plain(pipe, fitted, inputs) | {
        "num_frames": 17,
        "base_num_frames": 9,
        "overlap_history": 1,
        "addnoise_condition": 20,
    }


build = partial(
    wan.save,
    cls="SkyReelsV2DiffusionForcingPipeline",
    flow_shift=8.0,
    transformer=partial(wan.transformer, "SkyReelsV2Transformer3DModel", inject_sample_info=True),
)

SPECIMENS = (
    Specimen(
        "skyreels-v2-df",
        card(
            "skyreels_df",
            ["t2v", "i2v", "v2v"],
            takes={"last_image": True},
            call={"overlap_history": 5},
        ),
        build,
        plain,
        steps=STEPS,
        given=GIVEN,
    ),
    Specimen(
        "skyreels-v2-df-long",
        card(
            "skyreels_df",
            ["t2v", "i2v"],
            defaults={"num_frames": 17},
            call={"base_num_frames": 9, "overlap_history": 1, "addnoise_condition": 20},
        ),
        build,
        plain_long,
        steps=2 * STEPS,
        first_window=9,
        slow=True,
    ),
)
