"""From latents to frames, bit for bit what the plain pipeline call gives.

When memory is short, a ladder: in tiles, in smaller ones, with the rest of the model out of the
way, a few frames at a time, on the CPU. Whoever listens is told which rung it was.
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
from pipelines.engine.loaded import Loaded, latent_family
from pipelines.engine.memory import free_memory
from pipelines.engine.placement import move, moved_to_cpu, settle, unplace
from pipelines.engine.upsample import upsampled
from pipelines.models.failures import is_out_of_memory
from pipelines.request import Adjustment, FittedRequest

log = logging.getLogger(__name__)

OnChange = Callable[[Adjustment], None]


@dataclass(frozen=True)
class DecodeStrategy:
    """A way to decode. `tiles` along each side; 0: the whole frame."""

    words: str
    tiles: int = 0
    alone: bool = False
    """The rest of the model is moved off the GPU meanwhile."""
    chunked: bool = False
    """A few frames at a time."""
    on_cpu: bool = False


LADDER = (
    DecodeStrategy("whole"),
    DecodeStrategy("in 2x2 tiles", tiles=2),
    DecodeStrategy("in 4x4 tiles", tiles=4),
    DecodeStrategy("in 4x4 tiles, with the rest of the model out of the way", tiles=4, alone=True),
    DecodeStrategy("in 4x4 tiles, a few frames at a time", tiles=4, alone=True, chunked=True),
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

    `tiles` begins further down the ladder, where whole frames are known to be too much.
    Raises KinoraError(OUT_OF_MEMORY) after the last strategy, KinoraError(DECODE) for NaN.
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
        settle(loaded.pipe, loaded.weights.plan)
        if fitted.upscale:
            latents = upsampled(loaded, latents)
        rungs = [rung for rung in LADDER if _makes_sense(rung, loaded, tiles)]
        for rung in rungs:
            try:
                pixels = _attempt(rung, loaded, latents, fitted, sampled.noise)
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning(
                    "Out of memory while decoding %s; trying the next strategy.",
                    rung.words,
                )
            finally:
                loaded.pipe.maybe_free_model_hooks()
            free_memory()  # outside `except`: the failed attempt's tensors hang on its traceback
        else:
            raise KinoraError(ErrorCode.OUT_OF_MEMORY)

    frames = to_uint8(pixels)
    if rung is not rungs[0] and on_change:
        on_change(
            Adjustment(
                field="decode",
                asked=rungs[0].words,
                used=rung.words,
                sentence=f"Not enough memory to decode the frames {rungs[0].words}: "
                f"it was done {rung.words}.",
            )
        )
    return frames


def _makes_sense(rung: DecodeStrategy, loaded: Loaded, tiles: int) -> bool:
    on_gpu = loaded.device.type != "cpu"
    if rung.on_cpu:
        return on_gpu
    if rung.alone and not rung.chunked:
        return on_gpu and loaded.weights.plan.offload == "none"
    return rung.tiles >= tiles


def _attempt(
    rung: DecodeStrategy,
    loaded: Loaded,
    latents: torch.Tensor,
    fitted: FittedRequest,
    noise: torch.Tensor | None,
) -> np.ndarray:
    pipe, card = loaded.pipe, loaded.card
    with ExitStack() as run:
        if rung.tiles:
            run.enter_context(_vae_set(pipe.vae, _tiling(loaded, fitted, rung.tiles)))
        if rung.chunked:
            run.enter_context(_vae_set(pipe.vae, _chunks(loaded)))
            card = card.model_copy(update={"call": dict(card.call) | {"decode_chunk_size": 1}})
        if rung.alone and loaded.weights.plan.offload == "none":
            run.enter_context(moved_to_cpu(pipe, loaded.device))
        if rung.on_cpu:
            run.enter_context(_vae_on_cpu(loaded))
            latents = latents.to("cpu")
            noise = None if noise is None else noise.to("cpu")
        family = latent_family(loaded)
        develop = family.decode_upsampled if fitted.upscale else family.decode
        video = develop(pipe, card, latents, noise)
        return pipe.video_processor.postprocess_video(video, output_type="np")[0]


def _tiling(loaded: Loaded, fitted: FittedRequest, tiles: int) -> dict[str, Any]:
    """Tiles that overlap by a quarter, on whole latents: of four, or the seams of those VAEs that
    know only the quarter would not meet. Each VAE has some of these names."""
    cell = loaded.family.cell(loaded.pipe)
    values: dict[str, Any] = {"use_tiling": True}
    for name in ("tile_overlap_factor", "tile_overlap_factor_height", "tile_overlap_factor_width"):
        values[name] = 0.25
    sizes: list[int] = []
    for side, length in zip(("width", "height"), fitted.made_size, strict=True):
        tile = max(4, 4 * math.ceil(length / cell / tiles / 4))
        sizes.append(tile)
        values[f"tile_sample_min_{side}"] = tile * cell
        values[f"tile_latent_min_{side}"] = tile
        values[f"tile_sample_stride_{side}"] = tile * 3 // 4 * cell
    values["tile_latent_min_size"] = max(sizes)
    values["tile_sample_min_size"] = max(sizes) * cell
    return values


def _chunks(loaded: Loaded) -> dict[str, Any]:
    per_latent = loaded.family.per_latent(loaded.pipe)
    return {
        "use_framewise_decoding": True,
        "use_slicing": True,  # for decoders of single pictures, whose batch is the frames
        "tile_sample_min_num_frames": 2 * per_latent,
        "tile_sample_stride_num_frames": per_latent,
    }


@contextmanager
def _vae_on_cpu(loaded: Loaded) -> Iterator[None]:
    """In float32, which every CPU can."""
    plan, vae, before = loaded.weights.plan, loaded.pipe.vae, loaded.pipe.vae.dtype
    try:
        if plan.offload != "none":
            unplace(loaded.pipe)
        vae.to("cpu", torch.float32)
        yield
    finally:
        vae.to(dtype=before)
        if plan.offload == "none":
            vae.to(loaded.device)
        else:
            move(loaded.pipe, plan)


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


@contextmanager
def check_between_layers(loaded: Loaded, check: Callable[[], None]) -> Iterator[None]:
    """What `check` raises ends the decoding."""

    def look(_layer: Module, _given: object) -> None:
        check()

    decoder: Module | None = getattr(loaded.pipe, "vae", None)
    layers = list(decoder.modules()) if decoder is not None else []
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
