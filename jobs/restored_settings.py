"""The settings of a clip, checked and fitted to what is here: they can be sent as a request.

What is different here is said in sentences, one for each. Nothing is looked up on the Hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, Field, ValidationError

from errors import KinoraError
from media.written_settings import PROGRAMS, Program, WrittenSettings
from pipelines.models.cards import ModelCard
from pipelines.models.selection import default_model
from pipelines.request import REQUEST_FIELDS, FittedRequest, GenerationRequest, Task
from pipelines.request_fields import Kind, names_of
from settings import Settings

INPUTS = (
    *names_of(REQUEST_FIELDS.values(), Kind.PICTURE),
    *names_of(REQUEST_FIELDS.values(), Kind.CLIP),
)
NEEDED = {Task.IMAGE_TO_VIDEO: ("image", "continue_from"), Task.VIDEO_TO_VIDEO: ("video",)}
"""One of these decides what a clip can be."""
SCHEMA = 1
SHOWN_LETTERS = 60
MAX_EDITS = 50
MISSING = {
    "image": "The picture it was made from is not here any more: choose it again.",
    "last_image": "The picture it ends on is not here any more: choose it again.",
    "video": "The clip it was made from is not here any more: choose it again.",
    "continue_from": "The clip that it continues is not here any more.",
}


class RestoredSettings(BaseModel):
    """What was found in a clip."""

    found: Program | None = Field(
        default=None, description="Which program wrote the settings; null: there are none."
    )
    task: Task | None = Field(default=None, description="Null where the file does not say.")
    settings: dict[str, Any] = Field(default={}, description="Fields of a request.")
    notes: list[str] = Field(default=[], description="What is different here, as sentences.")


class Service(Protocol):
    """The part of the job service that is needed here."""

    settings: Settings
    cards: Any

    def offered_cards(self) -> dict[str, ModelCard]: ...
    def upload_path(self, name: str, owner: str | None) -> Any: ...
    def fit(self, request: GenerationRequest, owner: str | None = None) -> FittedRequest: ...


def restore(written: WrittenSettings, service: Service, owner: str) -> RestoredSettings:
    """For the form of this owner, who may use their own uploads only."""
    notes: list[str] = []
    if written.program != "kinora":
        program = PROGRAMS[written.program]
        notes.append(f"Made with {program}: only what has a meaning here was read.")
    elif written.more.get("schema") not in (None, SCHEMA):
        notes.append("It was made by a newer version of Kinora: some settings may be missing.")
    settings = _valid_fields(written.values, notes)
    task = _task_of(written, settings)
    done, steps = written.more.get("steps_done"), settings.get("num_inference_steps")
    if isinstance(done, int) and steps and 0 < done < steps and not settings.get("strength"):
        notes.append(
            f"It was finished early, after {done} of {steps} steps: now it takes them all."
        )
    if (edited := _edit_note(written)) is not None:
        notes.append(edited)
    settings |= _model(written, task, service, notes)
    _drop_missing_inputs(settings, service, owner, notes)
    _fit(settings, task, service, owner, notes)
    return RestoredSettings(found=written.program, task=task, settings=settings, notes=notes)


def _valid_fields(values: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Each value by itself, so that one that cannot be read costs no other."""
    kept: dict[str, Any] = {}
    for name, field in REQUEST_FIELDS.items():
        value = values.get(name)
        if name == "model" or value is None:
            continue
        try:
            request = GenerationRequest.model_validate({name: value})
        except ValidationError:
            notes.append(f"{field.label} could not be read.")
            continue
        kept |= request.model_dump(mode="json", include={name}, exclude_none=True)
    return kept


def _edit_note(written: WrittenSettings) -> str | None:
    """What was done to the clip after it was made with these settings."""
    from media.operations.registry import OPERATIONS

    titles: list[str] = []
    step, deep = written.more.get("edit"), 0
    if not isinstance(step, dict):
        return None
    while isinstance(step, dict) and deep < MAX_EDITS:
        operations = step.get("operations")
        done = operations if isinstance(operations, list) else []
        names = [str(each.get("op")) for each in done if isinstance(each, dict)]
        titles = [OPERATIONS[name].title for name in names if name in OPERATIONS] + titles
        step, deep = step.get("before"), deep + 1
    what = ", ".join(dict.fromkeys(titles)) or "another kind of file"
    if not written.values:
        return f"It was edited here ({what}); how it was made is not known."
    return f"It was edited afterwards ({what}). These settings made the clip before that."


def _task_of(written: WrittenSettings, settings: Mapping[str, Any]) -> Task | None:
    if settings.get("video"):
        return Task.VIDEO_TO_VIDEO
    if settings.get("image") or settings.get("continue_from"):
        return Task.IMAGE_TO_VIDEO
    return Task(written.task) if written.task in {task.value for task in Task} else None


def _model(
    written: WrittenSettings, task: Task | None, service: Service, notes: list[str]
) -> dict[str, Any]:
    """The card of that id, or of a model that was pasted here before."""
    name = written.model
    if not name:
        return {}
    shown = name if len(name) <= SHOWN_LETTERS else f"{name[:SHOWN_LETTERS]}…"
    card: ModelCard | None = None
    if written.program == "kinora" and len(name) <= 200:
        card = service.offered_cards().get(name) or _pasted(service, name)
    if card is not None and (task is None or task in card.tasks):
        here = _revision_here(card, service.settings)
        if written.revision and here and written.revision != here:
            notes.append(f"It was made with another revision of {card.name}: the clip may differ.")
        return {"model": card.id}
    try:
        instead = default_model(task or Task.TEXT_TO_VIDEO, service.cards, service.settings)
    except KinoraError as error:
        notes.append(error.message)
        return {}
    known = service.cards.get(instead)
    notes.append(
        f"The model “{shown}” is not installed here: {known.name if known else instead} is chosen "
        "instead, and the clip will differ."
    )
    return {"model": instead}


def _revision_here(card: ModelCard, settings: Settings) -> str | None:
    """The commit of the model's files, where it is known without the network."""
    if card.is_local:
        return None
    from pipelines.models.hub import Hub

    return Hub(settings).cached_commit(card.repo, card.revision) or card.revision


def _pasted(service: Service, name: str) -> ModelCard | None:
    return service.cards.get(name) if service.settings.any_model else None


def _drop_missing_inputs(
    settings: dict[str, Any], service: Service, owner: str, notes: list[str]
) -> None:
    for name in INPUTS:
        if name not in settings:
            continue
        try:
            service.upload_path(settings[name], owner)
        except KinoraError:
            del settings[name]
            notes.append(MISSING[name])


def _fit(
    settings: dict[str, Any], task: Task | None, service: Service, owner: str, notes: list[str]
) -> None:
    """Adds what the model here will change, and applies what a refusal offers instead."""
    needed = NEEDED.get(task) if task else None
    if needed and not any(settings.get(name) for name in needed):
        return  # the missing picture decides it
    if task is None and not settings.get("prompt"):
        return
    try:
        request = GenerationRequest.model_validate(settings)
        fitted = service.fit(request, owner)
    except ValidationError:
        return
    except KinoraError as error:
        notes.append(error.message)
        changes = (error.action or {}).get("set", {})
        settings |= {name: value for name, value in changes.items() if name in REQUEST_FIELDS}
        return
    notes += [adjustment.sentence for adjustment in fitted.adjustments]
