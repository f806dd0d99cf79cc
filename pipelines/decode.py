"""From latents to frames, bit for bit what the plain pipeline call gives.

When memory is short: decode in tiles, then a few frames at a time, then on the CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from errors import ErrorCode, KinoraError
from pipelines.failures import free_memory, is_out_of_memory
from pipelines.manager import Loaded
from pipelines.request import FittedRequest

log = logging.getLogger(__name__)

Frames = np.ndarray
"""uint8 [F, H, W, 3]"""


@torch.no_grad()
def decode(
    loaded: Loaded,
    latents: torch.Tensor,
    fitted: FittedRequest,
    noise: torch.Tensor | None = None,
) -> Frames:
    """`noise` is `Sampled.noise`; only timestep-conditioned decoders want it."""
    rungs: list[tuple[str, Callable[[], np.ndarray]]] = [
        ("whole", lambda: _pixels(loaded, latents, noise)),
        ("in tiles", lambda: _tiled(loaded, latents, fitted, noise)),
        ("in tiles, frame by frame", lambda: _chunked(loaded, latents, fitted, noise)),
    ]
    if loaded.device.type != "cpu":
        rungs.append(("on the CPU", lambda: _on_cpu(loaded, latents, noise)))

    with loaded.busy:
        for name, attempt in rungs:
            try:
                pixels = attempt()
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning("decoding %s needs more memory than there is", name)
            finally:
                loaded.pipe.maybe_free_model_hooks()
            free_memory()  # outside `except`: the failed attempt's tensors hang on its traceback
        else:
            raise KinoraError(ErrorCode.OUT_OF_MEMORY)

    if not np.isfinite(pixels).all():
        raise KinoraError(
            ErrorCode.DECODE,
            "The model lost its way and made no picture. Try another seed or fewer frames.",
        )
    # as diffusers' numpy_to_pil rounds
    return (pixels * 255).round().astype(np.uint8)


def _pixels(loaded: Loaded, latents: torch.Tensor, noise: torch.Tensor | None) -> np.ndarray:
    video = loaded.family.decode(loaded.pipe, loaded.card, latents, noise)
    return loaded.pipe.video_processor.postprocess_video(video, output_type="np")[0]


def _tiled(
    loaded: Loaded, latents: torch.Tensor, fitted: FittedRequest, noise: torch.Tensor | None
) -> np.ndarray:
    with _vae_set(loaded.pipe.vae, _tiling(loaded, fitted)):
        return _pixels(loaded, latents, noise)


def _chunked(
    loaded: Loaded, latents: torch.Tensor, fitted: FittedRequest, noise: torch.Tensor | None
) -> np.ndarray:
    per_latent = loaded.family.per_latent(loaded.pipe)
    values = _tiling(loaded, fitted) | {
        "use_framewise_decoding": True,
        "tile_sample_min_num_frames": 2 * per_latent,
        "tile_sample_stride_num_frames": per_latent,
    }
    with _vae_set(loaded.pipe.vae, values):
        return _pixels(loaded, latents, noise)


def _on_cpu(loaded: Loaded, latents: torch.Tensor, noise: torch.Tensor | None) -> np.ndarray:
    vae, before = loaded.pipe.vae, loaded.pipe.vae.dtype
    try:
        vae.to("cpu", torch.float32)
        on_cpu = None if noise is None else noise.to("cpu")
        return _pixels(loaded, latents.to("cpu"), on_cpu)
    finally:
        vae.to(loaded.device, before)


def _tiling(loaded: Loaded, fitted: FittedRequest) -> dict[str, Any]:
    """Tiles of about half a side, overlapping by a quarter, on whole latents."""
    cell = loaded.family.cell(loaded.pipe)
    values: dict[str, Any] = {"use_tiling": True}
    for side, length in (("height", fitted.height), ("width", fitted.width)):
        tile = max(2, length // cell // 2)
        values[f"tile_sample_min_{side}"] = tile * cell
        values[f"tile_sample_stride_{side}"] = max(1, tile * 3 // 4) * cell
    return values


@contextmanager
def _vae_set(vae: Any, values: dict[str, Any]) -> Iterator[None]:
    """Set those attributes this VAE has, and put them back."""
    before = {name: getattr(vae, name) for name in values if hasattr(vae, name)}
    for name in before:
        setattr(vae, name, values[name])
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)
