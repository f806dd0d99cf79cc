"""The plan for a card on this machine: where it runs, how, and what to tell people about it.

All of it is light (no torch) but `apply`, which the worker imports.
"""

from __future__ import annotations

from typing import Any

from pipelines.models.cards import ModelCard
from pipelines.planning.demand import Shape
from pipelines.planning.device import Device, torch_device
from pipelines.planning.machine import Machine, this_machine
from pipelines.planning.plan import Plan, Wishes, plan_for
from pipelines.planning.planner import Planner, Verdict
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
    if not settings.zero_gpu:  # a GPU is attached for each clip only: nothing to try
        machine = machine.computing_on(torch_device())
    return plan_for(card, machine, Wishes.of(settings), shape)


def place(pipe: Any, to: Plan) -> None:
    """Move a loaded pipeline to where it runs, as the plan says."""
    from pipelines.engine.placement import place as place_it

    place_it(pipe, to)


def _cpu_multiplies_bfloat16() -> bool:
    return this_machine(Settings.load()).cpu_multiplies_bfloat16
