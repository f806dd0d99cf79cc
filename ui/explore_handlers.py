"""The handlers of presses that start several clips: drafts and their rendering, comparisons,
batches.

They go through Gradio's queue as those of one clip do (`tab.STARTS`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from errors import ErrorCode, KinoraError
from jobs.job import Job
from pipelines.models.comparison import parse_settings
from pipelines.models.drafts import parse_count
from pipelines.request import GenerationRequest, Task
from ui import batch_view, job_view
from ui.batch_spec import BatchSpec, requests_in
from ui.form import Form, seconds_label
from ui.handlers import Handlers, message, owner_of_page
from ui.routes import in_thread

if TYPE_CHECKING:
    from jobs.batch_plans import BatchPlan

MakePlan = Callable[[str], "BatchPlan"]


class ExploreHandlers(Handlers):
    # ---- drafts

    async def press(self, request: gr.Request, *values: Any) -> AsyncIterator[Any]:
        """Generate: one clip, or as many drafts as the last value says."""
        *inputs, how = values
        count = drafts_in(how)
        if count is None:
            async for update in self.generate(request, *inputs):
                yield update
            return

        def plan(owner: str) -> BatchPlan:
            wanted = self._request(tuple(inputs))
            return self.service.plans.drafts(wanted, parse_count(count), owner)

        async for update in self._start_many(plan, request):
            yield update

    def outlook(self, request: gr.Request, *values: Any) -> dict[str, Any]:
        """The estimate; of drafts, what they take together and what the full clip takes."""
        *inputs, how = values
        answer = self.estimate(*inputs)
        count = drafts_in(how)
        if count is None or "error" in answer:
            return answer
        try:
            wanted = self._request(tuple(_with_a_prompt(inputs)))
            plan = self.service.plans.drafts(wanted, parse_count(count), owner_of_page(request))
        except KinoraError:  # no picture yet; the press says why it is refused
            return answer
        return answer | {"line": self._drafts_line(plan)}

    def _drafts_line(self, plan: BatchPlan) -> str:
        drafts = job_view.seconds(self.service.estimate_plan(plan).seconds)
        full = plan.full or plan.fitted[0]
        whole = job_view.seconds(self.service.estimate_fitted(full).seconds)
        width, height = full.made_size
        length = seconds_label(full.duration_s)
        return (
            f"{len(plan.jobs)} drafts: about {drafts} · the one you pick: about {whole}, "
            f"{width}×{height}, {length}"
        )

    async def render(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        """Submits the full clip of a draft."""
        job_id = str(event.job)

        def render(owner: str) -> Job:
            self.service.get(job_id, owner)
            return self.service.render(job_id, owner, reuse=True)

        async for update in self._start(render, request):
            yield update

    async def make_again(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        """Submits a clip of a batch again, in its cell."""

        def make_again(owner: str) -> list[Job]:
            job = self.service.get(str(event.job), owner)
            return [self.service.make_again(job.id, owner)]

        async for update in self._start_batch(make_again, request):
            yield update

    # ---- several clips

    def plan(self, event: gr.EventData, request: gr.Request, *values: Any) -> dict[str, Any]:
        """What a comparison or a batch would be, as it is written down; `number` is the page's, so
        that it can leave out answers that are old."""
        answer = {"number": event.number}
        try:
            plan = self._plan(event.spec, values, owner_of_page(request))
            answer |= batch_view.plan_view(self.service, plan)
        except KinoraError as error:
            answer |= {"error": job_view.error_view(error.as_dict())}
        return message(plan=answer)

    async def start_plan(
        self, event: gr.EventData, request: gr.Request, *values: Any
    ) -> AsyncIterator[Any]:
        """Starts it."""
        spec = event.spec
        async for update in self._start_many(
            lambda owner: self._plan(spec, values, owner), request
        ):
            yield update

    def _plan(self, spec: Any, values: Sequence[Any], owner: str) -> BatchPlan:
        """`spec` is {"compare": settings} or {"batch": `BatchSpec`}; `values` are the controls, the
        upload and `how`. Raises KinoraError."""
        *inputs, _how = values
        match spec:
            case {"compare": source}:
                settings = parse_settings(source)
                return self.service.plans.comparison(self._request(tuple(inputs)), settings, owner)
            case {"batch": source}:
                requests = self._batch(BatchSpec.parse(source), inputs, owner)
                return self.service.plans.batch(requests, owner, self._as_written(tuple(inputs)))
            case _:
                raise KinoraError(ErrorCode.INVALID_INPUT)

    def _batch(self, spec: BatchSpec, inputs: Sequence[Any], owner: str) -> list[GenerationRequest]:
        *controls, upload = inputs
        form = Form(*controls)

        def build(prompt: str | None, image: str | None) -> GenerationRequest:
            written = form if prompt is None else form.changed(prompt=prompt)
            return self._request((*written, {"id": image} if image else upload))

        return requests_in(
            spec,
            build,
            lambda request: self.service.fit(request, owner),
            has_picture=bool(upload) or self.task is Task.TEXT_TO_VIDEO,
            most=self.settings.max_batch,
        )

    async def _start_many(self, plan: MakePlan, request: gr.Request) -> AsyncIterator[Any]:
        def start(owner: str) -> list[Job]:
            return self.service.submit_plan(plan(owner), owner)

        async for update in self._start_batch(start, request):
            yield update

    async def _start_batch(
        self, start: Callable[[str], Sequence[Job]], request: gr.Request
    ) -> AsyncIterator[Any]:
        """The page requests the batch itself; on ZeroGPU it then sends a web request for each clip
        that needs one."""
        try:
            jobs = await in_thread(start, owner_of_page(request))
        except KinoraError as error:
            yield message(error=job_view.error_view(error.as_dict()))
            return
        first = jobs[0]
        yield message(batch={"id": first.batch, "task": first.fitted.task.value})


def drafts_in(how: Any) -> Any:
    """How many drafts a press makes, as the page sent it; None for one clip."""
    return how.get("drafts") if isinstance(how, Mapping) else None


def _with_a_prompt(inputs: Sequence[Any]) -> list[Any]:
    """For an estimate, which does not depend on the prompt."""
    *controls, upload = inputs
    form = Form(*controls)
    has_one = bool((form.prompt or "").strip())
    return [*(form if has_one else form.changed(prompt="anything")), upload]
