"""The handlers of a tab's events: one method for each button or control.

Values of controls come in the order of `Form` and are returned in that order.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from jobs.job import Job
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.models.selection import default_model, find_card, unsupported_task
from pipelines.request import MAX_SEED, FittedRequest, GenerationRequest, Task
from pipelines.validation_errors import invalid_input
from ui import form as slate
from ui import job_view
from ui.controls import updates
from ui.form import Form
from ui.model_picker import Models
from ui.routes import in_thread
from ui.task_examples import examples_of, picture_of
from ui.task_examples import view as example_view
from web.identity import owner_of

if TYPE_CHECKING:
    from jobs.estimate import Estimate
    from jobs.service import JobService
    from settings import Settings

BuildRequest = Callable[[], GenerationRequest]
TICK_S = 0.5
"""How soon a closed page is noticed."""


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
        default = default_model(task, cards, settings)
        self.card = cards.get(default) or next(iter(cards.values()))

    def _card(self, model: str | None) -> ModelCard:
        """The card of a model, also of a pasted one; the tab's default if it is unknown."""
        return self.cards.get(model or "") or self.service.cards.get(model or "") or self.card

    def _request(self, values: tuple[Any, ...]) -> GenerationRequest:
        if self.task is not Task.TEXT_TO_VIDEO and not values[-1]:
            what = "picture" if self.task is Task.IMAGE_TO_VIDEO else "clip"
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                f"Choose a {what} first: drop one on the stage, or pick a file.",
            )
        return self._as_written(values)

    def _as_written(self, values: tuple[Any, ...]) -> GenerationRequest:
        """The request of the controls, also where the picture or clip is missing."""
        *controls, upload = values
        form = Form(*controls)
        form = slate.only_supported(form, self._card(form.model), self.task)
        return slate.to_request(
            form, upload if self.task is not Task.TEXT_TO_VIDEO else None, self.task
        )

    async def generate(self, request: gr.Request, *values: Any) -> AsyncIterator[Any]:
        async for update in self._submit(lambda: self._request(values), request):
            yield update

    async def repeat(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        """Submits the request of a clip again, with the same seed."""
        async for update in self._submit_variation(event, request, exact_request):
            yield update

    async def vary(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        """Submits the request of a clip again, with another seed."""

        def build(job: Job) -> GenerationRequest:
            seed = secrets.randbelow(MAX_SEED + 1)
            return exact_request(job).model_copy(update={"seed": seed})

        async for update in self._submit_variation(event, request, build):
            yield update

    async def retry_decode(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        """Decodes the stored latents of a failed clip again; a long one is continued from its
        finished parts, or made of them."""
        job_id, service = str(event.job), self.service
        again = service.finish if event.set.get("finish") else service.retry_decode
        async for update in self._start(lambda owner: again(job_id, owner), request):
            yield update

    async def drive(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        """A queued clip uses this web request, with its new token for the GPU, from now on
        (ZeroGPU). Sent by a page that was reloaded, or has shown a queued clip for a while."""
        try:
            job = await in_thread(self.service.get, str(event.job), owner_of_page(request))
        except KinoraError:  # deleted meanwhile
            return
        async for update in self._drive(job, request):
            yield update

    async def _submit(self, build: BuildRequest, request: gr.Request) -> AsyncIterator[Any]:
        async for update in self._start(lambda owner: self.service.submit(build(), owner), request):
            yield update

    async def _submit_variation(
        self, event: gr.EventData, request: gr.Request, build: Callable[[Job], GenerationRequest]
    ) -> AsyncIterator[Any]:
        def start(owner: str) -> Job:
            job = self._job(event, request)
            return self.service.submit(build(job), owner, parent=job.id)

        async for update in self._start(start, request):
            yield update

    async def _start(self, start: Callable[[str], Job], request: gr.Request) -> AsyncIterator[Any]:
        """Starts a job and returns at once: the clip needs no open page from then on, unless its
        GPU is granted to this web request (ZeroGPU)."""
        try:
            job = await in_thread(start, owner_of_page(request))
        except KinoraError as error:
            yield message(error=job_view.error_view(error.as_dict()))
            return
        driving = self._drive(job, request) if self.service.needs_request else None
        if driving is not None:
            # before the page gets its answer: it would send a request for the clip itself
            await anext(driving, None)
        yield message(job=job_view.view(job, job_view.Progress()))
        if driving is not None:
            async for update in driving:
                yield update

    async def _drive(self, job: Job, request: gr.Request) -> AsyncGenerator[Any, None]:
        """Runs until the clip has ended. If the page is closed meanwhile, this event ends and
        `spaces` stops queueing for a GPU. No thread waits."""
        await in_thread(self.service.drive, job.id, owner_of_page(request))
        async for _ in self.service.afollow(job.id, tick_s=TICK_S):
            yield gr.skip()

    def estimate(self, *values: Any) -> dict[str, Any]:
        try:
            *controls, upload = values
            # an empty prompt is no error yet; for a long one the answer says what is cut off
            form = Form(*controls)
            form = form.changed(prompt=((form.prompt or "").strip() and form.prompt) or "anything")
            card = self._card(form.model)
            before = self.models.before_it_starts(card)
            # its words are shown by the page's own route, and cost no time
            form = form.changed(style=None, wildcards=False)
            form = slate.only_supported(form, card, self.task)
            if self.task is Task.TEXT_TO_VIDEO or upload:
                request = slate.to_request(form, upload, self.task)
                fitted, estimate = self.service.estimate(request)
            else:
                fitted, estimate = self._estimate_without_upload(form, card)
                fitted = fitted.model_copy(update={"task": self.task})
        except KinoraError as error:
            return message(error=job_view.error_view(error.as_dict()))
        vram = card.needs.vram_gb
        memory = f", {vram:g} GB" if vram else ""
        width, height = fitted.made_size
        shape = f"{width}×{height}, {slate.seconds_label(fitted.duration_s)}"
        if fitted.windows:
            shape = f"{shape} in {fitted.parts} parts"
        answer = message(line=f"About {job_view.seconds(estimate.seconds)} here{memory} · {shape}")
        try:
            self.models.refuse_what_cannot_run(card, fitted)
        except KinoraError as error:
            answer |= {"line": shape, "error": job_view.error_view(error.as_dict())}
        return answer | {
            "before": before,
            "adjustments": [a.sentence for a in fitted.adjustments],
            "width": width,
            "height": height,
            "rest": knowledge_line(card),
        }

    def _estimate_without_upload(
        self, form: Form, card: ModelCard
    ) -> tuple[FittedRequest, Estimate]:
        """Before a picture or clip is chosen: for the card's own size, as text to video."""
        request = slate.to_request(form.changed(prompt="anything", last_image=None))
        for_all_tasks = card.model_copy(update={"tasks": tuple(Task)})
        fitted = fit(request, for_all_tasks, Limits.from_settings(self.settings))
        return fitted, self.service.estimate_fitted(fitted)

    def restore(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        try:
            job = self._job(event, request)
        except KinoraError:
            return [gr.skip()] * len(Form.names())
        # after a reload the original request, so that a random seed stays random
        as_sent = event.set.get("as") == "asked"
        restored = self._find_sent_request(job) if as_sent else exact_request(job)
        card = self._card(restored.model or job.fitted.model)
        return self._set(slate.from_request(restored, card, self.settings))

    def _find_sent_request(self, job: Job) -> GenerationRequest:
        """The request as it was sent; of a comparison or a batch, what its clips vary."""
        base = self.service.find_batch(job.batch).batch.layout.base if job.batch else None
        if base is not None:
            with suppress(ValidationError):  # an earlier version accepted more
                return GenerationRequest.model_validate(base)
        return asked_request(job)

    def repair(self, event: gr.EventData, request: gr.Request, *values: Any) -> list[Any]:
        """The button of an error: sets the controls to the values that it offers."""
        form = Form(*values)
        try:
            if event.job:
                made = exact_request(self._job(event, request))
                form = slate.from_request(made, self._card(made.model), self.settings)
        except KinoraError as error:
            skipped = [gr.skip()] * len(Form.names())
            return [*skipped, message(error=job_view.error_view(error.as_dict()))]
        repaired = slate.apply_repair(form, event.set)
        if repaired.model != form.model:
            before, card = self._card(form.model), self._card(repaired.model)
            repaired = slate.adapt_to(repaired, before, card, self.task, self.settings)
        return [*self._set(repaired), message()]

    def use_last_frame(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        try:
            job = self._job(event, request)
            stored = self.service.store_last_frame(job.id, owner_of_page(request))
        except KinoraError as error:
            return [gr.skip(), message(error=job_view.error_view(error.as_dict()))]
        return [job.fitted.prompt, message(picture=picture_view(stored))]

    def reset(self, prompt: str, model: str) -> list[Any]:
        form = slate.defaults(self._card(model), self.task, self.settings)
        return self._set(form.changed(prompt=prompt))

    def change_model(self, event: gr.EventData, *values: Any) -> list[Any]:
        """A model was chosen in the picker, or its id was pasted: then it is looked up now."""
        form, before = Form(*values), self._card(str(event.before or ""))
        try:
            card = find_card(form.model or "", self.service.cards)
            if self.task not in card.tasks:
                raise unsupported_task(card, self.task)
        except KinoraError as error:
            back = [gr.skip()] * (len(values) - 2)
            failed = message(error=job_view.error_view(error.as_dict()))
            return [form.prompt, before.id, *back, gr.skip(), gr.skip(), gr.skip(), failed]
        form = slate.adapt_to(form, before, card, self.task, self.settings)
        facts = self.models.facts(card, self.task)
        return [*self._set(form), about(card), self.examples(card), facts, message()]

    def facts_of(self, model: str) -> dict[str, Any]:
        return self.models.facts(self._card(model), self.task)

    def change_fps(self, model: str, fps: int, frames: int) -> Any:
        longest = self.settings.max_video_duration_s
        choices = slate.lengths(self._card(model), int(fps), longest, frames, self.task)
        return gr.update(choices=choices)

    def choose_example(self, model: str, event: gr.EventData, request: gr.Request) -> list[Any]:
        examples = examples_of(self._card(model), self.task)
        index = int(event.index)
        if not 0 <= index < len(examples):
            return [gr.skip(), gr.skip(), gr.skip()]
        example = examples[index]
        seed = "" if example.seed is None else str(example.seed)
        answer, picture = message(), picture_of(example)
        if picture:
            stored = self.service.store_picture(picture.read_bytes(), owner_of_page(request))
            answer = message(picture=picture_view(stored))
        return [example.prompt, seed, answer]

    def examples(self, card: ModelCard) -> list[dict[str, Any]]:
        return [example_view(each) for each in examples_of(card, self.task)]

    def _job(self, event: gr.EventData, request: gr.Request) -> Job:
        return self.service.get(str(event.job), owner_of_page(request))

    def _set(self, form: Form) -> list[Any]:
        """Updates for every control, its choices and bounds included."""
        return updates(form, self._card(form.model), self.task, self.settings)


def message(**content: Any) -> dict[str, Any]:
    """A message to the page. The mark makes it differ from an equal one before it, which Gradio
    would not send again."""
    return {**content, "mark": secrets.token_hex(4)}


def owner_of_page(request: gr.Request) -> str:
    visitor = getattr(request.request.state, "visitor", None) if request.request else None
    return owner_of(visitor or secrets.token_hex(16))


def asked_request(job: Job) -> GenerationRequest:
    """The request as it was sent; of a draft, that of the full clip, without the draft's seed."""
    if job.full_request is None:
        return job.request
    return job.full_request.model_copy(update={"seed": None})


def exact_request(job: Job) -> GenerationRequest:
    """The request that makes the same clip again: with its seed and without defaults. Raises
    KinoraError for a job of an earlier version that accepted more."""
    fitted = job.fitted
    names = set(GenerationRequest.model_fields) & set(type(fitted).model_fields)
    try:
        return GenerationRequest.model_validate({name: getattr(fitted, name) for name in names})
    except ValidationError as error:  # made by an earlier version, which accepted more
        raise invalid_input(error) from error


def picture_view(stored: Any) -> dict[str, Any]:
    return {"id": stored.id, "width": stored.width, "height": stored.height}


def knowledge_line(card: ModelCard) -> str:
    """A sentence about what a small model knows; empty for one that knows more than a list."""
    if not card.knows:
        return ""
    counts = [f"{len(words)} {label}" for label, words in card.knows.items()]
    *most, last = counts
    world = f"{', '.join(most)} and {last}" if most else last
    return f"{card.name} is a real model of a small world: {world}"


def about(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "about": card.about,
        "license": card.license,
        "knows": {label: list(words) for label, words in card.knows.items()},
    }
