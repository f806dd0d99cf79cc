"""The handlers of what helps to write prompts: looks, and texts that are put into fields.

What needs no control of the form has routes of its own (`prompt_routes`).
"""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from pydantic import ValidationError

from errors import KinoraError
from pipelines.models.cards import ModelCard
from pipelines.models.selection import find_card, unsupported_task
from pipelines.request import GenerationRequest, Task
from pipelines.validation_errors import invalid_input
from ui import film_view, job_view
from ui import form as slate
from ui.controls import updates
from ui.form import Form
from ui.handlers import Handlers, message, owner_of_page

MIRRORED = ("prompt", "negative_prompt", "wildcards", "seed", "guidance_scale")
"""The fields that decide the final prompt, besides those that our own script holds."""
READ_WORDS = f"""(...values) => Object.fromEntries(
    {json.dumps(MIRRORED)}.map((name, index) => [name, values[index]])
)"""
"""JavaScript that gives them to our own script, without a request."""


def words_at_first(form: Form) -> dict[str, Any]:
    return {name: getattr(form, name) for name in MIRRORED}


class PromptHandlers:
    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._task = handlers.task
        self._service = handlers.service
        self._settings = handlers.settings

    def fill_negative_prompt(self, event: gr.EventData) -> str:
        return str(event.text)

    def begin_storyboard(self, *values: Any) -> dict[str, Any]:
        """A shot for each sentence of the prompt, with the settings of the form."""
        try:
            *controls, upload = values
            form = Form(*controls)
            form = slate.only_supported(form, self._card(form.model), self._task)
            is_picture = self._task is Task.IMAGE_TO_VIDEO
            request = slate.to_request(form, upload if is_picture else None, self._task)
            return message(board=film_view.board_of(request, self._service.cards))
        except KinoraError as error:
            return message(error=job_view.error_view(error.as_dict()))

    # ---- looks

    def save_look(self, event: gr.EventData, request: gr.Request, *values: Any) -> dict[str, Any]:
        """The form as it is, without its picture or clip."""
        try:
            form = Form(*values)
            form = slate.only_supported(form, self._card(form.model), self._task)
            settings = slate.to_request(form, None, self._task).model_dump(
                mode="json", exclude_unset=True
            )
            saved = self._service.looks.save(owner_of_page(request), str(event.name), settings)
        except KinoraError as error:
            return message(error=job_view.error_view(error.as_dict()))
        return message(saved=saved.name)

    def apply_look(self, event: gr.EventData, request: gr.Request, *values: Any) -> list[Any]:
        form, name = Form(*values), str(event.name)
        try:
            settings = self._service.looks.get(owner_of_page(request), name).settings
            wanted = GenerationRequest.model_validate(settings)
            card = self._card_for(wanted, form)
        except ValidationError as error:  # saved by a version that accepted more
            return self._refuse(invalid_input(error))
        except KinoraError as error:
            return self._refuse(error)
        found = slate.from_request(wanted, card, self._settings, self._task)
        if not wanted.prompt:
            found = found.changed(prompt=form.prompt)
        return [*updates(found, card, self._task, self._settings), message(applied=name)]

    def _card(self, model: str | None) -> ModelCard:
        return self._service.cards.get(model or "") or self._handlers.card

    def _card_for(self, wanted: GenerationRequest, form: Form) -> ModelCard:
        if wanted.model is None:
            return self._card(form.model)
        card = find_card(wanted.model, self._service.cards)
        if self._task not in card.tasks:
            raise unsupported_task(card, self._task)
        return card

    @staticmethod
    def _refuse(error: KinoraError) -> list[Any]:
        skipped = [gr.skip()] * len(Form.names())
        return [*skipped, message(error=job_view.error_view(error.as_dict()))]
