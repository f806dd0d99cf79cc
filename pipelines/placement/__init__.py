"""The plan for a card on this machine: where it runs, how, and what to tell people about it.

All of it is light (no torch) but `apply`, which the worker imports.
"""

from __future__ import annotations

from typing import Any

from pipelines.cards import ModelCard
from pipelines.placement.demand import Shape
from pipelines.placement.device import Device, torch_device
from pipelines.placement.machine import Machine, this_machine
from pipelines.placement.plan import Plan, Wishes, plan_for
from pipelines.placement.verdict import Planner, Verdict
from settings import Settings

__all__ = [
    "Device",
    "Machine",
    "Plan",
    "Planner",
    "Shape",
    "Verdict",
    "Wishes",
    "place",
    "plan",
    "plan_for",
    "this_machine",
    "torch_device",
]


def plan(card: ModelCard, settings: Settings, shape: Shape | None = None) -> Plan:
    """In the worker, where torch has the last word on whether there is a GPU."""
    machine = this_machine(settings)
    if not settings.zero_gpu:
        machine = machine.computing_on(torch_device())
    else:  # a GPU is attached for each clip only: nothing to try, but `spaces` must be in place
        import torch

        if not torch.cuda.is_available():
            machine = machine.without_gpu()
    return plan_for(card, machine, Wishes.of(settings), shape)


def place(pipe: Any, to: Plan) -> None:
    """Move a loaded pipeline to where it runs, as the plan says."""
    from pipelines.placement.apply import place as place_it

    place_it(pipe, to)


def _cpu_multiplies_bfloat16() -> bool:
    return this_machine(Settings.load()).cpu_multiplies_bfloat16
