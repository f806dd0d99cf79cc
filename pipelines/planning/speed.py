"""Guesses how long a clip takes before any was made here, by counting operations.

Measured speeds replace the guess from the first clip on (`jobs/estimate.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.models.cards import ModelCard
from pipelines.planning.demand import ClipShape, count_tokens
from pipelines.planning.machine import Machine
from pipelines.planning.sizes import Sizes
from pipelines.planning.traits import family_traits

PROMPT_TOKENS = 256
"""Tokens of a prompt after padding."""
BLOCKS = 30
CORE_OPERATIONS = 4.0e10
"""Floating-point operations per second and core, measured in these models."""
CORE_OPERATIONS_BFLOAT16 = 1.0e11
UNET_SHARE = 0.12
"""A UNet's share: of SD 1.5's 860 million parameters the 4096 positions of a picture make 0.8e12
operations, and not 7e12."""
UNET_HIDDEN, UNET_BLOCKS = 320, 5
GPUS: tuple[tuple[str, float], ...] = (
    ("B200", 6e14),
    ("H200", 4e14),
    ("H100", 4e14),
    ("ZeroGPU", 1.2e14),
    ("A100", 1.6e14),
    ("L40", 1.2e14),
    ("5090", 1.5e14),
    ("4090", 1.2e14),
    ("3090", 5e13),
    ("A10", 5e13),
    ("L4", 4e13),
    ("T4", 2e13),
)
"""Operations per second by a part of the GPU's name: about half of its maker's bfloat16 figure.
The first match counts, so longer names come before their prefixes."""
ANY_GPU = 4e13
DECODE_OPERATIONS = 4.0e5
"""Operations per decoded pixel of a small decoder; large ones take ten times that."""


@dataclass(frozen=True)
class SpeedGuess:
    """Seconds: `begin` before the first step, `step` for each, `end` for decoding and encoding."""

    begin: float
    step: float
    end: float

    def total(self, steps: int) -> float:
        return self.begin + self.step * steps + self.end


def guess_speed(card: ModelCard, sizes: Sizes, shape: ClipShape, machine: Machine) -> SpeedGuess:
    speed = _speed(machine)
    passes = 2 if shape.is_guided else 1  # classifier-free guidance
    per_pass = _operations(card, sizes, shape)
    # a clip in windows takes its steps for each of them
    window = family_traits(card.family).window_frames
    rounds = max(1.0, shape.num_frames / window) if window else 1.0
    prompt = 2 * sum(sizes.encoders.values()) * PROMPT_TOKENS * passes
    width = family_traits(card.family).decoded / 100
    decoding = DECODE_OPERATIONS * width * shape.pixels * (1 if sizes.total < 1e8 else 10)
    return SpeedGuess(
        begin=0.2 + prompt / speed,
        step=0.02 + rounds * passes * per_pass / speed,
        end=0.3 + decoding / speed + shape.pixels / 3e7,
    )


def _operations(card: ModelCard, sizes: Sizes, shape: ClipShape) -> float:
    """Operations of one pass through the denoiser: every parameter for every token, and attention,
    which grows with the square of the tokens."""
    tokens = count_tokens(card, shape)
    if family_traits(card.family).is_unet:
        # attention stays within a frame, so it grows with the square of a frame's tokens
        within = tokens / max(shape.num_frames, 1)
        attention = 4 * UNET_BLOCKS * tokens * within * UNET_HIDDEN
        return UNET_SHARE * 2 * sizes.denoiser * tokens + attention
    return 2 * sizes.denoiser * tokens + 4 * BLOCKS * tokens**2 * sizes.hidden


def _speed(machine: Machine) -> float:
    if machine.has_gpu:
        name = machine.gpu_name or ""
        return next((speed for part, speed in GPUS if part in name), ANY_GPU)
    per_core = CORE_OPERATIONS_BFLOAT16 if machine.has_fast_bfloat16 else CORE_OPERATIONS
    return per_core * max(1, machine.cpu_count)
