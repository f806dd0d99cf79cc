"""Chooses the model of a request: the one it names, or the default for its task.

Whether that model runs on this machine is decided in `pipelines/planning/planner.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard, find_by_repository
from pipelines.models.catalog import Catalog
from pipelines.request import GenerationRequest, Task
from settings import Settings

CANNOT = {
    Task.TEXT_TO_VIDEO: "{} cannot start from words.",
    Task.IMAGE_TO_VIDEO: "{} cannot animate a picture.",
    Task.VIDEO_TO_VIDEO: "{} cannot work over a clip.",
}
NONE_CAN = {
    Task.TEXT_TO_VIDEO: "No model here can start from words.",
    Task.IMAGE_TO_VIDEO: "No model here can animate a picture.",
    Task.VIDEO_TO_VIDEO: "No model here can work over a clip.",
}


def unsupported_task(card: ModelCard, task: Task) -> KinoraError:
    return KinoraError(ErrorCode.TASK_NOT_SUPPORTED, CANNOT[task].format(card.name))


def pick_card(
    request: GenerationRequest, cards: Mapping[str, ModelCard], settings: Settings
) -> ModelCard:
    """The card that a request names by id or repository, or the default for its task."""
    return find_card(request.model or default_model(request.task, cards, settings), cards)


def find_card(name: str, cards: Mapping[str, ModelCard]) -> ModelCard:
    """The card of an id, a repository or, in a `Catalog`, a pasted Hub id.

    Raises KinoraError(UNKNOWN_MODEL)."""
    card = cards.get(name) or find_by_repository(name, cards.values())
    if card is None and isinstance(cards, Catalog):
        card = cards.find(name)
    if card is None:
        names = ", ".join(cards)
        raise KinoraError(
            ErrorCode.UNKNOWN_MODEL,
            f"There is no model called “{name}” here. Choose one of: {names}.",
        )
    return card


def default_model(task: Task, cards: Mapping[str, ModelCard], settings: Settings) -> str:
    """The id of the model for a task: the one in the settings, else the default card, else a card
    of the same repository, else any that can. Raises KinoraError(TASK_NOT_SUPPORTED)."""
    named = {
        Task.TEXT_TO_VIDEO: settings.default_text_to_video_model,
        Task.IMAGE_TO_VIDEO: settings.default_image_to_video_model,
    }.get(task)
    if named:
        return named
    able = [card for card in cards.values() if task in card.tasks]
    if not able:
        raise KinoraError(ErrorCode.TASK_NOT_SUPPORTED, NONE_CAN[task])
    usual = default_card(cards, settings)

    def rank(card: ModelCard) -> tuple[bool, ...]:
        return card == usual, same_repository(card, usual), card.local_path is not None

    return max(able, key=rank).id


def preload_models(cards: Mapping[str, ModelCard], settings: Settings) -> list[tuple[str, Task]]:
    """(model id, task) of the models that are loaded at the start. ZeroGPU can use no others, so
    there the video-to-video model is added if it is on the disk and within
    KINORA_MAX_LOADED_MODELS."""
    found = [
        (default_model(task, cards, settings), task)
        for task in (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)
        if any(task in card.tasks for card in cards.values())
    ]
    able = any(Task.VIDEO_TO_VIDEO in card.tasks for card in cards.values())
    if settings.zero_gpu and able:
        name = default_model(Task.VIDEO_TO_VIDEO, cards, settings)
        names = {model for model, _task in found}
        has_place = len(names | {name}) <= settings.max_loaded_models
        if name in names or (has_place and cards[name].local_path is not None):
            found.append((name, Task.VIDEO_TO_VIDEO))
    return found


def default_card(cards: Mapping[str, ModelCard], settings: Settings) -> ModelCard | None:
    """The text-to-video model of the settings, else the card marked `usual`."""
    named = settings.default_text_to_video_model
    return cards.get(named) if named else next((c for c in cards.values() if c.usual), None)


def same_repository(card: ModelCard, other: ModelCard | None) -> bool:
    """Whether both cards use the same repository."""
    return other is not None and card.repo == other.repo
