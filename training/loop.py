"""What every training shares: training time, averaged weights, checkpoints, the log."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

RUNS = Path(__file__).parent / "runs"


class Ema:
    """An exponential moving average of the weights, with a lower decay at first, so that it is
    useful early."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.values = {k: v.detach().clone().float() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for k, v in module.state_dict().items():
            self.values[k].lerp_(v.float(), 1 - decay)


class Clock:
    """Training time in seconds, summed over restarts. The learning rate depends on it alone.

    by_steps: each tick counts as one second, so that a busy machine trains the same weights as an
    idle one.
    """

    def __init__(
        self, budget_s: float, warmup_s: float = 60, cooldown: float = 0.35, by_steps: bool = False
    ) -> None:
        self.by_steps = by_steps
        self.budget_s, self.warmup_s, self.cooldown = budget_s, warmup_s, cooldown
        self.spent_s = 0.0
        self._mark = time.monotonic()

    def tick(self) -> None:
        now = time.monotonic()
        # 60 s at most: a laptop that slept did not train
        self.spent_s += 1 if self.by_steps else min(now - self._mark, 60)
        self._mark = now

    @property
    def is_over(self) -> bool:
        return self.spent_s >= self.budget_s

    @property
    def progress(self) -> float:
        return min(self.spent_s / self.budget_s, 1)

    @property
    def lr_factor(self) -> float:
        """Warm-up, constant, then linear decay to 2 %."""
        warmup = min(1.0, 0.05 + self.spent_s / self.warmup_s)
        remaining = 1 - self.progress
        return warmup * max(0.02, min(1.0, remaining / self.cooldown))


@dataclass
class TrainingState:
    """What a stopped training resumes from. Keys stay as they are in existing checkpoints."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    ema: Ema
    clock: Clock
    step: int = 0

    def load(self, state: dict[str, Any], with_optimiser: bool = True) -> None:
        self.model.load_state_dict(state["model"])
        if with_optimiser:
            self.optimiser.load_state_dict(state["optimiser"])
        self.ema.values, self.ema.steps = state["ema"], state["ema_steps"]
        self.clock.spent_s, self.step = state["spent_s"], state["step"]

    def save(self, path: Path, **more: Any) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.ema.values,
            "ema_steps": self.ema.steps,
            "spent_s": self.clock.spent_s,
            "step": self.step,
        }
        save_checkpoint(path, state | more)


class AverageLoss:
    """An exponential moving average for the log."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.value: float | None = None

    def update(self, loss: float, step: int) -> float:
        """Returns the new average. Raises RuntimeError if the loss is not finite."""
        if not math.isfinite(loss):
            raise RuntimeError(f"the loss is {loss} at step {step}")
        before = loss if self.value is None else self.value
        self.value = self.decay * before + (1 - self.decay) * loss
        return self.value


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Atomic: a run that is killed while it writes keeps its last checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def log_metrics(run: Path, **values: Any) -> None:
    """Appends a line of JSON to the run's log.jsonl and prints it."""
    run.mkdir(parents=True, exist_ok=True)
    line = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
    print(json.dumps(line), flush=True)
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


class Every:
    """True once per `seconds`, for checkpoints and sample sheets."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def __call__(self) -> bool:
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True


def psnr(a: torch.Tensor, b: torch.Tensor, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(
        10 * torch.log10(peak**2 / (a.float() - b.float()).square().mean().clamp_min(1e-10))
    )
