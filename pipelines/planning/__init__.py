"""The plan for a card on this machine: where it runs, how, and what to say about it. No torch."""

from __future__ import annotations

from pipelines.planning.demand import ClipShape
from pipelines.planning.device import Device
from pipelines.planning.machine import Machine, this_machine
from pipelines.planning.plan import Plan, PlanOptions, plan_for
from pipelines.planning.planner import Planner, Verdict

__all__ = [
    "ClipShape",
    "Device",
    "Machine",
    "Plan",
    "PlanOptions",
    "Planner",
    "Verdict",
    "plan_for",
    "this_machine",
]
