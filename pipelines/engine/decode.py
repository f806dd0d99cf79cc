"""Decodes latents to frames, bit for bit as the plain pipeline call does.

Out of memory, it retries with strategies that need less: tiles, smaller tiles, the rest of the
model off the GPU, a few frames at a time, the CPU. A fallback is reported as an adjustment.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import Module
from typing_extensions import assert_never

from errors import ErrorCode, KinoraError
from pipelines.engine.denoise import Sampled, SampledFrames, SampledLatents
from pipelines.engine.frames import Frames, to_uint8
from pipelines.engine.loaded import Loaded, require_latents
from pipelines.engine.memory import free_memory
from pipelines.engine.placement import install_hooks, move_weights, moved_to_cpu, remove_offload
from pipelines.engine.upsample import upsample_latents
from pipelines.models.failures import is_out_of_memory
from pipelines.request import Adjustment, FittedRequest

log = logging.getLogger(__name__)

OnChange = Callable[[Adjustment], None]


@dataclass(frozen=True)
class DecodeStrategy:
    """One way to decode, with `tiles` tiles along each side; 0: the whole frame."""

    description: str
    tiles: int = 0
    offload_rest: bool = False
    """Move the rest of the model off the GPU meanwhile."""
    chunked: bool = False
    """Decode a few frames at a time."""
    on_cpu: bool = False


STRATEGIES = (
    DecodeStrategy("whole"),
    DecodeStrategy("in 2x2 tiles", tiles=2),
    DecodeStrategy("in 4x4 tiles", tiles=4),
    DecodeStrategy(
        "in 4x4 tiles, with the rest of the model off the GPU", tiles=4, offload_rest=True
    ),
    DecodeStrategy(
        "in 4x4 tiles, a few frames at a time", tiles=4, offload_rest=True, chunked=True
    ),
    DecodeStrategy("on the CPU", on_cpu=True),
)


@torch.no_grad()
def decode(
    loaded: Loaded,
    sampled: Sampled,
    fitted: FittedRequest,
    *,
    tiles: int = 0,
    on_change: OnChange | None = None,
) -> Frames:
    """The frames of a run, decoded unless its pipeline has done that already.

    `tiles` skips the strategies with fewer tiles, where whole frames are known to need too much
    memory. Raises KinoraError(OUT_OF_MEMORY) if all strategies fail, KinoraError(DECODE) for NaN.
    """
    match sampled:
        case SampledFrames():
            return sampled.frames
        case SampledLatents():
            return _decode_latents(loaded, sampled, fitted, tiles, on_change)
        case _:
            assert_never(sampled)


def _decode_latents(
    loaded: Loaded,
    sampled: SampledLatents,
    fitted: FittedRequest,
    tiles: int,
    on_change: OnChange | None,
) -> Frames:
    latents = sampled.latents
    with loaded.busy:
        # 1. The pipeline's own offload hooks, then twice the size where it is requested
        install_hooks(loaded.pipe, loaded.weights.plan)
        if fitted.upscale:
            latents = upsample_latents(loaded, latents)

        # 2. Strategies in their order, until one has enough memory
        strategies = [
            strategy for strategy in STRATEGIES if _is_applicable(strategy, loaded, tiles)
        ]
        for strategy in strategies:
            try:
                pixels = _try_strategy(strategy, loaded, latents, fitted, sampled.noise)
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning(
                    "Out of memory while decoding %s; trying the next strategy.",
                    strategy.description,
                )
            finally:
                loaded.pipe.maybe_free_model_hooks()
            # outside `except`, whose traceback keeps the tensors of the failed attempt alive
            free_memory()
        else:
            raise KinoraError(ErrorCode.OUT_OF_MEMORY)

    # 3. Pixels are checked and rounded; a fallback is reported
    frames = to_uint8(pixels)
    if strategy is not strategies[0] and on_change:
        on_change(
            Adjustment(
                field="decode",
                asked=strategies[0].description,
                used=strategy.description,
                sentence=f"Not enough memory to decode the frames {strategies[0].description}; "
                f"they were decoded {strategy.description}.",
            )
        )
    return frames


def _is_applicable(strategy: DecodeStrategy, loaded: Loaded, tiles: int) -> bool:
    on_gpu = loaded.device.type != "cpu"
    if strategy.on_cpu:
        return on_gpu
    if strategy.offload_rest and not strategy.chunked:
        return on_gpu and loaded.weights.plan.offload == "none"
    return strategy.tiles >= tiles


def _try_strategy(
    strategy: DecodeStrategy,
    loaded: Loaded,
    latents: torch.Tensor,
    fitted: FittedRequest,
    noise: torch.Tensor | None,
) -> np.ndarray:
    pipe, card = loaded.pipe, loaded.card
    with ExitStack() as run:
        if strategy.tiles:
            run.enter_context(
                _vae_options(pipe.vae, _tiling_options(loaded, fitted, strategy.tiles))
            )
        if strategy.chunked:
            run.enter_context(_vae_options(pipe.vae, _chunking_options(loaded)))
            card = card.model_copy(update={"call": dict(card.call) | {"decode_chunk_size": 1}})
        if strategy.offload_rest and loaded.weights.plan.offload == "none":
            run.enter_context(moved_to_cpu(pipe, loaded.device))
        if strategy.on_cpu:
            run.enter_context(_vae_on_cpu(loaded))
            latents = latents.to("cpu")
            noise = None if noise is None else noise.to("cpu")
        family = require_latents(loaded)
        decode_latents = family.decode_upsampled if fitted.upscale else family.decode
        video = decode_latents(pipe, card, latents, noise)
        return pipe.video_processor.postprocess_video(video, output_type="np")[0]


def _tiling_options(loaded: Loaded, fitted: FittedRequest, tiles: int) -> dict[str, Any]:
    """Attributes for tiles that overlap by a quarter. Each VAE class has some of these names.

    A tile is a multiple of four latents: VAEs that only know the overlap as a factor round it, and
    with other sizes their seams would not meet.
    """
    ratio = loaded.family.spatial_compression(loaded.pipe)
    values: dict[str, Any] = {"use_tiling": True}
    for name in ("tile_overlap_factor", "tile_overlap_factor_height", "tile_overlap_factor_width"):
        values[name] = 0.25
    sizes: list[int] = []
    for side, length in zip(("width", "height"), fitted.made_size, strict=True):
        tile = max(4, 4 * math.ceil(length / ratio / tiles / 4))
        sizes.append(tile)
        values[f"tile_sample_min_{side}"] = tile * ratio
        values[f"tile_latent_min_{side}"] = tile
        values[f"tile_sample_stride_{side}"] = tile * 3 // 4 * ratio
    values["tile_latent_min_size"] = max(sizes)
    values["tile_sample_min_size"] = max(sizes) * ratio
    return values


def _chunking_options(loaded: Loaded) -> dict[str, Any]:
    ratio = loaded.family.temporal_compression(loaded.pipe)
    return {
        "use_framewise_decoding": True,
        "use_slicing": True,  # for VAEs of still images, where the frames are the batch
        "tile_sample_min_num_frames": 2 * ratio,
        "tile_sample_stride_num_frames": ratio,
    }


@contextmanager
def _vae_on_cpu(loaded: Loaded) -> Iterator[None]:
    """Decodes on the CPU in float32, which every CPU supports."""
    plan, vae, before = loaded.weights.plan, loaded.pipe.vae, loaded.pipe.vae.dtype
    try:
        if plan.offload != "none":
            remove_offload(loaded.pipe)
        vae.to("cpu", torch.float32)
        yield
    finally:
        vae.to(dtype=before)
        if plan.offload == "none":
            vae.to(loaded.device)
        else:
            move_weights(loaded.pipe, plan)


@contextmanager
def _vae_options(vae: Any, values: dict[str, Any]) -> Iterator[None]:
    """Sets those attributes that this VAE has, and restores them."""
    before = {name: getattr(vae, name) for name in values if hasattr(vae, name)}
    for name in before:
        setattr(vae, name, values[name])
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)


@contextmanager
def check_between_layers(loaded: Loaded, check: Callable[[], None]) -> Iterator[None]:
    """Calls `check` before each layer of the decoder; what it raises ends the decoding.

    Decoding is one call that may take minutes on a CPU, so without this a cancel would wait for it.
    """

    def run_check(_layer: Module, _inputs: object) -> None:
        check()

    decoder: Module | None = getattr(loaded.pipe, "vae", None)
    layers = list(decoder.modules()) if decoder is not None else []
    hooks = [layer.register_forward_pre_hook(run_check) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
