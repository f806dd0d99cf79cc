"""How well frames show what a prompt says, by a CLIP model from the Hub or a folder.

100 times the cosine of the angle between the embeddings, at least 0 (CLIPScore, arXiv 2104.08718,
without its factor of 2.5), as most papers print it.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from errors import KinoraError
from pipelines.engine.small_models import fetch_small_model
from pipelines.models.failures import Reason, failure, is_out_of_memory
from settings import Settings

log = logging.getLogger(__name__)

FRAMES = 8
"""Frames that are scored, evenly spread over the clip."""


def score(frames: np.ndarray, prompt: str, settings: Settings) -> float:
    """The mean over `FRAMES` of `frames`, uint8 [F, H, W, 3]. On the CPU.

    Raises KinoraError where the model of `settings.clip_model` cannot be used.
    """
    name = settings.clip_model
    if name is None:
        raise ValueError("no CLIP model is set")
    model, processor, tokenizer = _load(name, fetch_small_model(name, settings))
    at = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int)
    pictures = [Image.fromarray(frames[index]) for index in dict.fromkeys(at.tolist())]
    # longer prompts are cut, as CLIP reads no more
    words = tokenizer([prompt], padding=True, truncation=True, return_tensors="pt")
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        # the two encoders run in one call: the methods for each have changed their result's type
        both = model(
            input_ids=words["input_ids"],
            attention_mask=words["attention_mask"],
            pixel_values=pixels.to(model.dtype),
        )
    cosines = torch.nn.functional.cosine_similarity(
        both.image_embeds.float(), both.text_embeds.float()
    )
    return round(float(cosines.mean().clamp(min=0)) * 100, 2)


@lru_cache(maxsize=1)
def _load(name: str, folder: Path) -> tuple[Any, Any, Any]:
    # the image processor of Pillow: the other one needs torchvision
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    try:
        model: Any = CLIPModel.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True
        )
        processor = CLIPImageProcessorPil.from_pretrained(str(folder), local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except KinoraError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise failure(Reason.OUT_OF_MEMORY, name, "CLIP") from error
        log.info("The CLIP model %s cannot be loaded: %s", name, error)
        raise failure(Reason.OTHER, name) from error
    return model.eval(), processor, tokenizer
