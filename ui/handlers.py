"""What is answered when something in a studio is used: one method for each press.

Knows the service and what the page wants to hear. Knows no component by name: values come in the
order of `Form`, and go out so.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from jobs.job import Job
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.models.selection import VERBS, default_model, find_card
from pipelines.request import MAX_SEED, FittedRequest, GenerationRequest, Task
from pipelines.validation_errors import invalid_input
from ui import form as slate
from ui import job_view
from ui.controls import updates
from ui.form import Form
from ui.model_picker import Models
from ui.routes import in_thread
from web.identity import owner_of

if TYPE_CHECKING:
    from jobs.estimate import Estimate
    from jobs.service import JobService
    from settings import Settings

EXAMPLES = Path(__file__).resolve().parent.parent / "presets" / "examples"
Ask = Callable[[], GenerationRequest]
TICK_S = 0.5
"""How soon it is seen that a page was closed."""


class Handlers:
    def __init__(
        self,
        task: Task,
        service: JobService,
        cards: Mapping[str, ModelCard],
        settings: Settings,
        models: Models,
    ) -> None:
        self.task = task
        self.service = service
        self.cards = cards
        self.settings = settings
        self.models = models
        wanted = default_model(task, cards, settings)
        self.card = cards.get(wanted) or next(iter(cards.values()))

    def _card(self, model: str | None) -> ModelCard:
        """Also one that was pasted earlier; the tab's own where the name means nothing."""
        return self.cards.get(model or "") or self.service.cards.get(model or "") or self.card

    def _request(self, values: tuple[Any, ...]) -> GenerationRequest:
        *controls, given = values
        form = Form(*controls)
        if self.task is not Task.TEXT_TO_VIDEO and not given:
            what = "picture" if self.task is Task.IMAGE_TO_VIDEO else "clip"
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                f"Choose a {what} first: drop one on the stage, or pick a file.",
            )
        form = slate.only_supported(form, self._card(form.model), self.task)
        return slate.to_request(
            form, given if self.task is not Task.TEXT_TO_VIDEO else None, self.task
        )

    async def generate(self, request: gr.Request, *values: Any) -> AsyncIterator[Any]:
        async for answer in self._start(lambda: self._request(values), request):
            yield answer

    async def again(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        async for answer in self._start(lambda: exact(self._job(event, request)), request):
            yield answer

    async def another(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        def ask() -> GenerationRequest:
            seed = secrets.randbelow(MAX_SEED + 1)
            return exact(self._job(event, request)).model_copy(update={"seed": seed})

        async for answer in self._start(ask, request):
            yield answer

    async def develop(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        """The frames once more from what was sampled; nothing is sampled again."""
        job_id = str(event.job)
        async for answer in self._follow(
            lambda who: self.service.retry_decode(job_id, who), request
        ):
            yield answer

    async def drive(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        """A clip that waits gets this web request, with its new token for the GPU (ZeroGPU): sent
        by a page that was reloaded, or that has shown a waiting clip for a while."""
        try:
            job = await in_thread(self.service.get, str(event.job), owner(request))
        except KinoraError:  # deleted meanwhile
            return
        async for answer in self._drive(job, request):
            yield answer

    async def _start(self, ask: Ask, request: gr.Request) -> AsyncIterator[Any]:
        """Hand the request in and answer at once: from here on the clip needs no open page,
        unless its GPU is granted to this very web request (ZeroGPU)."""
        async for answer in self._follow(lambda who: self.service.submit(ask(), who), request):
            yield answer

    async def _follow(self, begin: Callable[[str], Job], request: gr.Request) -> AsyncIterator[Any]:
        who = owner(request)
        try:
            job = await in_thread(begin, who)
        except KinoraError as error:
            yield news(error=job_view.error_view(error.as_dict()))
            return
        driving = self._drive(job, request) if self.service.executor.needs_request else None
        if driving is not None:
            await anext(driving, None)  # before the page is answered, which would ask for it
        yield news(job=job_view.view(job, job_view.Progress()))
        if driving is not None:
            async for answer in driving:
                yield answer

    async def _drive(self, job: Job, request: gr.Request) -> AsyncGenerator[Any, None]:
        """Stays as long as the clip does: when the page closes meanwhile, this event ends, and
        `spaces` stops queueing for a GPU. No thread waits."""
        who = owner(request)
        await in_thread(self.service.drive, job.id, who)
        async for _ in self.service.events.afollow(job.id, 0, TICK_S):
            yield gr.skip()

    def estimate(self, *values: Any) -> dict[str, Any]:
        try:
            *controls, given = values
            # an empty prompt is no trouble yet; of a long one it says what is not read
            form = Form(*controls)
            form = form.changed(prompt=((form.prompt or "").strip() and form.prompt) or "anything")
            card = self._card(form.model)
            before = self.models.before_it_starts(card)
            form = slate.only_supported(form, card, self.task)
            if self.task is Task.TEXT_TO_VIDEO or given:
                request = slate.to_request(form, given, self.task)
                fitted, estimate = self.service.estimate(request)
            else:
                fitted, estimate = self._before_there_is_a_picture(form, card)
                fitted = fitted.model_copy(update={"task": self.task})
        except KinoraError as error:
            return news(error=job_view.error_view(error.as_dict()))
        vram = card.needs.vram_gb
        memory = f", {vram:g} GB" if vram else ""
        width, height = fitted.made_size
        shape = f"{width}×{height}, {slate.seconds_label(fitted.duration_s)}"
        told = news(line=f"About {job_view.seconds(estimate.seconds)} here{memory} · {shape}")
        try:
            self.models.refuse_what_cannot_run(card, fitted)
        except KinoraError as error:
            told |= {"line": shape, "error": job_view.error_view(error.as_dict())}
        return told | {
            "before": before,
            "adjustments": [a.sentence for a in fitted.adjustments],
            "width": width,
            "height": height,
            "rest": rest_line(card),
        }

    def _before_there_is_a_picture(
        self, form: Form, card: ModelCard
    ) -> tuple[FittedRequest, Estimate]:
        """The figures of the card's own size, as if it were made from words."""
        request = slate.to_request(form.changed(prompt="anything", last_image=None))
        anything = card.model_copy(update={"tasks": tuple(Task)})
        fitted = fit(request, anything, Limits.from_settings(self.settings))
        return fitted, self.service.estimator.estimate(fitted)

    def restore(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        try:
            job = self._job(event, request)
        except KinoraError:
            return [gr.skip()] * len(Form.names())
        # after a reload: what was asked for, so that a seed left to chance stays so
        asked = job.request if event.set.get("as") == "asked" else exact(job)
        card = self._card(job.fitted.model)
        return self._set(slate.from_request(asked, card, self.settings))

    def repair(self, event: gr.EventData, request: gr.Request, *values: Any) -> list[Any]:
        """Do what the button of an error says: put its values into the controls."""
        form = Form(*values)
        try:
            if event.job:
                asked = exact(self._job(event, request))
                form = slate.from_request(asked, self._card(asked.model), self.settings)
        except KinoraError as error:
            skipped = [gr.skip()] * len(Form.names())
            return [*skipped, news(error=job_view.error_view(error.as_dict()))]
        mended = slate.apply_repair(form, event.set)
        if mended.model != form.model:
            before, card = self._card(form.model), self._card(mended.model)
            mended = slate.adapt_to(mended, before, card, self.task, self.settings)
        return [*self._set(mended), news()]

    def onward(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        try:
            job = self._job(event, request)
            last = self.service.last_frame_path(job.id, owner(request)).read_bytes()
            stored = self.service.store_picture(last, owner(request))
        except KinoraError as error:
            return [gr.skip(), news(error=job_view.error_view(error.as_dict()))]
        return [job.fitted.prompt, news(picture=picture_view(stored))]

    def reset(self, prompt: str, model: str) -> list[Any]:
        form = slate.defaults(self._card(model), self.task, self.settings)
        return self._set(form.changed(prompt=prompt))

    def change_model(self, event: gr.EventData, *values: Any) -> list[Any]:
        """What was chosen in the picker, or pasted into it: then it is looked up now."""
        form, before = Form(*values), self._card(str(event.before or ""))
        try:
            card = find_card(form.model or "", self.service.cards)
            if self.task not in card.tasks:
                raise KinoraError(
                    ErrorCode.TASK_NOT_SUPPORTED, f"{card.name} cannot {VERBS[self.task]}."
                )
        except KinoraError as error:
            back = [gr.skip()] * (len(values) - 2)
            told = news(error=job_view.error_view(error.as_dict()))
            return [form.prompt, before.id, *back, gr.skip(), gr.skip(), gr.skip(), told]
        form = slate.adapt_to(form, before, card, self.task, self.settings)
        facts = self.models.facts(card, self.task)
        return [*self._set(form), knows(card), self.examples(card), facts, news()]

    def facts_of(self, model: str) -> dict[str, Any]:
        return self.models.facts(self._card(model), self.task)

    def change_fps(self, model: str, fps: int, frames: int) -> Any:
        longest = self.settings.max_video_duration_s
        choices = slate.lengths(self._card(model), int(fps), longest, frames, self.task)
        return gr.update(choices=choices)

    def choose_example(self, model: str, event: gr.EventData, request: gr.Request) -> list[Any]:
        examples = self._known_examples(self._card(model))
        index = int(event.index)
        if not 0 <= index < len(examples):
            return [gr.skip(), gr.skip(), gr.skip()]
        example = examples[index]
        seed = "" if example.seed is None else str(example.seed)
        message = news()
        if example.image:
            data = (EXAMPLES / example.image).read_bytes()
            stored = self.service.store_picture(data, owner(request))
            message = news(picture=picture_view(stored))
        return [example.prompt, seed, message]

    def _known_examples(self, card: ModelCard) -> list[Any]:
        wants_picture = self.task is Task.IMAGE_TO_VIDEO
        return [e for e in card.examples if bool(e.image) == wants_picture]

    def examples(self, card: ModelCard) -> list[str]:
        return [example.prompt for example in self._known_examples(card)]

    def _job(self, event: gr.EventData, request: gr.Request) -> Job:
        return self.service.get(str(event.job), owner(request))

    def _set(self, form: Form) -> list[Any]:
        """Updates for every control, its choices and bounds included."""
        return updates(form, self._card(form.model), self.task, self.settings)


def news(**what: Any) -> dict[str, Any]:
    """A message to the page; the mark makes two equal ones two."""
    return {**what, "mark": secrets.token_hex(4)}


def owner(request: gr.Request) -> str:
    visitor = getattr(request.request.state, "visitor", None) if request.request else None
    return owner_of(visitor or secrets.token_hex(16))


def exact(job: Job) -> GenerationRequest:
    """The request that makes this very clip once more: nothing is left to chance or default."""
    fitted = job.fitted
    names = set(GenerationRequest.model_fields) & set(type(fitted).model_fields)
    try:
        return GenerationRequest.model_validate({name: getattr(fitted, name) for name in names})
    except ValidationError as error:  # made by an earlier version, which accepted more
        raise invalid_input(error) from error


def picture_view(stored: Any) -> dict[str, Any]:
    return {"id": stored.id, "width": stored.width, "height": stored.height}


def rest_line(card: ModelCard) -> str:
    """What a small model knows, said kindly and truly; nothing for a model that knows a lot."""
    if not card.knows:
        return ""
    counts = [f"{len(words)} {label}" for label, words in card.knows.items()]
    *most, last = counts
    world = f"{', '.join(most)} and {last}" if most else last
    return f"{card.name} is a real model of a small world: {world}"


def knows(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "about": card.about,
        "license": card.license,
        "knows": {label: list(words) for label, words in card.knows.items()},
    }
