"""What helps to write prompts, for the API and for the page: the final prompt, styles, looks,
suggestions, improvement. Each method returns what is sent as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from errors import ErrorCode, KinoraError
from jobs.looks import Look
from pipelines.field_types import MAX_PROMPT
from pipelines.models.cards import ModelCard
from pipelines.models.selection import find_card
from pipelines.prompt_templates import Suggestions, suggest
from pipelines.request import Adjustment, GenerationRequest, Task
from pipelines.styles import Style
from pipelines.validation_errors import invalid_input, unusable
from web.enhancer import Enhancer, Improvement
from web.limits import MINUTE_S, Full, Window, Windows

if TYPE_CHECKING:
    from jobs.service import JobService

SAVES_PER_MINUTE = 60
EXAMPLES = 5
"""Lines of a wildcard list that are shown."""


class WildcardList(BaseModel):
    name: str = Field(description="Written as __name__ in a prompt.")
    examples: list[str]


class PromptOffer(BaseModel):
    """What helps to write prompts here."""

    wildcards: list[WildcardList]
    improve: bool = Field(description="Whether prompts can be improved by a language model.")
    max_letters: int = MAX_PROMPT


class FinalPromptView(BaseModel):
    """The prompt that a clip would be made with."""

    prompt: str
    negative_prompt: str
    model: str
    style: str | None = None
    wildcard_seed: int | None = Field(
        default=None, description="Send it with the clip's request to get the same choices."
    )
    adjustments: list[Adjustment] = []


class StyleView(BaseModel):
    """A style, with the templates for the model that was named."""

    id: str
    name: str
    example: str
    prompt: str
    negative_prompt: str
    own: bool


class StyleList(BaseModel):
    styles: list[StyleView]


class LookList(BaseModel):
    looks: list[Look]


class PromptTools:
    def __init__(self, service: JobService, windows: Windows) -> None:
        self.service = service
        self.enhancer = Enhancer(service.settings)
        self._windows = windows

    # ---- prompts

    def offer(self) -> PromptOffer:
        lists = self.service.wildcards.examples(EXAMPLES)
        found = [WildcardList(name=name, examples=lines) for name, lines in lists.items()]
        return PromptOffer(wildcards=found, improve=self.enhancer.is_there)

    def final_prompt(self, body: Mapping[str, Any], owner: str) -> FinalPromptView:
        """`body` is a request's. Raises KinoraError(INVALID_INPUT), which names the field, and the
        column for wildcards that cannot be read."""
        try:
            request = GenerationRequest.model_validate(body)
        except ValidationError as error:
            raise invalid_input(error) from None
        final, card = self.service.final_prompt(request, owner)
        negative = final.request.negative_prompt
        return FinalPromptView(
            prompt=final.request.prompt,
            negative_prompt=card.defaults.negative_prompt if negative is None else negative,
            model=card.id,
            style=final.origin.style if final.origin else None,
            wildcard_seed=final.origin.wildcard_seed if final.origin else None,
            adjustments=list(final.adjustments),
        )

    def suggestions(self, body: Mapping[str, Any]) -> Suggestions:
        prompt, card, _task = self._prompt_and_card(body)
        return suggest(prompt, card.knows)

    async def improve(self, body: Mapping[str, Any], limited_as: str) -> Improvement:
        """Raises KinoraError: NOT_FOUND where it is not set up, RATE_LIMITED, INVALID_INPUT."""
        if not self.enhancer.is_there:
            raise KinoraError(ErrorCode.NOT_FOUND)
        prompt, card, task = self._prompt_and_card(body)
        self._count(f"improve:{limited_as}", self.service.settings.enhancer_per_minute)
        return await self.enhancer.improve(prompt, card, task)

    def _prompt_and_card(self, body: Mapping[str, Any]) -> tuple[str, ModelCard, Task]:
        """`prompt`, and for which `model` and `task` (t2v, i2v, v2v) where they are given."""
        for name in body:
            if name not in ("prompt", "model", "task"):
                raise KinoraError(
                    ErrorCode.INVALID_INPUT,
                    f"There is no setting called “{name}”.",
                    details={"field": name},
                )
        try:
            task = Task(body.get("task") or Task.TEXT_TO_VIDEO)
        except ValueError:
            raise unusable("task", "it is t2v, i2v or v2v") from None
        values = {name: body[name] for name in ("prompt", "model") if name in body}
        try:
            request = GenerationRequest.model_validate(values)
        except ValidationError as error:
            raise invalid_input(error) from None
        if request.model:
            return request.prompt, find_card(request.model, self.service.cards), task
        return request.prompt, self.service.final_prompt(request)[1], task

    # ---- styles

    def styles(self, owner: str | None, model: str | None = None) -> StyleList:
        """Those of the owner first. With a model: its family's templates."""
        family = find_card(model, self.service.cards).family if model else None
        own = {style.id for style in self.service.styles.own(owner)} if owner else set()
        found = self.service.styles.available(owner).values()
        return StyleList(styles=[_style_view(each, family, each.id in own) for each in found])

    def save_style(self, owner: str, style_id: str, body: Mapping[str, Any], by: str) -> StyleView:
        self._count(f"save:{by}", SAVES_PER_MINUTE)
        return _style_view(self.service.styles.save(owner, style_id, body), None, True)

    def import_styles(self, owner: str, data: bytes, by: str) -> StyleList:
        self._count(f"save:{by}", SAVES_PER_MINUTE)
        saved = self.service.styles.import_yaml(owner, data)
        return StyleList(styles=[_style_view(each, None, True) for each in saved])

    # ---- looks

    def looks(self, owner: str) -> LookList:
        return LookList(looks=self.service.looks.list(owner))

    def save_look(self, owner: str, name: str, body: Mapping[str, Any], by: str) -> Look:
        """`body` is {"settings": ...}, or a look as it was shared."""
        self._count(f"save:{by}", SAVES_PER_MINUTE)
        return self.service.looks.save(owner, name, body.get("settings"))

    def _count(self, key: str, per_minute: int) -> None:
        found = self._windows.take(key, 1, [Window(MINUTE_S, per_minute)], None)
        if isinstance(found, Full):
            wait_s = max(1, round(found.free_s + 0.5))
            raise KinoraError(
                ErrorCode.RATE_LIMITED,
                f"At most {per_minute} times a minute. Try again in {wait_s} s.",
                details={"retry_after_s": wait_s, "limit": per_minute, "window_s": MINUTE_S},
            )


def _style_view(style: Style, family: str | None, own: bool) -> StyleView:
    template = style.template(family)
    return StyleView(
        id=style.id,
        name=style.name,
        example=style.example,
        prompt=template.prompt,
        negative_prompt=template.negative_prompt,
        own=own,
    )
