"""Doubles width and height of latents with a small model between sampler and decoder.

It is loaded for the first upscaled clip, stays in main memory, and is moved to the GPU only while
it runs.
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from pipelines.engine.components import load_extra_component
from pipelines.engine.loaded import Loaded, require_latents
from pipelines.engine.memory import free_memory
from pipelines.models.failures import Reason, failure, is_out_of_memory
from pipelines.models.hub import COMMIT, Hub
from pipelines.models.loading import OnProgress

log = logging.getLogger(__name__)

COMPONENT = "latent_upsampler"
MODULE = "ltx"
"""The module of `diffusers.pipelines` with its class, which diffusers does not export."""


def load_upsampler(loaded: Loaded, hub: Hub, report: OnProgress) -> None:
    """Downloads and loads the upsampler, if it is not loaded. Hold the model's load lock.

    Raises KinoraError where the card names none, or one for another model.
    """
    held, card = loaded.weights.components, loaded.card
    if COMPONENT in held:
        return
    if card.latent_upsampler is None:
        raise failure(Reason.MISSING_COMPONENT, card.name, "latent upsampler")
    plan = loaded.weights.plan
    found = load_extra_component(COMPONENT, card.latent_upsampler, MODULE, card, plan, hub, report)
    if not _is_compatible(found, loaded.pipe):
        raise failure(Reason.WRONG_KIND, card.latent_upsampler, type(found).__name__)
    where, _, revision = card.latent_upsampler.partition("@")
    if where[0] not in "./" and not COMMIT.fullmatch(revision):
        log.warning("%s is not pinned to a commit: its output may change.", where)
    held[COMPONENT] = found


def _is_compatible(model: Any, pipe: Any) -> bool:
    """Whether it upsamples space, not time, and takes this model's latents."""
    config = getattr(model, "config", None)
    return (
        type(model).__name__ == "LTXLatentUpsamplerModel"
        and config is not None
        and config.spatial_upsample
        and not config.temporal_upsample
        and config.in_channels == pipe.vae.config.latent_channels
    )


@torch.no_grad()
def upsample_latents(loaded: Loaded, latents: torch.Tensor) -> torch.Tensor:
    """Latents [B, C, F, 2H, 2W] for the family's `decode_upsampled`, from [B, C, F, H, W]. Falls
    back to the CPU where the GPU is out of memory."""
    model = loaded.weights.components[COMPONENT]
    for device in dict.fromkeys((latents.device, torch.device("cpu"))):
        try:
            model.to(device)
            larger = require_latents(loaded).upsample(loaded.pipe, model, latents.to(device))
            return larger.to(latents.device)
        except Exception as error:
            if not is_out_of_memory(error) or device.type == "cpu":
                raise
            log.warning("Out of GPU memory while upsampling; using the CPU.")
        finally:
            model.to("cpu")
        # outside `except`, whose traceback keeps the tensors of the failed attempt alive
        free_memory()
    raise AssertionError("the last device either returns or raises")
