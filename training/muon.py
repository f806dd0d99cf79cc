"""Muon (K. Jordan, 2024): momentum with orthogonalised matrices, and AdamW for other parameters.

Updates are scaled as in Moonlight (arXiv:2502.16982), so that both use the same learning rate.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration."""


BLOCK_ROWS = 192
"""Wider matrices are orthogonalised in blocks of rows: the cost grows with the square of the rows,
and an upsampler's kernels are eight sub-pixel convolutions side by side anyway."""
GRAM_ASPECT = 4
"""From this ratio of the sides on, iterating on the small Gram matrix is cheaper."""


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Returns [m, n] with the same singular vectors and singular values near 1, block by block."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    rows, columns = x.shape
    parts = x.chunk(-(-rows // BLOCK_ROWS)) if columns > 2 * rows else (x,)
    made = torch.cat([_orthogonalise_block(part, steps) for part in parts])
    return (made.T if matrix.shape[0] > matrix.shape[1] else made).to(matrix.dtype)


def _orthogonalise_block(matrix: Tensor, steps: int) -> Tensor:
    """Newton-Schulz iteration on [m, n], m <= n."""
    a, b, c = NEWTON_SCHULZ
    m, n = matrix.shape
    if n < GRAM_ASPECT * m:
        x = matrix.bfloat16()
        x = x / (x.norm() + 1e-7)
        for _ in range(steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x
    # The same polynomials, multiplied up on [m, m]: n enters two products instead of 2 * steps.
    # In float32, because squaring the singular values squares the rounding error, too.
    x = matrix.float()
    x = x / (x.norm() + 1e-7)
    gram, product = x @ x.T, torch.eye(m, device=x.device)
    for _ in range(steps):
        polynomial = b * gram + c * gram @ gram
        polynomial.diagonal().add_(a)
        product = polynomial @ product
        gram = polynomial @ gram @ polynomial
    return product.bfloat16() @ x.bfloat16()


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
