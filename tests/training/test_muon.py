"""The optimiser: orthogonal steps for matrices, AdamW's for the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from training.muon import BLOCK_ROWS, Muon, orthogonalise


@pytest.mark.parametrize("shape", [(32, 32), (16, 40), (16, 64), (64, 16), (3, 200), (2, 2)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    found = torch.linalg.svdvals(orthogonalise(torch.randn(shape) * 7))
    assert found.min() > 0.5 and found.max() < 1.3


def test_the_direction_stays_when_the_matrix_is_orthogonal_already() -> None:
    turned, _ = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(0)))
    made = orthogonalise(turned * 0.01)
    assert torch.cosine_similarity(made.flatten(), turned.flatten(), dim=0) > 0.99


@pytest.mark.parametrize("shape", [(4, 6), (4, 60), (400, 1000)])
def test_nothing_comes_of_nothing(shape: tuple[int, int]) -> None:
    assert not orthogonalise(torch.zeros(shape)).any()


@pytest.mark.parametrize("shape", [(12, 30), (12, 200), (200, 12)])
def test_the_iteration_goes_to_the_polar_factor(shape: tuple[int, int]) -> None:
    """Up to the singular values, which only come near one."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    made = u.T @ orthogonalise(matrix) @ v.T
    assert (made - torch.diag(made.diag())).abs().max() < 0.08
    assert made.diag().min() > 0.5


def test_a_matrix_of_many_rows_is_orthogonalised_in_blocks() -> None:
    matrix = torch.randn(BLOCK_ROWS * 2, 1000, generator=torch.Generator().manual_seed(0))
    made = orthogonalise(matrix)
    for rows in (slice(BLOCK_ROWS), slice(BLOCK_ROWS, None)):
        torch.testing.assert_close(made[rows], orthogonalise(matrix[rows]))
        values = torch.linalg.svdvals(made[rows])
        assert values.min() > 0.5 and values.max() < 1.3


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, 3)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)
        self.embed = nn.Embedding(5, 8)


def test_matrices_go_to_muon_and_the_rest_to_adamw() -> None:
    net = Net()
    optimiser = Muon(net.named_parameters(), 1e-2, adamw_names=("embed",))
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    by_kind = {
        group["muon"]: {names[id(p)] for p in group["params"]} for group in optimiser.param_groups
    }
    assert by_kind[True] == {"conv.weight", "head.weight"}
    assert by_kind[False] == set(names.values()) - by_kind[True]


@pytest.mark.parametrize("adamw_names", [(), ("weight",)], ids=["muon", "adamw"])
def test_steps_reduce_a_quadratic_loss(adamw_names: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    layer, goal = nn.Linear(12, 8), nn.Linear(12, 8)
    x = torch.randn(64, 12)
    optimiser = Muon(layer.named_parameters(), 0.03, adamw_names=adamw_names)

    def loss() -> torch.Tensor:
        return (layer(x) - goal(x).detach()).square().mean()

    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        losses.append(loss().item())
    assert losses[1] < losses[0]
    assert losses[-1] < 0.2 * losses[0]


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    net = Net()
    before = copy.deepcopy(net.state_dict())
    net.head(torch.randn(2, 8)).sum().backward()
    Muon(net.named_parameters(), 0.1).step()
    assert torch.equal(net.state_dict()["conv.weight"], before["conv.weight"])
    assert not torch.equal(net.state_dict()["head.weight"], before["head.weight"])


def test_a_restored_optimiser_takes_the_same_next_step() -> None:
    torch.manual_seed(0)
    net = nn.Linear(6, 5)
    optimiser = Muon(net.named_parameters(), 0.05)
    x = torch.randn(16, 6)

    def step(net: nn.Module, optimiser: Muon) -> torch.Tensor:
        optimiser.zero_grad()
        net(x).square().mean().backward()
        optimiser.step()
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    for _ in range(3):
        step(net, optimiser)
    twin = copy.deepcopy(net)
    other = Muon(twin.named_parameters(), 0.05)
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    assert torch.equal(step(net, optimiser), step(twin, other))
