"""The plan for a card on a machine: where it runs, how its weights are kept, what is tried.

Pure and light: no torch, and the machine is data. `apply` does what the plan says, in the worker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.models.cards import ModelCard
from pipelines.planning.demand import ClipShape, Demand, demand_of
from pipelines.planning.machine import Machine
from pipelines.planning.sizes import Sizes, sizes_of
from pipelines.planning.traits import StepCache, Traits, traits_of
from settings import Settings

Profile = Literal["fast", "balanced", "small"]
Offload = Literal["none", "model", "group"]
Storage = Literal["float8", "int8"]
Attention = Literal["native", "xformers", "flash", "sage"]

GPU_OVERHEAD_GB = 0.8
"""What CUDA and its libraries take before anything is loaded."""
CPU_OVERHEAD_GB = 0.7
"""Python with torch, diffusers and transformers."""
USABLE = 0.96
"""Of the memory there is: the rest goes to fragments, and to others."""
GROUP = 0.12
"""The share of a model that lies on the GPU at once with group offload and prefetching."""

TILES = (0, 2, 4)

PACKAGE_OF: dict[str, str] = {
    "xformers": "xformers",
    "flash": "flash-attn",
    "sage": "sageattention",
}


@dataclass(frozen=True)
class PlanOptions:
    """What the operator wants of every plan; `auto` leaves it to the profile."""

    profile: Profile = "balanced"
    dtype: str = "auto"
    offload: Literal["auto", "none", "model", "group"] = "auto"
    attention: Literal["auto", "native", "xformers", "flash", "sage"] = "auto"
    step_cache: Literal["auto", "off", "on"] = "auto"
    compile: Literal["auto", "off", "on"] = "auto"

    @classmethod
    def of(cls, settings: Settings) -> PlanOptions:
        lent = settings.zero_gpu  # there weights are packed once, and each clip has a fresh process
        return cls(
            profile=settings.profile,
            dtype=settings.torch_dtype,
            offload="none" if lent else settings.offload,
            attention=settings.attention_backend,
            step_cache=settings.step_cache,
            compile="off" if lent else settings.compile,
        )


@dataclass(frozen=True)
class Plan:
    """How a model is run here. `fits` is False where even this is more than the machine has."""

    device_name: Literal["cuda", "cpu"]
    dtype_name: str
    offload: Offload = "none"
    storage: Storage | None = None
    """How the weights of the denoiser are kept between steps, where not in `dtype`."""
    tiles: int = 0
    """So many along each side are decoded one after the other; 0: the whole frame at once."""
    attention: Attention = "native"
    step_cache: StepCache | None = None
    compile: bool = False
    gpu_size: Literal["large", "xlarge"] | None = None
    """The GPU that is asked for on ZeroGPU."""
    vram_gb: float = 0.0
    ram_gb: float = 0.0
    fits: bool = True
    is_guess: bool = False
    notes: tuple[str, ...] = ()
    """What was wished for and could not be had, as sentences."""

    @property
    def memory_gb(self) -> float:
        """Where it runs."""
        return self.vram_gb if self.device_name == "cuda" else self.ram_gb

    def sentence(self) -> str:
        """The plan in words, for people."""
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
class _Layout:
    offload: Offload
    storage: Storage | None
    tiles: int


def plan_for(
    card: ModelCard,
    machine: Machine,
    wishes: PlanOptions = PlanOptions(),
    shape: ClipShape | None = None,
) -> Plan:
    """The first layout that fits, from the most comfortable to the thriftiest; else the last.
    On ZeroGPU every layout is tried on the smaller GPU first: the larger one takes twice the quota.
    """
    if machine.xlarge_vram_gb is not None:
        large = replace(machine, xlarge_vram_gb=None)
        plan = replace(plan_for(card, large, wishes, shape), gpu_size="large")
        if plan.fits:
            return plan
        xlarge = replace(large, vram_gb=machine.xlarge_vram_gb)
        return replace(plan_for(card, xlarge, wishes, shape), gpu_size="xlarge")
    shape = shape or ClipShape.default(card)
    dtypes = [_dtype(card, machine, wishes)]
    if dtypes == ["float32"] and (card.dtype or wishes.dtype) == "auto":
        dtypes.append("bfloat16")  # slower on such a CPU, and half as large
    plans = [_plan(card, machine, wishes, shape, dtype) for dtype in dtypes]
    return next((plan for plan in plans if plan.fits), plans[-1])


def _plan(
    card: ModelCard, machine: Machine, wishes: PlanOptions, shape: ClipShape, dtype: str
) -> Plan:
    sizes, traits = sizes_of(card), traits_of(card.family)
    demand = demand_of(card, sizes, shape, dtype)
    notes: list[str] = []
    extras = {
        "attention": _attention(traits, machine, wishes, notes),
        "step_cache": _step_cache(traits, wishes, notes),
        "compile": _compile(traits, machine, wishes, notes),
    }
    if wishes.offload not in ("auto", "none") and not machine.has_gpu:
        notes.append("Offload is for GPUs, and there is none here.")

    plan: Plan | None = None
    layouts = _gpu_layouts(wishes) if machine.has_gpu else _cpu_layouts(machine, wishes)
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
            fits=_fits(vram_gb, ram_gb, machine),
            is_guess=sizes.is_guess,
            notes=tuple(notes),
            **extras,
        )
        if plan.fits:
            return plan
    if plan is None:
        raise ValueError("a plan without layouts")
    return plan


def _fits(vram_gb: float, ram_gb: float, machine: Machine) -> bool:
    return (machine.vram_gb is None or vram_gb <= machine.vram_gb * USABLE) and (
        ram_gb <= machine.ram_gb * USABLE
    )


def _gpu_layouts(wishes: PlanOptions) -> list[_Layout]:
    """float8 changes the picture a little, so where it is not wished for it comes last."""
    found: list[_Layout] = []
    if wishes.profile == "small":
        found += [_Layout("group", "float8", 4), _Layout("model", "float8", 4)]
    found += [_Layout("none", None, tiles) for tiles in TILES]
    found += [_Layout("model", None, tiles) for tiles in TILES]
    found += [_Layout("group", None, tiles) for tiles in TILES[1:]]
    found += [_Layout("model", "float8", 4), _Layout("group", "float8", 4)]
    return [x for x in found if wishes.offload in ("auto", x.offload)]


def _cpu_layouts(machine: Machine, wishes: PlanOptions) -> list[_Layout]:
    thrifty = _Layout("none", "int8" if "torchao" in machine.packages else "float8", 4)
    if wishes.profile == "small":
        return [thrifty]
    return [_Layout("none", None, tiles) for tiles in TILES] + [thrifty]


def _memory(
    card: ModelCard, sizes: Sizes, demand: Demand, layout: _Layout, machine: Machine
) -> tuple[float, float]:
    """(on the GPU, in memory), at the moment when it is most."""
    d = demand
    share = 0.5 if layout.storage else 1.0
    decoding = d.decoded(layout.tiles)
    spared = d.denoisers * (1 - share)
    work = max(d.sampling, decoding)
    if not machine.has_gpu:
        running = d.weights - spared + work
        ram_gb = CPU_OVERHEAD_GB + max(d.weights, running)
        return 0.0, max(ram_gb, card.needs.ram_gb)

    match layout.offload:
        case "none":
            vram_gb, ram_gb = d.weights - spared + work, 0.3 * d.weights
            if sizes.is_guess and not layout.storage:
                vram_gb = max(vram_gb, card.needs.vram_gb or 0.0)
        case "model":
            phases = (d.encoders, d.largest_denoiser * share + d.sampling, d.decoders + decoding)
            vram_gb, ram_gb = max(phases), d.weights
        case "group":
            phases = (
                d.encoders * GROUP,
                d.largest_denoiser * share * GROUP + d.sampling,
                d.decoders + decoding,
            )
            vram_gb, ram_gb = max(phases), d.weights
    return GPU_OVERHEAD_GB + vram_gb, CPU_OVERHEAD_GB + ram_gb


def _dtype(card: ModelCard, machine: Machine, wishes: PlanOptions) -> str:
    """The card's first (it insists), then the operator's, then what the device likes."""
    chosen = card.dtype or wishes.dtype
    if chosen == "auto":
        quick = machine.has_gpu or machine.cpu_multiplies_bfloat16
        chosen = "bfloat16" if quick else "float32"
    return chosen


def _attention(
    traits: Traits, machine: Machine, wishes: PlanOptions, notes: list[str]
) -> Attention:
    """SDPA, unless another is wished for, is there, and takes the family's masks."""
    wanted = wishes.attention
    if wanted == "auto":
        is_fast = wishes.profile == "fast" and machine.has_gpu
        flash = PACKAGE_OF["flash"] in machine.packages and "flash" in traits.attention
        return "flash" if is_fast and flash else "native"
    if wanted == "native":
        return "native"
    if not machine.has_gpu:
        notes.append(f"{wanted} attention is for GPUs, and there is none here.")
    elif PACKAGE_OF[wanted] not in machine.packages:
        notes.append(f"{wanted} attention needs the package {PACKAGE_OF[wanted]}.")
    elif wanted not in traits.attention:
        notes.append(f"{wanted} attention does not work with this family of models.")
    else:
        return wanted
    return "native"


def _step_cache(traits: Traits, wishes: PlanOptions, notes: list[str]) -> StepCache | None:
    """Skips what hardly changes between steps, and changes the picture a little."""
    if wishes.step_cache == "off" or (wishes.step_cache == "auto" and wishes.profile != "fast"):
        return None
    if traits.step_cache is None and wishes.step_cache == "on":
        notes.append("There is no step cache that works with this family of models.")
    return traits.step_cache


def _compile(traits: Traits, machine: Machine, wishes: PlanOptions, notes: list[str]) -> bool:
    if wishes.compile == "on" and not traits.compiles:
        notes.append("This family of models cannot be compiled block by block.")
    if wishes.compile == "auto":
        return wishes.profile == "fast" and machine.has_gpu and traits.compiles
    return wishes.compile == "on" and traits.compiles


def gigabytes(gb: float) -> str:
    return f"{gb:.1f} GB" if gb < 10 else f"{gb:.0f} GB"
