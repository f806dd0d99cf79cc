"""Chooses device, precision, offload and tiles for a card on a machine.

A pure function of card, machine and options; `pipelines/engine/placement.py` applies the plan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.models.cards import ModelCard
from pipelines.planning.demand import ClipShape, Demand, memory_demand
from pipelines.planning.machine import Machine
from pipelines.planning.sizes import Sizes, model_sizes
from pipelines.planning.traits import StepCache, Traits, family_traits
from pipelines.request import Adjustment
from settings import Settings

Profile = Literal["fast", "balanced", "small"]
Offload = Literal["none", "model", "group"]
Storage = Literal["float8", "int8"]
Attention = Literal["native", "xformers", "flash", "sage"]

GPU_OVERHEAD_GB = 0.8
"""What CUDA and its libraries allocate before anything is loaded."""
CPU_OVERHEAD_GB = 0.7
"""Python with torch, diffusers and transformers."""
USABLE = 0.96
"""Share of the memory that a plan may fill; the rest is for fragmentation and other processes."""
GROUP_SHARE = 0.12
"""Share of a model that is on the GPU at once with group offload and prefetching."""

TILES = (0, 2, 4)
"""Tiles along each side that are tried, 0 for the whole frame."""

ATTENTION_PACKAGES: dict[str, str] = {
    "xformers": "xformers",
    "flash": "flash-attn",
    "sage": "sageattention",
}


@dataclass(frozen=True)
class PlanOptions:
    """The operator's settings for every plan; `auto` leaves the choice to the profile."""

    profile: Profile = "balanced"
    dtype: str = "auto"
    offload: Literal["auto", "none", "model", "group"] = "auto"
    attention: Literal["auto", "native", "xformers", "flash", "sage"] = "auto"
    step_cache: Literal["auto", "off", "on"] = "auto"
    compile: Literal["auto", "off", "on"] = "auto"

    @classmethod
    def of(cls, settings: Settings) -> PlanOptions:
        # ZeroGPU packs the weights once, before launch, and runs each clip in a fresh process, to
        # which neither offload nor compiled code would carry over
        zero_gpu = settings.zero_gpu
        return cls(
            profile=settings.profile,
            dtype=settings.torch_dtype,
            offload="none" if zero_gpu else settings.offload,
            attention=settings.attention_backend,
            step_cache=settings.step_cache,
            compile="off" if zero_gpu else settings.compile,
        )


