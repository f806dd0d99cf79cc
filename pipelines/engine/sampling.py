"""Sampling that does not give up at once when the memory is short.

The other models go first, then more and more of this one waits off the GPU. Afterwards all is as
it was, so the next clip starts anew. Decoding has its own ladder (`decode`).
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
from pipelines.engine.placement import move, settle
from pipelines.engine.preview import OnPreview
from pipelines.planning.plan import Offload, Plan
from pipelines.request import Adjustment, FittedRequest

log = logging.getLogger(__name__)

WORDS: dict[Offload, str] = {
    "none": "with the whole model on the GPU",
    "model": "with the parts of the model moved to the GPU one at a time",
    "group": "with the blocks of the model moved to the GPU as they were needed",
}


def fallback_plans(plan: Plan) -> list[Plan]:
    """The same plan with more and more of the weights off the GPU; none without one."""
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
    """As `denoise`. `make_room` puts other models away, and says whether there were any."""
    pipe, plan = loaded.pipe, loaded.weights.plan
    used = plan
    with loaded.busy:
        settle(pipe, plan)
        rungs = list(fallback_plans(plan) if plans is None else plans)
        try:
            while True:
                try:
                    return denoise(loaded, fitted, inputs, control, on_step, on_preview, on_change)
                except KinoraError as error:
                    if error.code is not ErrorCode.OUT_OF_MEMORY:
                        raise
                    failed = error
                free_memory()
                if make_room():
                    log.warning(
                        "Out of memory while sampling; retrying with other models unloaded.",
                    )
                    on_change(_change("beside other models", "with the other models put away"))
                elif rungs:
                    before, used = used, rungs.pop(0)
                    log.warning("Out of memory while sampling; retrying %s.", WORDS[used.offload])
                    move(pipe, used)
                    on_change(_change(WORDS[before.offload], WORDS[used.offload]))
                else:
                    raise failed
        finally:
            if used is not plan:
                move(pipe, plan)


def _change(before: str, after: str) -> Adjustment:
    return Adjustment(
        field="sampling",
        asked=before,
        used=after,
        sentence=f"Not enough memory {before}: the clip was sampled {after}.",
    )
