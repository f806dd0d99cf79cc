"""Which argument of a pipeline's call takes which input of a request."""

from __future__ import annotations

import re

from pipelines.models.call_signatures import CallSignature

PICTURES = ("image", "cond_image", "init_image", "input_image", "first_image", "start_image")
LAST_PICTURES = ("last_image", "end_image")
CONTROL_CLIP = re.compile(r"(?:control|conditioning|guide|guiding)_(?:video|frames|clip)")
"""A clip that says what moves where, such as depth, edges or poses."""

FRAME_INDICES = re.compile(r"\w*frame_indices")
ONLY_TENSORS = re.compile(r"(?:Optional\[)?torch\.(?:Float)?Tensor\]?(?: \| None)?")


def picture_argument(call: CallSignature) -> str | None:
    """What takes the picture that a clip begins with."""
    control = control_argument(call)
    # a few pictures, each for a frame of its own: by default the first
    is_placed = any(FRAME_INDICES.fullmatch(each) for each in call.parameters)
    found = next((name for name in PICTURES if call.takes(name)), None)
    return found or (control if is_placed else None)


def last_picture_argument(call: CallSignature) -> str | None:
    return next((name for name in LAST_PICTURES if call.takes(name)), None)


def clip_argument(call: CallSignature) -> str | None:
    """What takes the clip to work over, as a list of pictures: the clip itself, or a control."""
    if call.takes("video"):
        is_tensor = ONLY_TENSORS.fullmatch(call.annotations.get("video", "")) is not None
        return None if is_tensor else "video"
    control = control_argument(call)
    return control if control != picture_argument(call) else None


def control_argument(call: CallSignature) -> str | None:
    return next((name for name in call.parameters if CONTROL_CLIP.fullmatch(name)), None)
