"""Retries sampling with less memory: first without other models, then with more offload.

The plan is restored afterwards, so the next clip starts with it again. Decoding has strategies of
its own (`decode.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

from errors import ErrorCode, KinoraError
from pipelines.control import Control
from pipelines.engine.decode import OnChange
from pipelines.engine.denoise import Sampled, Step, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.memory import free_memory
from pipelines.engine.placement import install_hooks, move_weights
from pipelines.engine.preview import OnPreview
from pipelines.planning.plan import Offload, Plan
from pipelines.request import Adjustment, FittedRequest

log = logging.getLogger(__name__)

OFFLOAD_DESCRIPTIONS: dict[Offload, str] = {
    "none": "with the whole model on the GPU",
    "model": "with the parts of the model moved to the GPU one at a time",
    "group": "with the blocks of the model moved to the GPU as they were needed",
}


def fallback_plans(plan: Plan) -> list[Plan]:
    """The same plan with more and more offload; empty on a CPU."""
    if plan.device_name == "cpu":
        return []
    offloads: Sequence[Offload] = get_args(Offload)
    return [replace(plan, offload=each) for each in offloads[offloads.index(plan.offload) + 1 :]]


def sample(
    loaded: Loaded,
    fitted: FittedRequest,
    inputs: Inputs,
    control: Control,
    on_step: Callable[[Step], None],
    on_preview: OnPreview | None = None,
    *,
    make_room: Callable[[], bool] = lambda: False,
    on_change: OnChange = lambda _change: None,
    plans: Sequence[Plan] | None = None,
) -> Sampled:
    """As `denoise`, with retries. `make_room` evicts other models and returns whether there were
    any.

    `plans` replaces `fallback_plans`. Each retry is reported as an adjustment. Raises
    KinoraError(OUT_OF_MEMORY) when nothing is left to try.
    """
    pipe, plan = loaded.pipe, loaded.weights.plan
    used = plan
    with loaded.busy:
        install_hooks(pipe, plan)
        remaining = list(fallback_plans(plan) if plans is None else plans)
        try:
            while True:
                try:
                    return denoise(loaded, fitted, inputs, control, on_step, on_preview, on_change)
                except KinoraError as error:
                    if error.code is not ErrorCode.OUT_OF_MEMORY:
                        raise
                    failed = error
                # outside `except`, whose traceback keeps the tensors of the failed attempt alive
                free_memory()
                if make_room():
                    log.warning(
                        "Out of memory while sampling; retrying with other models unloaded.",
                    )
                    on_change(
                        _memory_adjustment("beside other models", "with the other models unloaded")
                    )
                elif remaining:
                    before, used = used, remaining.pop(0)
                    log.warning(
                        "Out of memory while sampling; retrying %s.",
                        OFFLOAD_DESCRIPTIONS[used.offload],
                    )
                    move_weights(pipe, used)
                    on_change(
                        _memory_adjustment(
                            OFFLOAD_DESCRIPTIONS[before.offload], OFFLOAD_DESCRIPTIONS[used.offload]
                        )
                    )
                else:
                    raise failed
        finally:
            if used is not plan:  # also after a cancel
                move_weights(pipe, plan)


def _memory_adjustment(before: str, after: str) -> Adjustment:
    return Adjustment(
        field="sampling",
        asked=before,
        used=after,
        sentence=f"Not enough memory {before}; the clip was sampled {after}.",
    )
