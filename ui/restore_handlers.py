"""The handler that fills the form with the settings of a clip."""

from __future__ import annotations

from typing import Any

import gradio as gr
from pydantic import ValidationError

from pipelines.request import GenerationRequest
from pipelines.validation_errors import invalid_input
from ui import form as slate
from ui import job_view
from ui.controls import updates
from ui.form import Form
from ui.handlers import Handlers, message


class RestoreHandlers:
    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def refill(self, event: gr.EventData, *values: Any) -> list[Any]:
        """Sets every control; the settings come from the browser, so they are checked again."""
        form, here = Form(*values), self._handlers
        try:
            wanted = GenerationRequest.model_validate(event.settings)
        except ValidationError as error:
            shown = job_view.error_view(invalid_input(error).as_dict())
            return [*[gr.skip()] * len(Form.names()), message(error=shown)]
        cards = here.service.cards
        card = cards.get(wanted.model or "") or cards.get(form.model or "") or here.card
        found = slate.from_request(wanted, card, here.settings, here.task)
        if not wanted.prompt:
            found = found.changed(prompt=form.prompt)
        return [*updates(found, card, here.task, here.settings), message()]