@dataclass(frozen=True)
class Plan:
    """How a model runs on a machine. `fits` is False where even this needs too much memory."""

    device_name: Literal["cuda", "cpu"]
    dtype_name: str
    offload: Offload = "none"
    storage: Storage | None = None
    """Storage dtype of the denoiser's weights, where it is not `dtype_name`."""
    tiles: int = 0
    """Tiles along each side, decoded one after the other; 0: the whole frame at once."""
    attention: Attention = "native"
    step_cache: StepCache | None = None
    compile: bool = False
    gpu_size: Literal["large", "xlarge"] | None = None
    """The size to request on ZeroGPU."""
    vram_gb: float = 0.0
    ram_gb: float = 0.0
    fits: bool = True
    is_guess: bool = False
    notes: tuple[str, ...] = ()
    """Settings that cannot be honoured here, as sentences."""
    reduced_from: str | None = None
    """The precision that there is not enough memory for; None where it is not reduced."""

    @property
    def precision(self) -> str:
        """How the denoiser's weights are stored, which can only be changed by loading them."""
        return self.storage or self.dtype_name

    @property
    def memory_gb(self) -> float:
        """GiB on the device it runs on."""
        return self.vram_gb if self.device_name == "cuda" else self.ram_gb

    def sentence(self) -> str:
        """The plan as a sentence for people."""
        kept = {
            "none": "",
            "model": "parts moved to the GPU one at a time",
            "group": "blocks moved to the GPU as they are needed",
        }[self.offload]
        storage = {None: "", "float8": "weights kept in float8", "int8": "weights kept in int8"}
        cache = {None: "", "first_block": "FirstBlockCache", "pab": "PAB"}[self.step_cache]
        words = [
            "GPU" if self.device_name == "cuda" else "CPU",
            self.dtype_name,
            kept,
            storage[self.storage],
            f"frames decoded in {self.tiles}x{self.tiles} tiles" if self.tiles else "",
            "" if self.attention == "native" else f"{self.attention} attention",
            f"steps skipped with {cache}" if cache else "",
            "compiled" if self.compile else "",
            f"about {gigabytes(self.memory_gb)} of memory",
        ]
        return ", ".join(word for word in words if word) + "."

    def as_dict(self) -> dict[str, Any]:
        return {
            "device": self.device_name,
            "dtype": self.dtype_name,
            "offload": self.offload,
            "storage": self.storage,
            "tiles": self.tiles,
            "attention": self.attention,
            "step_cache": self.step_cache,
            "compile": self.compile,
            "gpu_size": self.gpu_size,
            "vram_gb": round(self.vram_gb, 1),
            "ram_gb": round(self.ram_gb, 1),
            "is_guess": self.is_guess,
            "sentence": self.sentence(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _MemoryLayout:
    offload: Offload
    storage: Storage | None
    tiles: int


def plan_for(
    card: ModelCard,
    machine: Machine,
    options: PlanOptions = PlanOptions(),
    shape: ClipShape | None = None,
) -> Plan:
    """The first layout that fits, from fast to small; else the last, with `fits` False.

    On ZeroGPU all layouts are tried on the smaller GPU first: the larger costs twice the quota.
    """
    if machine.xlarge_vram_gb is not None:
        large = replace(machine, xlarge_vram_gb=None)
        plan = replace(plan_for(card, large, options, shape), gpu_size="large")
        if plan.fits:
            return plan
        xlarge = replace(large, vram_gb=machine.xlarge_vram_gb)
        return replace(plan_for(card, xlarge, options, shape), gpu_size="xlarge")
    shape = shape or ClipShape.default(card)
    dtypes = [_dtype(card, machine, options)]
    if dtypes == ["float32"] and (card.dtype or options.dtype) == "auto":
        dtypes.append("bfloat16")  # slower on such a CPU, and half as large
    plans = [_plan(card, machine, options, shape, dtype) for dtype in dtypes]
    plan = next((plan for plan in plans if plan.fits), plans[-1])
    # the profile `small` reduces it in any case, which is the operator's choice
    if options.profile == "small" or plan.precision == dtypes[0]:
        return plan
    return replace(plan, reduced_from=dtypes[0])


def _plan(
    card: ModelCard, machine: Machine, options: PlanOptions, shape: ClipShape, dtype: str
) -> Plan:
    sizes, traits = model_sizes(card), family_traits(card.family)
    demand = memory_demand(card, sizes, shape, dtype)
    notes: list[str] = []
    extras = {
        "attention": _attention(traits, machine, options, notes),
        "step_cache": _step_cache(traits, options, notes),
        "compile": _compile(traits, machine, options, notes),
    }
    if options.offload not in ("auto", "none") and not machine.has_gpu:
        notes.append("Offload is for GPUs, and there is none here.")

    plan: Plan | None = None
    layouts = _gpu_layouts(options) if machine.has_gpu else _cpu_layouts(machine, options)
    for layout in layouts:
        vram_gb, ram_gb = _memory(card, sizes, demand, layout, machine)
        plan = Plan(
            device_name="cuda" if machine.has_gpu else "cpu",
            dtype_name=dtype,
            offload=layout.offload,
            storage=layout.storage,
            tiles=layout.tiles,
            vram_gb=vram_gb,
            ram_gb=ram_gb,
            fits=_fits_machine(vram_gb, ram_gb, machine),
            is_guess=sizes.is_guess,
            notes=tuple(notes),
            **extras,
        )
        if plan.fits:
            return plan
    if plan is None:
        raise ValueError("a plan without layouts")
    return plan


def _fits_machine(vram_gb: float, ram_gb: float, machine: Machine) -> bool:
    return (machine.vram_gb is None or vram_gb <= machine.vram_gb * USABLE) and (
        ram_gb <= machine.ram_gb * USABLE
    )


def _gpu_layouts(options: PlanOptions) -> list[_MemoryLayout]:
    """From fast to small. float8 changes the picture, so only the profile `small` has it first."""
    found: list[_MemoryLayout] = []
    if options.profile == "small":
        found += [_MemoryLayout("group", "float8", 4), _MemoryLayout("model", "float8", 4)]
    found += [_MemoryLayout("none", None, tiles) for tiles in TILES]
    found += [_MemoryLayout("model", None, tiles) for tiles in TILES]
    found += [_MemoryLayout("group", None, tiles) for tiles in TILES[1:]]
    found += [_MemoryLayout("model", "float8", 4), _MemoryLayout("group", "float8", 4)]
    return [x for x in found if options.offload in ("auto", x.offload)]


def _cpu_layouts(machine: Machine, options: PlanOptions) -> list[_MemoryLayout]:
    smallest = _MemoryLayout("none", "int8" if "torchao" in machine.packages else "float8", 4)
    if options.profile == "small":
        return [smallest]
    return [_MemoryLayout("none", None, tiles) for tiles in TILES] + [smallest]


def _memory(
    card: ModelCard, sizes: Sizes, demand: Demand, layout: _MemoryLayout, machine: Machine
) -> tuple[float, float]:
    """Peak GiB as (on the GPU, in main memory).

    Without offload everything is on the GPU at once; with it only the phase that is running."""
    d = demand
    share = 0.5 if layout.storage else 1.0  # float8 and int8 are half of a 16-bit dtype
    decoding = d.decoded(layout.tiles)
    spared = d.denoisers * (1 - share)
    work = max(d.sampling, decoding)
    if not machine.has_gpu:
        running = d.weights - spared + work
        # loading holds the full weights before they are quantised
        ram_gb = CPU_OVERHEAD_GB + max(d.weights, running)
        return 0.0, max(ram_gb, card.needs.ram_gb)

    match layout.offload:
        case "none":
            # components pass through main memory one after the other on their way to the GPU
            vram_gb, ram_gb = d.weights - spared + work, 0.3 * d.weights
            if sizes.is_guess and not layout.storage:
                vram_gb = max(vram_gb, card.needs.vram_gb or 0.0)
        case "model":
            phases = (d.encoders, d.largest_denoiser * share + d.sampling, d.decoders + decoding)
            vram_gb, ram_gb = max(phases), d.weights
        case "group":
            phases = (
                d.encoders * GROUP_SHARE,
                d.largest_denoiser * share * GROUP_SHARE + d.sampling,
                d.decoders + decoding,
            )
            vram_gb, ram_gb = max(phases), d.weights
    return GPU_OVERHEAD_GB + vram_gb, CPU_OVERHEAD_GB + ram_gb


def _dtype(card: ModelCard, machine: Machine, options: PlanOptions) -> str:
    """The card's dtype, else the operator's, else the one that is fast on the device."""
    chosen = card.dtype or options.dtype
    if chosen == "auto":
        is_fast = machine.has_gpu or machine.has_fast_bfloat16
        chosen = "bfloat16" if is_fast else "float32"
    return chosen


def _attention(
    traits: Traits, machine: Machine, options: PlanOptions, notes: list[str]
) -> Attention:
    """SDPA, unless another is set, is installed, and accepts the family's attention masks."""
    backend = options.attention
    if backend == "auto":
        is_fast = options.profile == "fast" and machine.has_gpu
        flash = ATTENTION_PACKAGES["flash"] in machine.packages and "flash" in traits.attention
        return "flash" if is_fast and flash else "native"
    if backend == "native":
        return "native"
    if not machine.has_gpu:
        notes.append(f"{backend} attention is for GPUs, and there is none here.")
    elif ATTENTION_PACKAGES[backend] not in machine.packages:
        notes.append(f"{backend} attention needs the package {ATTENTION_PACKAGES[backend]}.")
    elif backend not in traits.attention:
        notes.append(f"{backend} attention does not work with this family of models.")
    else:
        return backend
    return "native"


def _step_cache(traits: Traits, options: PlanOptions, notes: list[str]) -> StepCache | None:
    """A cache that skips blocks whose output hardly changes between steps. It changes the picture a
    little, so only the profile `fast` and the setting choose it."""
    if options.step_cache == "off" or (options.step_cache == "auto" and options.profile != "fast"):
        return None
    if traits.step_cache is None and options.step_cache == "on":
        notes.append("There is no step cache that works with this family of models.")
    return traits.step_cache


def _compile(traits: Traits, machine: Machine, options: PlanOptions, notes: list[str]) -> bool:
    if options.compile == "on" and not traits.compiles:
        notes.append("This family of models cannot be compiled block by block.")
    if options.compile == "auto":
        return options.profile == "fast" and machine.has_gpu and traits.compiles
    return options.compile == "on" and traits.compiles


def precision_adjustment(plan: Plan, name: str) -> Adjustment | None:
    """What a clip of the model called `name` reports where its precision is reduced."""
    if plan.reduced_from is None:
        return None
    return Adjustment(
        field="precision",
        asked=plan.reduced_from,
        used=plan.precision,
        sentence=f"Not enough memory for this clip with {name} in {plan.reduced_from}; its weights "
        f"were stored in {plan.precision}, which changes the frames a little. A smaller or shorter "
        "clip may need less.",
    )


def gigabytes(gb: float) -> str:
    return f"{gb:.1f} GB" if gb < 10 else f"{gb:.0f} GB"
