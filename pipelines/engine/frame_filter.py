"""Whether frames show what may not be made here, by an image classifier from the Hub or a folder.

It runs on the CPU, so that it takes no memory from the model and works while the GPU is full.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from errors import ErrorCode, KinoraError
from pipelines.engine.small_models import fetch_small_model
from pipelines.models.failures import Reason, failure, is_out_of_memory
from settings import Settings

log = logging.getLogger(__name__)

FRAMES = 8
"""Frames that are checked, evenly spread over the clip."""


class FoundLabel(NamedTuple):
    label: str
    probability: float


def spread(count: int) -> list[int]:
    """The numbers of the frames that are checked, of so many: the first and the last among them."""
    at = np.linspace(0, count - 1, min(FRAMES, count)).round().astype(int).tolist()
    return list(dict.fromkeys(at))


def find_refused(frames: np.ndarray, settings: Settings) -> FoundLabel | None:
    """The most probable refused label, if it reaches the threshold in any frame; else None.

    `frames`: uint8 [F, H, W, 3]. Raises KinoraError where the model of
    `settings.frame_filter_model` cannot be used: what was not checked is not handed out.
    """
    name = settings.frame_filter_model
    if name is None:
        return None
    model, processor = _load(name, fetch_small_model(name, settings))
    labels = {n: str(label) for n, label in model.config.id2label.items()}
    wanted = {label.casefold() for label in settings.frame_filter_labels}
    refused = [n for n, label in labels.items() if label.casefold() in wanted]
    if not refused:
        raise KinoraError(
            ErrorCode.MODEL_REFUSED,
            f"{name} has none of the labels in KINORA_FRAME_FILTER_LABELS. "
            f"It has {', '.join(list(labels.values())[:20])}.",
        )
    images = [Image.fromarray(frame) for frame in frames]
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        chances = model(pixel_values=pixels.to(model.dtype)).logits.float().softmax(-1)
    highest, which = chances[:, refused].max(dim=0).values.max(dim=0)
    if float(highest) < settings.frame_filter_threshold:
        return None
    return FoundLabel(labels[refused[int(which)]], round(float(highest), 4))


@lru_cache(maxsize=1)
def _load(name: str, folder: Path) -> tuple[Any, Any]:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    try:
        model: Any = AutoModelForImageClassification.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True
        )
        # the image processor of Pillow: the other one needs torchvision
        processor = AutoImageProcessor.from_pretrained(
            str(folder), local_files_only=True, backend="pil"
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise failure(Reason.OUT_OF_MEMORY, name, "classifier") from error
        log.info("The image classifier %s cannot be loaded: %s", name, error)
        raise failure(Reason.OTHER, name) from error
    return model.eval(), processor
