"""Twice the width and height, out of latents: a small model between sampler and decoder.

It comes with the first clip that is to be enlarged, waits in memory, and is on the GPU only while
it works. Knows the manager's `Loaded`. Knows no job.
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from pipelines.engine.components import load_part
from pipelines.engine.loaded import Loaded, latent_family
from pipelines.engine.memory import free_memory
from pipelines.models.failures import Reason, failure, is_out_of_memory
from pipelines.models.hub import COMMIT, Hub
from pipelines.models.loading import OnProgress

log = logging.getLogger(__name__)

NAME = "latent_upsampler"
MODULE = "ltx"
"""Of diffusers' pipelines; its class is none that diffusers gives out by itself."""


def bring(loaded: Loaded, hub: Hub, report: OnProgress) -> None:
    """Fetches and loads it, if it is not here yet. Call it while the model's load is yours."""
    held, card = loaded.weights.components, loaded.card
    if NAME in held:
        return
    if card.latent_upsampler is None:
        raise failure(Reason.MISSING_COMPONENT, card.name, "latent upsampler")
    plan = loaded.weights.plan
    found = load_part(NAME, card.latent_upsampler, MODULE, card, plan, hub, report)
    if not _fits(found, loaded.pipe):
        raise failure(Reason.WRONG_KIND, card.latent_upsampler, type(found).__name__)
    where, _, revision = card.latent_upsampler.partition("@")
    if where[0] not in "./" and not COMMIT.fullmatch(revision):
        log.warning("%s is not pinned to a commit: its output may change.", where)
    held[NAME] = found


def _fits(model: Any, pipe: Any) -> bool:
    """It enlarges pictures, not time, and reads this model's latents."""
    config = getattr(model, "config", None)
    return (
        type(model).__name__ == "LTXLatentUpsamplerModel"
        and config is not None
        and config.spatial_upsample
        and not config.temporal_upsample
        and config.in_channels == pipe.vae.config.latent_channels
    )


@torch.no_grad()
def upsampled(loaded: Loaded, latents: torch.Tensor) -> torch.Tensor:
    """What the family's `decode_upsampled` takes. Where the GPU is too full, made on the CPU."""
    model = loaded.weights.components[NAME]
    for device in dict.fromkeys((latents.device, torch.device("cpu"))):
        try:
            model.to(device)
            larger = latent_family(loaded).upsample(loaded.pipe, model, latents.to(device))
            return larger.to(latents.device)
        except Exception as error:
            if not is_out_of_memory(error) or device.type == "cpu":
                raise
            log.warning("Out of GPU memory while upsampling; using the CPU.")
        finally:
            model.to("cpu")
        free_memory()  # outside `except`: the failed attempt's tensors hang on its traceback
    raise AssertionError("the last device either returns or raises")
