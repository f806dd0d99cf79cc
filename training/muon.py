"""Muon (K. Jordan, 2024): momentum with orthogonalised matrices, and AdamW for other parameters.

Updates are scaled as in Moonlight (arXiv:2502.16982), so that both use the same learning rate.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration."""


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Returns [m, n] with the same singular vectors and singular values near 1."""
    a, b, c = NEWTON_SCHULZ
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for matrices and convolution kernels (as [out, rest]); AdamW for vectors and for
    parameters whose name contains one of `adamw_names`."""

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        lr: float,
        adamw_names: tuple[str, ...] = (),
        weight_decay: float = 0.01,
    ) -> None:
        matrices, others = [], []
        for name, parameter in named:
            wide = parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) > 1
            kind = matrices if wide and not any(part in name for part in adamw_names) else others
            kind.append(parameter)
        groups = [{"params": matrices, "muon": True}, {"params": others, "muon": False}]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                p.mul_(1 - group["lr"] * group["weight_decay"])
                if group["muon"]:
                    if not state:
                        state["momentum"] = torch.zeros_like(p)
                    m = state["momentum"].lerp_(p.grad, 0.05)
                    update = orthogonalise(p.grad.lerp(m, 0.95).reshape(p.shape[0], -1))
                    change = -group["lr"] * 0.2 * max(update.shape) ** 0.5
                    p.add_(update.reshape(p.shape), alpha=change)
                else:
                    if not state:
                        state["t"] = 0
                        state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
                    state["t"] += 1
                    state["m"].lerp_(p.grad, 0.1)
                    state["v"].lerp_(p.grad.square(), 0.01)
                    m = state["m"] / (1 - 0.9 ** state["t"])
                    v = state["v"] / (1 - 0.99 ** state["t"])
                    p.addcdiv_(m, v.sqrt() + 1e-8, value=-group["lr"])
