"""Refuses uploads and finished frames by the content policy, in the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError
from jobs.policy.content_policy import FRAMES, OWN
from jobs.policy.own_filter import load_filter, run_filter

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from jobs.policy.policy_event import Stage
    from media.prefix import LeadIn
    from pipelines.engine.families.base import Inputs
    from pipelines.request import FittedRequest
    from settings import Settings

NAMES = {
    "image": "This picture",
    "last_image": "The last picture",
    "video": "This clip",
    "continue_from": "The clip to continue",
}


def check_inputs(
    inputs: Inputs, lead: LeadIn | None, fitted: FittedRequest, settings: Settings
) -> None:
    """Raises KinoraError(CONTENT_POLICY) for an upload that may not be used."""
    if not _is_on(settings):
        return
    import numpy as np

    from pipelines.engine.frame_filter import spread

    given: dict[str, list[Image.Image]] = {}
    if fitted.image and inputs.image:
        given["image"] = [inputs.image]
    if inputs.last_image:
        given["last_image"] = [inputs.last_image]
    if inputs.video:
        given["video"] = [inputs.video[n] for n in spread(len(inputs.video))]
    if lead is not None and lead.count:  # all of it: it becomes the beginning of the clip
        some = set(spread(lead.count))
        given["continue_from"] = [image for n, image in enumerate(lead.images()) if n in some]
    for field, images in given.items():
        sentence = (
            f"{NAMES[field]} cannot be used here: it looks like something that this server "
            "does not make. Choose another one."
        )
        frames = np.stack([np.asarray(image.convert("RGB")) for image in images])
        _check(frames, settings, "input", field, sentence)


def check_result(frames: np.ndarray, settings: Settings) -> None:
    """Raises KinoraError(CONTENT_POLICY) for frames that may not be stored: uint8 [F, H, W, 3]."""
    check_result_at(len(frames), lambda numbers: frames[numbers], settings)


def check_result_at(
    count: int, read: Callable[[list[int]], np.ndarray], settings: Settings
) -> None:
    """As `check_result`, for `count` frames in a file, of which `read` returns those of some
    numbers."""
    if _is_on(settings):
        sentence = (
            "This clip was not kept: it looks like something that this server does not make. "
            "Change the prompt or the seed, and try again."
        )
        from pipelines.engine.frame_filter import spread

        _check(read(spread(count)), settings, "result", None, sentence)


def _is_on(settings: Settings) -> bool:
    return bool(settings.frame_filter_model or settings.content_filter)


def _check(
    frames: np.ndarray, settings: Settings, stage: Stage, field: str | None, sentence: str
) -> None:
    from pipelines.engine.frame_filter import find_refused

    details = {"stage": stage, **({"field": field} if field else {})}
    if found := find_refused(frames, settings):
        details |= {"category": FRAMES, "rule": found.label}
        raise KinoraError(ErrorCode.CONTENT_POLICY, sentence, details=details)
    if settings.content_filter:
        own = load_filter(settings.content_filter)
        if refusal := run_filter(lambda: own.check_frames(frames)):
            details |= {"category": OWN, "rule": OWN}
            raise KinoraError(ErrorCode.CONTENT_POLICY, refusal, details=details)
