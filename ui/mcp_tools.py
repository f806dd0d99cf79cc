"""Endpoints that do not wait: start a clip, drafts or a batch, follow it, discard it.

They are endpoints of `gradio_client` and tools of MCP alike; a model reads their descriptions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import gradio as gr

from errors import ErrorCode, KinoraError
from jobs.batch import BatchState
from jobs.job import Job, State
from pipelines.models.comparison import parse_settings
from pipelines.models.drafts import MAX_DRAFTS, MIN_DRAFTS, USUAL_DRAFTS, parse_count
from pipelines.request import REQUEST_FIELDS, GenerationRequest, Task
from pipelines.request_csv import parse_csv
from pipelines.request_fields import Kind, by_group
from ui import job_view
from ui.endpoint_parameters import EndpointParameter, endpoint, parameters_for
from ui.gradio_api import errors_for_gradio
from web.addresses import public_root

if TYPE_CHECKING:
    from starlette.requests import Request

    from jobs.service import JobService


class ToolCaller(Protocol):
    @property
    def owner(self) -> str: ...
    @property
    def quota(self) -> str | None: ...
    @property
    def limited_as(self) -> str: ...
    def may_see(self, job: Job) -> bool: ...
    def named(self) -> str: ...


Identify = Callable[["Request"], ToolCaller]


IN_A_BATCH = ("model", "seed", "num_inference_steps", "style", "wildcards", "wildcard_seed")


class Tools:
    def __init__(self, service: JobService, identify: Identify) -> None:
        self.service = service
        self.identify = identify

    def add(self) -> None:
        """Add the tools to the Blocks that is being built."""
        for function in self._functions():
            gr.api(function, api_name=function.__name__, concurrency_limit=None)

    def _functions(self) -> Iterator[Callable[..., Any]]:
        fields = by_group(REQUEST_FIELDS.values())
        job_id = EndpointParameter("job_id", help="What make_clip returned.")
        yield self._tool(
            self.make_clip,
            """Start a video clip from words and return at once with its job_id. Call clip_state
            to follow it; a clip takes seconds to minutes.""",
            parameters_for(field for field in fields if field.in_make_clip),
        )
        yield self._tool(
            self.continue_clip,
            """Start a longer clip: it continues a finished one, and both are in one file. Returns
            at once with a job_id of its own; call clip_state to follow it.""",
            [
                replace(job_id, help="The finished clip, as make_clip returned it."),
                EndpointParameter("prompt", help="What should happen next."),
                EndpointParameter(
                    "duration_s", Kind.NUMBER, is_optional=True, default=None,
                    help="Seconds to add. Left out: the model's own length.",
                ),
            ],
        )  # fmt: skip
        yield self._tool(
            self.clip_state,
            """Report how far a clip is: queued, running, succeeded, failed or cancelled, with
            progress from 0 to 1 and the seconds still to wait. Once it succeeded, `url` is the
            file.""",
            [job_id],
        )
        yield self._tool(
            self.discard_clip,
            "Stop a clip that is queued or running. Nothing of it is kept.",
            [job_id],
        )
        yield self._tool(
            self.make_batch,
            "Start one clip for each prompt and return at once. Call batch_state to follow them.",
            [
                EndpointParameter(
                    "prompts", type=list[str], help="What should happen in each clip."
                ),
                *parameters_for(field for field in fields if field.name in IN_A_BATCH),
            ],
        )
        yield self._tool(
            self.make_batch_from_csv,
            """Start one clip for each line of a CSV and return at once. Call batch_state to follow
            them. An error names its line and column, and then no clip is started.""",
            [
                EndpointParameter(
                    "csv",
                    help="The text of the file. Its first line names settings of a clip, such as "
                    "prompt,seed,steps,style; an empty cell leaves its setting out.",
                ),
                *parameters_for(field for field in fields if field.name in IN_A_BATCH),
            ],
        )
        yield self._tool(
            self.batch_state,
            """Report how far the clips of a batch are, each and all together, and how they are
            arranged. Once some are finished, `sheet` is a picture of all, `grid` a video, and
            `zip` has the files.""",
            [
                EndpointParameter(
                    "batch_id", help="What make_batch, start_drafts or compare returned."
                )
            ],
        )
        yield self._tool(
            self.start_drafts,
            """Start quick drafts of one clip with different seeds and return at once. Call
            batch_state to follow them, and render_draft for the best one. Each takes a fraction of
            the full clip's time.""",
            [
                *parameters_for(field for field in fields if field.in_make_clip),
                EndpointParameter(
                    "drafts", Kind.INTEGER, is_optional=True, default=USUAL_DRAFTS,
                    help=f"How many, from {MIN_DRAFTS} to {MAX_DRAFTS}.",
                ),
            ],
        )  # fmt: skip
        yield self._tool(
            self.render_draft,
            """Start the full clip of a draft, with the same seed, and return at once with a job_id
            of its own. The draft need not be finished.""",
            [replace(job_id, help="The draft, as start_drafts or batch_state returned it.")],
        )
        yield self._tool(
            self.make_clip_from_look,
            """Start a clip with the prompt and settings of a look that you saved, and return at
            once with its job_id. Call looks for their names.""",
            [
                EndpointParameter("name", help="The look's name."),
                EndpointParameter(
                    "prompt", is_optional=True, default=None,
                    help="Another prompt. Left out: the look's own.",
                ),
                EndpointParameter(
                    "seed", Kind.INTEGER, is_optional=True, default=None,
                    help="Another seed. Left out: the look's own, or a new one.",
                ),
            ],
        )  # fmt: skip
        settings = EndpointParameter(
            "settings",
            type=list[str],
            help="One or two, each with at most 5 values: guidance_scale=2,4,6 or model=a,b or "
            "prompt=dog=>dog,dog=>cat, which replaces words of the prompt.",
        )
        prompt, *others = parameters_for(field for field in fields if field.in_make_clip)
        yield self._tool(
            self.compare,
            """Start one clip for each value of a setting, or for each pair of values of two, all
            with the same seed, and return at once. Call batch_state to follow them; once they are
            finished, `sheet` and `grid` show all of them with labels.""",
            [prompt, settings, *others],
        )
        yield self._tool(
            self.discard_batch,
            "Stop all clips of a batch that are queued or running. Finished ones are kept.",
            [EndpointParameter("batch_id", help="The batch to stop.")],
        )
        yield self._tool(
            self.make_again,
            """Start a clip again that failed, was discarded or is not kept any more, with the same
            seed. In a batch it takes the place of the old one.""",
            [replace(job_id, help="The clip that failed.")],
        )

    def _tool(
        self,
        handler: Callable[[dict[str, Any], gr.Request], dict[str, Any]],
        doc: str,
        parameters: Sequence[EndpointParameter],
    ) -> Callable[..., Any]:
        doc = inspect.cleandoc(doc)
        return endpoint(handler, handler.__name__, doc, parameters)

    def make_clip(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            caller = self._caller(request)
            wanted = GenerationRequest.model_validate(arguments)
            job = self.service.submit(wanted, caller.owner, reuse=True)
            return self._started(job, caller, request)

    def continue_clip(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            caller = self._caller(request)
            before = self._job(arguments.pop("job_id"), request)
            values = arguments | {
                "continue_from": self.service.store_finished_clip(before.id, caller.owner).id,
            }
            card = self.service.cards.get(before.fitted.model)
            if card is not None and Task.IMAGE_TO_VIDEO in card.tasks:
                values["model"] = card.id
            wanted = GenerationRequest.model_validate(values)
            job = self.service.submit(wanted, caller.owner, parent=before.id)
            return self._started(job, caller, request)

    def clip_state(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            return self._state(self._job(arguments["job_id"], request), request)

    def discard_clip(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            job = self._job(arguments["job_id"], request)
            return self._state(self.service.cancel(job.id), request)

    def make_batch(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        prompts = arguments.pop("prompts")
        with errors_for_gradio():
            caller = self._caller(request)
            wanted = [GenerationRequest.model_validate(arguments | {"prompt": p}) for p in prompts]
            jobs = self.service.submit_batch(wanted, caller.owner, reuse=True)
            return self._batch(jobs[0].batch, caller, request)

    def make_batch_from_csv(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        text = arguments.pop("csv")
        with errors_for_gradio():
            caller = self._caller(request)
            wanted: list[GenerationRequest] = []
            for row in parse_csv(text, self.service.settings.max_batch):
                made = row.build(arguments, {})
                row.check(made, partial(self.service.fit, owner=caller.owner))
                wanted.append(made)
            jobs = self.service.submit_batch(wanted, caller.owner, reuse=True)
            return self._batch(jobs[0].batch, caller, request)

    def start_drafts(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        count = arguments.pop("drafts")
        count = USUAL_DRAFTS if count is None else count
        with errors_for_gradio():
            caller = self._caller(request)
            wanted = GenerationRequest.model_validate(arguments)
            jobs = self.service.submit_plan(
                self.service.plans.drafts(wanted, parse_count(count), caller.owner),
                caller.owner,
                reuse=True,
            )
            return self._batch(jobs[0].batch, caller, request)

    def render_draft(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            caller = self._caller(request)
            draft = self._job(arguments["job_id"], request)
            job = self.service.render(draft.id, caller.owner, reuse=True)
            return self._started(job, caller, request)

    def make_clip_from_look(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            caller = self._caller(request)
            look = self.service.looks.get(caller.named(), arguments.pop("name"))
            changed = {name: value for name, value in arguments.items() if value is not None}
            wanted = GenerationRequest.model_validate(look.settings | changed)
            job = self.service.submit(wanted, caller.owner, reuse=True)
            return self._started(job, caller, request)

    def compare(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        settings = arguments.pop("settings")
        with errors_for_gradio():
            caller = self._caller(request)
            wanted = GenerationRequest.model_validate(arguments)
            plan = self.service.plans.comparison(wanted, parse_settings(settings), caller.owner)
            jobs = self.service.submit_plan(plan, caller.owner, reuse=True)
            return self._batch(jobs[0].batch, caller, request)

    def batch_state(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            return self._batch(arguments["batch_id"], self.identify(_web_request(request)), request)

    def discard_batch(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            caller = self.identify(_web_request(request))
            found = self._found(arguments["batch_id"], caller)
            for job in reversed(
                found.jobs
            ):  # those that wait first, or they would begin in between
                self.service.cancel(job.id)
            return self._batch(found.batch.id, caller, request)

    def make_again(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            caller = self._caller(request)
            before = self._job(arguments["job_id"], request)
            return self._started(self.service.make_again(before.id, caller.owner), caller, request)

    def _caller(self, request: gr.Request) -> ToolCaller:
        caller = self.identify(_web_request(request))
        if self.service.needs_request and not caller.quota:
            raise KinoraError(
                ErrorCode.UNAVAILABLE,
                "This Space makes clips with the caller's own GPU quota, and this call came "
                "without the Hub's token for it (X-IP-Token). Call it at the Space's hf.space "
                "address.",
            )
        return caller

    def _job(self, job_id: str, request: gr.Request) -> Job:
        job, caller = self.service.get(job_id), self.identify(_web_request(request))
        if not caller.may_see(job):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
        self.service.use_quota(job, caller.quota)
        return job

    def _started(self, job: Job, caller: ToolCaller, request: gr.Request) -> dict[str, Any]:
        self.service.use_quota(job, caller.quota)
        return self._state(job, request)

    def _state(self, job: Job, request: gr.Request) -> dict[str, Any]:
        """With the public address of the file: an agent has no page to resolve a path on."""
        seen = job_view.Progress.of(self.service.events(job.id))
        state: dict[str, Any] = {
            "job_id": job.id,
            "state": job.state.value,
            "progress": round(seen.ring, 4),
            "eta_seconds": None if job.state.ended else self.service.eta_s(job.id),
            "line": job_view.line(job, seen, None, None),
            "waits_for": self.service.waits_for(job),
            "used": job_view.used(job),
        }
        if job.result and job.result.gone:
            state["gone"] = job.result.gone.sentence
        elif job.state is State.SUCCEEDED:
            state["url"] = f"{public_root(_web_request(request))}/api/result/{job.id}"
            state["reused"] = bool(job.result and job.result.reused)
        if job.error:
            state["error"] = job.error
        return state

    def _found(self, batch_id: str | None, caller: ToolCaller) -> BatchState:
        found = self.service.find_batch(batch_id or "")
        if not caller.may_see(found.jobs[0]):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such batch here.")
        return found

    def _batch(
        self, batch_id: str | None, caller: ToolCaller, request: gr.Request
    ) -> dict[str, Any]:
        found = self._found(batch_id, caller)
        for job in found.jobs:
            self.service.use_quota(job, caller.quota)
        states = [self._state(job, request) for job in found.jobs]
        done = sum(
            1.0 if job.state.ended else state["progress"]
            for job, state in zip(found.jobs, states, strict=True)
        )
        batch, layout = found.batch, found.batch.layout
        state: dict[str, Any] = {
            "batch_id": batch.id,
            "ended": found.has_ended,
            "progress": round(done / len(states), 4),
            "clips": states,
            "kind": batch.kind,
            "axes": [axis.model_dump() for axis in layout.axes],
            "cells": [cell.model_dump() for cell in layout.cells],
        }
        if any(job.state is State.SUCCEEDED for job in found.jobs):
            here = f"{public_root(_web_request(request))}/api/batches/{batch.id}"
            names = {"sheet": "sheet.png", "grid": "grid.mp4", "zip": "clips.zip"}
            state |= {name: f"{here}/{file}" for name, file in names.items()}
        return state


def _web_request(request: gr.Request) -> Request:
    if request.request is None:
        raise RuntimeError("Gradio called a tool without the web request")
    return request.request
