"""Plans how a model runs on this machine: device, precision, offload, tiles. No torch."""

from __future__ import annotations

from pipelines.planning.demand import ClipShape
from pipelines.planning.device import Device
from pipelines.planning.machine import Machine, this_machine
from pipelines.planning.plan import Plan, PlanOptions, plan_for
from pipelines.planning.planner import Planner, PlanVerdict

__all__ = [
    "ClipShape",
    "Device",
    "Machine",
    "Plan",
    "PlanOptions",
    "PlanVerdict",
    "Planner",
    "plan_for",
    "this_machine",
]
