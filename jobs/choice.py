"""Which model works over a clip where none is named: the best that this machine can run.

Knows cards and verdicts. Does not know who asks, or how anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping

from errors import ErrorCode, KinoraError
from pipelines.cards import ModelCard
from pipelines.placement import Planner
from pipelines.request import Task

NONE_AT_ALL = (
    "No model here can work over a given clip. Add the card of one that can, or send the Hub id of "
    "one as “model”."
)


def over_a_clip(cards: Mapping[str, ModelCard], planner: Planner) -> str:
    """The id of one that is on this disk and runs well, else of the next best."""
    able = [card for card in cards.values() if Task.VIDEO_TO_VIDEO in card.tasks]
    if not able:
        raise KinoraError(
            ErrorCode.TASK_NOT_SUPPORTED, NONE_AT_ALL, details={"field": "model", "models": []}
        )
    levels = {card.id: planner.verdict(card, task=Task.VIDEO_TO_VIDEO).level for card in able}
    here = [card for card in able if levels[card.id] != "no"]
    if not here:
        names = ", ".join(card.name for card in able)
        raise KinoraError(
            ErrorCode.TASK_NOT_SUPPORTED,
            f"No model that runs on this machine can work over a given clip. These can: {names}.",
            details={"field": "model", "models": [card.id for card in able]},
        )
    best = max(here, key=lambda c: (levels[c.id] == "runs", c.local_path is not None))
    return best.id
