"""What programs may call without waiting: start a clip or a batch, look at it, discard it.

These are endpoints of `gradio_client` and tools of MCP alike; a model reads the docstrings.
Knows Gradio's API side. Who calls is told by whoever builds the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import gradio as gr
from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from jobs.job import Job, State
from pipelines.request import GenerationRequest, Task
from ui import job_view
from ui.form import as_kinora_error
from ui.gradio_api import sentences
from web.addresses import public_root

if TYPE_CHECKING:
    from starlette.requests import Request

    from jobs.service import JobService


class Caller(Protocol):
    @property
    def owner(self) -> str: ...
    @property
    def quota(self) -> str | None: ...
    def may_see(self, job: Job) -> bool: ...


Identify = Callable[["Request"], Caller]


def add(service: JobService, identify: Identify) -> None:
    """Add the endpoints to the Blocks that is being built."""

    def make_clip(
        prompt: str,
        negative_prompt: str | None = None,
        model: str | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        duration_s: float | None = None,
        request: gr.Request = None,  # type: ignore[assignment]  # given by Gradio
    ) -> dict[str, Any]:
        """Start a video clip from words and return at once with its job_id. Ask clip_state for
        it; a clip takes seconds to minutes.

        Args:
            prompt: What should happen in the clip.
            negative_prompt: What should not be in it. Left out: the model's own.
            model: A model's id, as `models` lists them. Left out: the default.
            seed: The same seed and settings give the same clip. Left out, or -1: a new one each
                time.
            num_inference_steps: Sampling steps. Left out: the model's own.
            guidance_scale: How closely to follow the words. Left out: the model's own.
            width: Pixels. Left out: the model's own.
            height: Pixels. Left out: the model's own.
            duration_s: Seconds. Left out: the model's own.
        """
        asked = {
            "prompt": prompt,
            "negative_prompt": negative_prompt,
            "model": model,
            "seed": seed,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "width": width,
            "height": height,
            "duration_s": duration_s,
        }
        with sentences():
            caller = _caller(service, identify, request)
            job = service.submit(_request(asked), caller.owner, reuse=True)
            service.use_quota(job, caller.quota)
            return _state(service, job, public_root(_raw(request)))

    def continue_clip(
        job_id: str,
        prompt: str,
        duration_s: float | None = None,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> dict[str, Any]:
        """Start a longer clip: it goes on from a finished one, and both are in one file. Returns
        at once with a job_id of its own; ask clip_state for it.

        Args:
            job_id: The finished clip, as make_clip returned it.
            prompt: What should happen next.
            duration_s: Seconds to add. Left out: the model's own length.
        """
        with sentences():
            caller = _caller(service, identify, request)
            before = _job(service, identify, request, job_id)
            asked = {
                "prompt": prompt,
                "duration_s": duration_s,
                "continue_from": service.store_finished_clip(before.id, caller.owner).id,
            }
            card = service.cards.get(before.fitted.model)
            if card is not None and Task.IMAGE_TO_VIDEO in card.tasks:
                asked["model"] = card.id
            job = service.submit(_request(asked), caller.owner, parent=before.id)
            service.use_quota(job, caller.quota)
            return _state(service, job, public_root(_raw(request)))

    def clip_state(
        job_id: str,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> dict[str, Any]:
        """Say how far a clip is: queued, running, succeeded, failed or cancelled, with progress
        from 0 to 1 and the seconds still to wait. Once it succeeded, `url` is the file.

        Args:
            job_id: What make_clip returned.
        """
        with sentences():
            job = _job(service, identify, request, job_id)
            return _state(service, job, public_root(_raw(request)))

    def discard_clip(
        job_id: str,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> dict[str, Any]:
        """Stop a clip that waits or is being made. Nothing of it is kept.

        Args:
            job_id: What make_clip returned.
        """
        with sentences():
            job = _job(service, identify, request, job_id)
            return _state(service, service.cancel(job.id), public_root(_raw(request)))

    def make_batch(
        prompts: list[str],
        model: str | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> dict[str, Any]:
        """Start one clip for each prompt and return at once. Follow them with batch_state.

        Args:
            prompts: What should happen in each clip.
            model: A model's id for all of them. Left out: the default.
            seed: One seed for all of them. Left out: a new one for each.
            num_inference_steps: Sampling steps. Left out: the model's own.
        """
        common = {"model": model, "seed": seed, "num_inference_steps": num_inference_steps}
        with sentences():
            caller = _caller(service, identify, request)
            wanted = [_request({"prompt": prompt, **common}) for prompt in prompts]
            jobs = service.submit_batch(wanted, caller.owner, reuse=True)
            for job in jobs:
                service.use_quota(job, caller.quota)
            return _batch(service, jobs, public_root(_raw(request)))

    def batch_state(
        batch_id: str,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> dict[str, Any]:
        """Say how far the clips of a batch are, each and all together.

        Args:
            batch_id: What make_batch returned.
        """
        with sentences():
            jobs, caller = service.batch(batch_id), identify(request.request)  # type: ignore[arg-type]
            if not jobs or not caller.may_see(jobs[0]):
                raise KinoraError(ErrorCode.NOT_FOUND, "There is no such batch here.")
            for job in jobs:
                service.use_quota(job, caller.quota)
            return _batch(service, jobs, public_root(_raw(request)))

    tools = (make_clip, continue_clip, clip_state, discard_clip, make_batch, batch_state)
    for function in tools:
        gr.api(function, api_name=function.__name__, concurrency_limit=None)


def _request(asked: dict[str, Any]) -> GenerationRequest:
    try:
        return GenerationRequest.model_validate(asked)
    except ValidationError as error:
        raise as_kinora_error(error) from None


def _caller(service: JobService, identify: Identify, request: gr.Request) -> Caller:
    caller = identify(request.request)  # type: ignore[arg-type]
    if service.needs_request and not caller.quota:
        raise KinoraError(
            ErrorCode.UNAVAILABLE,
            "This Space makes clips with the caller's own GPU quota, and this call came without "
            "the Hub's token for it (X-IP-Token). Call it at the Space's hf.space address.",
        )
    return caller


def _job(service: JobService, identify: Identify, request: gr.Request, job_id: str) -> Job:
    job, caller = service.get(job_id), identify(request.request)  # type: ignore[arg-type]
    if not caller.may_see(job):
        raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
    service.use_quota(job, caller.quota)
    return job


def _raw(request: gr.Request) -> Request:
    if request.request is None:
        raise RuntimeError("Gradio called a tool without the web request")
    return request.request


def _state(service: JobService, job: Job, root: str) -> dict[str, Any]:
    """`root` is where the caller reaches this app: an agent has no page to resolve a path on."""
    seen = job_view.Progress.of(service.events(job.id))
    state: dict[str, Any] = {
        "job_id": job.id,
        "state": job.state.value,
        "progress": round(seen.ring, 4),
        "eta_seconds": None if job.state.ended else service.eta_s(job.id),
        "line": job_view.line(job, seen, None, None),
        "waits_for": service.waits_for(job),
        "used": job_view.used(job),
    }
    if job.result and job.result.gone:
        state["gone"] = job.result.gone.sentence
    elif job.state is State.SUCCEEDED:
        state["url"] = f"{root}/api/result/{job.id}"
        state["reused"] = bool(job.result and job.result.reused)
    if job.error:
        state["error"] = job.error
    return state


def _batch(service: JobService, jobs: list[Job], root: str) -> dict[str, Any]:
    states = [_state(service, job, root) for job in jobs]
    done = sum(1.0 if job.state.ended else state["progress"] for job, state in zip(jobs, states))  # noqa: B905
    return {
        "batch_id": jobs[0].batch,
        "ended": all(job.state.ended for job in jobs),
        "progress": round(done / len(jobs), 4),
        "clips": states,
    }
