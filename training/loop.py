"""What every training shares: a clock that survives being stopped, an average of weights, a log.

Knows no model and no data.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

RUNS = Path(__file__).parent / "runs"


class Ema:
    """A slow copy of the weights; young at first, so that it is useful early."""

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
    """Training time in seconds, over all runs; the learning rate is a function of it alone.

    by_steps: a second is a step, so that a run on a machine that is busy with other work learns
    the same as one on an idle machine.
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
        self.spent_s += 1 if self.by_steps else min(now - self._mark, 60)
        self._mark = now

    @property
    def over(self) -> bool:
        return self.spent_s >= self.budget_s

    @property
    def done(self) -> float:
        return min(self.spent_s / self.budget_s, 1)

    @property
    def factor(self) -> float:
        """Warm-up, a plateau, then a line down to 2 %."""
        up = min(1.0, 0.05 + self.spent_s / self.warmup_s)
        left = 1 - self.done
        return up * max(0.02, min(1.0, left / self.cooldown))


def save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def log(run: Path, **values: Any) -> None:
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
    return float(
        10 * torch.log10(peak**2 / (a.float() - b.float()).square().mean().clamp_min(1e-10))
    )
