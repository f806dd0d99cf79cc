"""Which model a request means: the one it names, or the usual one for what it wants done.

Knows cards and settings. Does not know the machine; what runs there is the planner's business.
"""

from __future__ import annotations

from collections.abc import Mapping

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard, of_repository
from pipelines.models.catalog import Catalog
from pipelines.request import GenerationRequest, Task
from settings import Settings

VERBS = {
    Task.TEXT_TO_VIDEO: "start from words",
    Task.IMAGE_TO_VIDEO: "animate a picture",
    Task.VIDEO_TO_VIDEO: "work over a clip",
}


def pick_card(
    request: GenerationRequest, cards: Mapping[str, ModelCard], settings: Settings
) -> ModelCard:
    """The card a request names, by id or by repository, or the default for its task."""
    return find_card(request.model or default_model(request.task, cards, settings), cards)


def find_card(wanted: str, cards: Mapping[str, ModelCard]) -> ModelCard:
    """By its id or its repository; a catalogue also looks up what a person pasted."""
    card = cards.get(wanted) or of_repository(wanted, cards.values())
    if card is None and isinstance(cards, Catalog):
        card = cards.find(wanted)
    if card is None:
        names = ", ".join(cards)
        raise KinoraError(
            ErrorCode.UNKNOWN_MODEL,
            f"There is no model called “{wanted}” here. Choose one of: {names}.",
        )
    return card


def default_model(task: Task, cards: Mapping[str, ModelCard], settings: Settings) -> str:
    """What is used for a task where nothing is chosen: what the settings name for it, else the
    usual model or, where that cannot do it, its nearest relative. KinoraError where none can."""
    named = {
        Task.TEXT_TO_VIDEO: settings.default_text_to_video_model,
        Task.IMAGE_TO_VIDEO: settings.default_image_to_video_model,
    }.get(task)
    if named:
        return named
    able = [card for card in cards.values() if task in card.tasks]
    if not able:
        raise KinoraError(ErrorCode.TASK_NOT_SUPPORTED, f"No model here can {VERBS[task]}.")
    usual = default_card(cards, settings)

    def rank(card: ModelCard) -> tuple[bool, ...]:
        return card == usual, same_repository(card, usual), card.local_path is not None

    return max(able, key=rank).id


def preload_models(cards: Mapping[str, ModelCard], settings: Settings) -> list[tuple[str, Task]]:
    """What is loaded before anybody asks. On ZeroGPU nothing else can be used, so the model that
    works over clips is loaded too, where it is on the disk and there is a place for it."""
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
    """The one the settings name for words, or the one whose card says so."""
    named = settings.default_text_to_video_model
    return cards.get(named) if named else next((c for c in cards.values() if c.usual), None)


def same_repository(card: ModelCard, other: ModelCard | None) -> bool:
    """Both are made of the same repository."""
    return other is not None and card.repo == other.repo
