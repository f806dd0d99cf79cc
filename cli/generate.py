"""From the words of a command line to a finished clip.

Knows the request, the service and the foreground executor. Does not know how commands are parsed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from pydantic import ValidationError

from cli.output import Output
from cli.terminal import ProgressLine, say
from errors import ErrorCode, KinoraError
from pipelines.field_types import NUMBER, sentence_about, wrong_fields
from pipelines.request import GenerationRequest
from settings import Settings

if TYPE_CHECKING:
    from jobs.executor import Executor
    from jobs.job import Job
    from jobs.service import JobService

    BuildService = Callable[[Settings, Executor], JobService]

OWNER = "cli"
NAMES = {
    "prompt": "The prompt",
    "negative_prompt": "--negative",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "num_frames": "--frames",
    "duration_s": "--duration",
    "motion_bucket_id": "--motion",
    "loras": "--lora",
}
"""What a field of the request is called here, where that is not `--field`."""


def request_from(**fields: object) -> GenerationRequest:
    try:
        return GenerationRequest.model_validate(fields)
    except ValidationError as error:
        field, why = wrong_fields(error)[0]
        name = field.partition(".")[0]
        option = NAMES.get(name, f"--{name.replace('_', '-')}")
        raise KinoraError(
            ErrorCode.INVALID_INPUT, sentence_about(field, why, option), details={"field": name}
        ) from error


def lora_from(text: str, settings: Settings) -> dict[str, object]:
    """NAME or NAME:WEIGHT. A name may have colons itself: a file that is called so comes first,
    then what follows the last colon is the weight."""
    name, colon, weight = text.rpartition(":")
    if not colon or _is_a_file(text, settings):
        return {"source": text}
    if NUMBER.fullmatch(weight.strip()):
        return {"source": name, "weight": weight}
    sentence = f"--lora cannot be used: “{weight}” in “{text}” is no weight. Write NAME:0.8."
    raise KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": "loras"})


def _is_a_file(name: str, settings: Settings) -> bool:
    from pipelines.models.loras import here

    try:
        return here(name, settings) is not None
    except KinoraError:  # a pickle's name
        return False


class Gifts(NamedTuple):
    """The files that were named beside the words, known to be there and not too large."""

    image: bytes | None = None
    last_image: bytes | None = None
    video: Path | None = None

    @classmethod
    def read(
        cls, image: Path | None, last_image: Path | None, video: Path | None, settings: Settings
    ) -> Gifts:
        if video is not None and not video.is_file():
            raise KinoraError(ErrorCode.INVALID_VIDEO, f"There is no clip {video}.")
        return cls(
            image=picture_bytes(image, settings) if image else None,
            last_image=picture_bytes(last_image, settings) if last_image else None,
            video=video,
        )

    def given_to(self, service: JobService, request: GenerationRequest) -> GenerationRequest:
        named: dict[str, str] = {}
        for field in ("image", "last_image"):
            data = getattr(self, field)
            if data is not None:
                named[field] = service.store_picture(data, OWNER).id
        if self.video is not None:
            named["video"] = service.store_video(self.video, OWNER).id
        return request.model_copy(update=named)


def picture_bytes(image: Path, settings: Settings) -> bytes:
    if not image.is_file():
        raise KinoraError(ErrorCode.INVALID_IMAGE, f"There is no picture {image}.")
    if image.stat().st_size > settings.max_image_bytes:
        sentence = f"The picture is larger than {settings.max_image_mb:g} MB. Use a smaller one."
        raise KinoraError(ErrorCode.TOO_LARGE, sentence)
    try:
        return image.read_bytes()
    except OSError as error:
        raise KinoraError(ErrorCode.INVALID_IMAGE, f"{image} cannot be read.") from error


def make(
    build_service: BuildService,
    settings: Settings,
    request: GenerationRequest,
    gifts: Gifts,
) -> tuple[Job, Path]:
    """The job of every door, made in this thread."""
    from jobs.job import State
    from jobs.workers.foreground import ForegroundExecutor

    nobody_waits = {"max_queue": sys.maxsize, "max_jobs_per_visitor": sys.maxsize}
    settings = settings.model_copy(update=nobody_waits | {"previews": False})
    executor = ForegroundExecutor(settings)
    service = build_service(settings, executor)
    progress = ProgressLine()
    service.subscribe(progress.on_event)
    try:
        service.start_command()
        job = service.submit(gifts.given_to(service, request), OWNER)
        device = executor.find_device()
        if device.problem:
            say(f"{device.problem} The clip is made on the CPU.")
        with progress:
            executor.run(job.id)
        job = service.get(job.id)
        if job.state is not State.SUCCEEDED:
            raise _failure(job)
        return job, service.clip_path(job.id)
    except BaseException:
        executor.end()
        raise
    finally:
        service.close()


def develop_again(
    build_service: BuildService,
    settings: Settings,
    job_id: str,
    output: Output | None = None,
) -> tuple[Job, Path]:
    """A failed clip from what was sampled of it, in this thread."""
    from jobs.job import State
    from jobs.workers.foreground import ForegroundExecutor

    executor = ForegroundExecutor(settings)
    service = build_service(settings, executor)
    progress = ProgressLine()
    service.subscribe(progress.on_event)
    try:
        service.start_command()
        if output:
            output.check_format(service.get(job_id).fitted.format)
        if service.retry_decode(job_id).state is not State.QUEUED:
            raise KinoraError(ErrorCode.CONFLICT, "This clip is being made already.")
        with progress:
            executor.run(job_id)
        job = service.get(job_id)
        if job.state is not State.SUCCEEDED:
            raise _failure(job)
        return job, service.clip_path(job.id)
    except BaseException:
        executor.end()
        raise
    finally:
        service.close()


def _failure(job: Job) -> Exception:
    from jobs.checkpoint import KEPT

    error = KinoraError.from_dict(job.error) if job.error else KinoraError(ErrorCode.CANCELLED)
    say(error.message)
    if error.details.get(KEPT):
        say(f"What was sampled is kept. To try again: python app.py retry-decode {job.id}")
    if error.code is ErrorCode.INTERNAL:
        say("Run it again with --verbose to see why.")
    return typer.Exit(1)


def about(job: Job, path: Path | str) -> dict[str, Any]:
    result, fitted = job.result, job.fitted
    if result is None:
        raise ValueError("a clip without a result")
    return {
        "path": str(path),
        "id": job.id,
        "task": fitted.task.value,
        "model": fitted.model,
        "prompt": fitted.prompt,
        "negative_prompt": fitted.negative_prompt,
        "seed": fitted.seed,
        "steps": result.steps_done,
        "guidance": fitted.guidance_scale,
        "strength": fitted.strength,
        "motion": fitted.motion_bucket_id,
        "sampler": fitted.sampler,
        "loras": [lora.model_dump() for lora in fitted.loras],
        "upscale": fitted.upscale,
        "width": result.width,
        "height": result.height,
        "frames": result.num_frames,
        "fps": result.fps,
        "duration_s": result.num_frames / result.fps,
        "format": fitted.format,
        "size_bytes": result.size_bytes,
        "seconds": result.seconds,
        "adjustments": [a.sentence for a in (*fitted.adjustments, *result.adjustments)],
    }
