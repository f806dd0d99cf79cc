"""Do what a plan says to a loaded pipeline. For the worker: this half knows torch and diffusers.

`place` once after loading; `settle` before every run, for pipelines that share their weights take
each other's hooks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch

from pipelines.engine.device import torch_device
from pipelines.models.cards import ModelCard
from pipelines.planning.demand import ClipShape
from pipelines.planning.machine import this_machine
from pipelines.planning.plan import Plan, PlanOptions, plan_for
from settings import Settings

log = logging.getLogger(__name__)

FIRST_BLOCK_THRESHOLD = 0.05
PAB_EVERY = 2
BLOCKS_AT_ONCE = 1
GROUP_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")
DENOISERS = ("transformer", "transformer_2", "unet")


def plan_here(card: ModelCard, settings: Settings, shape: ClipShape | None = None) -> Plan:
    """The plan for this process, where torch has the last word on whether there is a GPU."""
    machine = this_machine(settings)
    if not settings.zero_gpu:
        machine = machine.computing_on(torch_device())
    elif not torch.cuda.is_available():  # without `spaces` in place; nothing to try before a clip
        machine = machine.without_gpu()
    return plan_for(card, machine, PlanOptions.of(settings), shape)


def device_of(plan: Plan) -> torch.device:
    return torch.device(plan.device_name)


def dtype_of(plan: Plan) -> torch.dtype:
    return getattr(torch, plan.dtype_name)


def place(pipe: Any, plan: Plan) -> None:
    """Weights where they are kept, in the form they are kept in."""
    # 1. The weights' form
    for denoiser in _denoisers(pipe):
        if plan.storage == "float8":
            denoiser.enable_layerwise_casting(
                storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype_of(plan)
            )
        elif plan.storage == "int8":
            _to_int8(denoiser)

    # 2. Where they lie
    _put(pipe, plan)

    # 3. What is computed how
    if plan.attention != "native":
        for denoiser in _denoisers(pipe):
            _set_attention(denoiser, plan.attention)
    if plan.compile:
        for denoiser in _denoisers(pipe):
            if getattr(denoiser, "_repeated_blocks", None):
                denoiser.compile_repeated_blocks()


def settle(pipe: Any, plan: Plan) -> None:
    """This pipeline's hooks are the ones on the shared weights. Call it while they are yours."""
    if plan.offload == "model" and not _hooks_are_ours(pipe):
        pipe.enable_model_cpu_offload(device=device_of(plan))
    if plan.step_cache:
        for denoiser in _denoisers(pipe):
            if hasattr(denoiser, "enable_cache"):
                if denoiser.is_cache_enabled:
                    denoiser.disable_cache()
                denoiser.enable_cache(_cache(pipe, plan))


def move(pipe: Any, plan: Plan) -> None:
    """From wherever the weights lie to where this plan wants them; their form stays."""
    unplace(pipe)
    _put(pipe, plan)


def _put(pipe: Any, plan: Plan) -> None:
    if plan.offload == "group":
        _group_offload(pipe, plan)
    elif plan.offload == "model":
        pipe.enable_model_cpu_offload(device=device_of(plan))
    else:
        pipe.to(device_of(plan))


def unplace(pipe: Any) -> None:
    """Every offload hook off and all weights in memory, before they are placed in another way."""
    pipe.remove_all_hooks()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            for module in part.modules():
                registry = getattr(module, "_diffusers_hook", None)
                for name in GROUP_HOOKS:
                    if registry is not None and registry.get_hook(name) is not None:
                        registry.remove_hook(name, recurse=False)
    pipe.to("cpu")


@contextmanager
def moved_to_cpu(
    pipe: Any, device: torch.device, but: tuple[str, ...] = ("vae",)
) -> Iterator[None]:
    """All parts but those wait in memory while the block runs."""
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


def _to_int8(denoiser: Any) -> None:
    torchao = import_module("torchao.quantization")  # only planned where it is installed
    torchao.quantize_(denoiser, torchao.Int8WeightOnlyConfig())


def _group_offload(pipe: Any, plan: Plan) -> None:
    pipe.enable_group_offload(
        onload_device=device_of(plan),
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=BLOCKS_AT_ONCE,
        use_stream=device_of(plan).type == "cuda",
        low_cpu_mem_usage=True,
    )


def _hooks_are_ours(pipe: Any) -> bool:
    hooks = getattr(pipe, "_all_hooks", [])
    return bool(hooks) and all(getattr(h.model, "_hf_hook", None) is h.hook for h in hooks)


def _set_attention(denoiser: Any, name: str) -> None:
    """For this model alone: diffusers also sets it for all others of the process, which is undone
    here. Can go when `set_attention_backend` no longer touches the active backend."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    before, _ = _AttentionBackendRegistry.get_active_backend()
    try:
        denoiser.set_attention_backend(name)
    finally:
        _AttentionBackendRegistry.set_active_backend(before)


def _cache(pipe: Any, plan: Plan) -> Any:
    from diffusers import FirstBlockCacheConfig, PyramidAttentionBroadcastConfig

    if plan.step_cache == "first_block":
        return FirstBlockCacheConfig(threshold=FIRST_BLOCK_THRESHOLD)
    return PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=PAB_EVERY,
        current_timestep_callback=lambda: pipe.current_timestep,
    )
