"""Applies a plan to a loaded pipeline: dtype, device, offload, attention, step cache.

`apply_plan` is called once after loading; `install_hooks` before every run, because pipelines that
share weights remove each other's offload hooks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch

from pipelines.engine.torch_device import torch_device
from pipelines.planning.machine import Machine, this_machine
from pipelines.planning.plan import Plan
from settings import Settings

log = logging.getLogger(__name__)

FIRST_BLOCK_THRESHOLD = 0.05
"""diffusers' default: relative change of the first block below which the others are skipped."""
PAB_EVERY = 2
"""Spatial attention is computed in every second step."""
BLOCKS_AT_ONCE = 1
DENOISERS = ("transformer", "transformer_2", "unet")


def machine_here(settings: Settings) -> Machine:
    """The machine of this process, with the GPU as torch finds it."""
    machine = this_machine(settings)
    if not settings.zero_gpu:
        return machine.with_device(torch_device())
    if not torch.cuda.is_available():  # ZeroGPU without `spaces`: there is no GPU
        return machine.without_gpu()
    return machine


def torch_device_for(plan: Plan) -> torch.device:
    return torch.device(plan.device_name)


def torch_dtype_for(plan: Plan) -> torch.dtype:
    return getattr(torch, plan.dtype_name)


def apply_plan(pipe: Any, plan: Plan) -> None:
    """Converts and places the weights of a newly loaded pipeline."""
    # 1. Storage dtype of the denoiser
    for denoiser in _denoisers(pipe):
        if plan.storage == "float8":
            denoiser.enable_layerwise_casting(
                storage_dtype=torch.float8_e4m3fn, compute_dtype=torch_dtype_for(plan)
            )
        elif plan.storage == "int8":
            _quantize_to_int8(denoiser)

    # 2. Device and offload
    _offload_or_move(pipe, plan)

    # 3. Attention and compiling
    if plan.attention != "native":
        for denoiser in _denoisers(pipe):
            _set_attention(denoiser, plan.attention)
    if plan.compile:
        for denoiser in _denoisers(pipe):
            if getattr(denoiser, "_repeated_blocks", None):
                denoiser.compile_repeated_blocks()


def install_hooks(pipe: Any, plan: Plan) -> None:
    """Installs this pipeline's hooks on the shared weights, with a fresh step cache. Hold
    `busy`."""
    if plan.offload == "model" and not _has_own_hooks(pipe):
        pipe.enable_model_cpu_offload(device=torch_device_for(plan))
    if plan.step_cache:
        for denoiser in _denoisers(pipe):
            if hasattr(denoiser, "enable_cache"):
                if denoiser.is_cache_enabled:  # holds the previous clip's state
                    denoiser.disable_cache()
                denoiser.enable_cache(_step_cache_config(pipe, plan))


def move_weights(pipe: Any, plan: Plan, *others: Any) -> None:
    """Moves the weights as another plan places them. Their storage dtype stays. `others` are the
    other pipelines over the same weights, whose hooks would bring back the earlier plan."""
    for each in (*others, pipe):
        remove_offload(each)
    _offload_or_move(pipe, plan)


def _offload_or_move(pipe: Any, plan: Plan) -> None:
    if plan.offload == "group":
        _group_offload(pipe, plan)
    elif plan.offload == "model":
        pipe.enable_model_cpu_offload(device=torch_device_for(plan))
    else:
        pipe.to(torch_device_for(plan))


def remove_offload(pipe: Any) -> None:
    """Removes every offload hook and moves all weights to main memory.

    `remove_all_hooks` knows accelerate's hooks only; diffusers offers nothing that removes those of
    group offload. Can go when it does; the names are read from diffusers, so a change raises.
    """
    from diffusers.hooks import group_offloading as hooks

    names = (
        hooks._GROUP_OFFLOADING,
        hooks._LAYER_EXECUTION_TRACKER,
        hooks._LAZY_PREFETCH_GROUP_OFFLOADING,
    )
    pipe.remove_all_hooks()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            for module in part.modules():
                registry = getattr(module, "_diffusers_hook", None)
                for name in names:
                    if registry is not None and registry.get_hook(name) is not None:
                        registry.remove_hook(name, recurse=False)
    pipe.to("cpu")


@contextmanager
def moved_to_cpu(
    pipe: Any, device: torch.device, but: tuple[str, ...] = ("vae",)
) -> Iterator[None]:
    """Moves all components but those named in `but` to main memory while the block runs."""
    parts = [
        part
        for name, part in pipe.components.items()
        if isinstance(part, torch.nn.Module) and name not in but
    ]
    try:
        for part in parts:
            part.to("cpu")
        yield
    finally:
        for part in parts:
            part.to(device)


def _denoisers(pipe: Any) -> Iterator[Any]:
    for name in DENOISERS:
        denoiser = getattr(pipe, name, None)
        if isinstance(denoiser, torch.nn.Module):
            yield denoiser


def _quantize_to_int8(denoiser: Any) -> None:
    torchao = import_module("torchao.quantization")  # only planned where it is installed
    torchao.quantize_(denoiser, torchao.Int8WeightOnlyConfig())


def _group_offload(pipe: Any, plan: Plan) -> None:
    pipe.enable_group_offload(
        onload_device=torch_device_for(plan),
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=BLOCKS_AT_ONCE,
        # prefetches the next block while the current one computes
        use_stream=torch_device_for(plan).type == "cuda",
        # pins memory block by block: all pinned weights at once would double the RAM
        low_cpu_mem_usage=True,
    )


def _has_own_hooks(pipe: Any) -> bool:
    # accelerate keeps one hook per module, so another pipeline's replaces this one's
    hooks = getattr(pipe, "_all_hooks", [])
    return bool(hooks) and all(getattr(h.model, "_hf_hook", None) is h.hook for h in hooks)


def _set_attention(denoiser: Any, name: str) -> None:
    """Sets the attention backend of this model alone: diffusers also makes it the default of the
    process, which is undone here. Can go when `set_attention_backend` leaves the default alone
    (diffusers 0.42 does not)."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    before, _ = _AttentionBackendRegistry.get_active_backend()
    try:
        denoiser.set_attention_backend(name)
    finally:
        _AttentionBackendRegistry.set_active_backend(before)


def _step_cache_config(pipe: Any, plan: Plan) -> Any:
    from diffusers import FirstBlockCacheConfig, PyramidAttentionBroadcastConfig

    if plan.step_cache == "first_block":
        return FirstBlockCacheConfig(threshold=FIRST_BLOCK_THRESHOLD)
    return PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=PAB_EVERY,
        current_timestep_callback=lambda: pipe.current_timestep,
    )
