"""Which model works over a clip where none is named: the usual one, or the best that runs here.

Knows cards and verdicts. Does not know who asks, or how anything is made.
"""

from __future__ import annotations

from collections.abc import Mapping

from errors import ErrorCode, KinoraError
from pipelines.cards import ModelCard
from pipelines.choice import kin
from pipelines.placement import Planner
from pipelines.request import Task

NONE_AT_ALL = (
    "No model here can work over a given clip. Add the card of one that can, or send the Hub id of "
    "one as “model”."
)


def over_a_clip(cards: Mapping[str, ModelCard], planner: Planner, usual: ModelCard | None) -> str:
    """The usual model if it can, else one that runs well, and rather a relative of it, or one on
    this disk."""
    able = [card for card in cards.values() if Task.VIDEO_TO_VIDEO in card.tasks]
    if not able:
        raise _none(NONE_AT_ALL, able)
    levels = {card.id: planner.verdict(card, task=Task.VIDEO_TO_VIDEO).level for card in able}
    here = [card for card in able if levels[card.id] != "no"]
    if not here:
        names = ", ".join(card.name for card in able)
        sentence = "No model that runs on this machine can work over a given clip. These can: "
        raise _none(f"{sentence}{names}.", able)

    def rank(card: ModelCard) -> tuple[bool, ...]:
        runs = levels[card.id] == "runs"
        return card == usual, runs, kin(card, usual), card.local_path is not None

    return max(here, key=rank).id


def _none(sentence: str, able: list[ModelCard]) -> KinoraError:
    details = {"field": "model", "models": [card.id for card in able]}
    return KinoraError(ErrorCode.TASK_NOT_SUPPORTED, sentence, details=details)
