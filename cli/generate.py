"""From the values of a command line to a finished clip, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from pydantic import ValidationError

from cli.output import Output
from cli.terminal import ProgressLine, say
from errors import ErrorCode, KinoraError
from media.image_limits import check_bytes
from pipelines.field_types import NUMBER
from pipelines.request import REQUEST_FIELDS, GenerationRequest
from pipelines.request_fields import Kind, names_of
from pipelines.validation_errors import invalid_input, unusable
from settings import Settings

if TYPE_CHECKING:
    from jobs.executor import Executor
    from jobs.job import Job
    from jobs.service import JobService

    BuildService = Callable[[Settings, Executor | None], JobService]

OWNER = "cli"
PICTURES = names_of(REQUEST_FIELDS.values(), Kind.PICTURE)
CLIPS = names_of(REQUEST_FIELDS.values(), Kind.CLIP)


def request_from(options: Mapping[str, Any], settings: Settings) -> GenerationRequest:
    """The request of a command line's values. Its files are stored later."""
    fields = {
        name: value
        for name, value in options.items()
        if value is not None and name not in (*PICTURES, *CLIPS)
    }
    for name, field in REQUEST_FIELDS.items():
        if field.kind is Kind.LORAS and name in fields:
            fields[name] = [lora_from(each, settings) for each in fields[name]]
        if field.operator_setting and field.kind is Kind.CHOICE and name not in fields:
            fields[name] = getattr(settings, field.operator_setting)
    try:
        return GenerationRequest.model_validate(fields)
    except ValidationError as error:
        raise invalid_input(error) from error


def lora_from(text: str, settings: Settings) -> dict[str, object]:
    """NAME or NAME:WEIGHT. A name may contain colons: a file of that whole name comes first, else
    what follows the last colon is the weight."""
    name, colon, weight = text.rpartition(":")
    if not colon or _is_a_file(text, settings):
        return {"source": text}
    if NUMBER.fullmatch(weight.strip()):
        return {"source": name, "weight": weight}
    raise unusable("loras", f"“{weight}” in “{text}” is no weight. Write NAME:0.8")


def _is_a_file(name: str, settings: Settings) -> bool:
    from pipelines.models.loras import find_local

    try:
        return find_local(name, settings) is not None
    except KinoraError:  # the name of a pickle
        return False


class InputFiles(NamedTuple):
    """The files that the options name, known to exist and not to be too large."""

    pictures: Mapping[str, bytes]
    clips: Mapping[str, Path]

    @classmethod
    def read(cls, options: Mapping[str, Any], settings: Settings) -> InputFiles:
        clips = {name: options[name] for name in CLIPS if options.get(name)}
        for path in clips.values():
            if not path.is_file():
                raise KinoraError(ErrorCode.INVALID_VIDEO, f"There is no clip {path}.")
        pictures = {name: options[name] for name in PICTURES if options.get(name)}
        return cls({name: picture_bytes(p, settings) for name, p in pictures.items()}, clips)

    def stored_for(self, request: GenerationRequest, service: JobService) -> GenerationRequest:
        """The request with the ids under which the files are stored."""
        ids = {name: service.store_picture(data, OWNER).id for name, data in self.pictures.items()}
        ids |= {name: service.store_video(path, OWNER).id for name, path in self.clips.items()}
        return request.model_copy(update=ids)


def picture_bytes(image: Path, settings: Settings) -> bytes:
    if not image.is_file():
        raise KinoraError(ErrorCode.INVALID_IMAGE, f"There is no picture {image}.")
    check_bytes(image.stat().st_size, settings.max_image_bytes)
    try:
        return image.read_bytes()
    except OSError as error:
        raise KinoraError(ErrorCode.INVALID_IMAGE, f"{image} cannot be read.") from error


def make(
    build_service: BuildService,
    settings: Settings,
    request: GenerationRequest,
    files: InputFiles,
) -> tuple[Job, Path]:
    """Submits the job and runs it in this thread."""

    def submit(service: JobService) -> Job:
        return service.submit(files.stored_for(request, service), OWNER)

    return run_here(build_service, settings, submit)


def render_draft(
    build_service: BuildService, settings: Settings, job_id: str, output: Output | None = None
) -> tuple[Job, Path]:
    """Makes the full clip of a draft, in this thread."""

    def submit(service: JobService) -> Job:
        if output:
            output.check_format(service.get(job_id).fitted.format)
        return service.render(job_id, OWNER)

    return run_here(build_service, settings, submit)


def retry_decoding(
    build_service: BuildService,
    settings: Settings,
    job_id: str,
    output: Output | None = None,
) -> tuple[Job, Path]:
    """Decodes a failed clip again from its checkpoint, in this thread."""
    from jobs.job import State

    def submit(service: JobService) -> Job:
        if output:
            output.check_format(service.get(job_id).fitted.format)
        job = service.retry_decode(job_id)
        if job.state is not State.QUEUED:
            raise KinoraError(ErrorCode.CONFLICT, "This clip is being made already.")
        return job

    return run_here(build_service, settings, submit)


def run_here(
    build_service: BuildService,
    settings: Settings,
    submit: Callable[[JobService], Job],
    *,
    is_edit: bool = False,
) -> tuple[Job, Path]:
    """Runs the job that `submit` accepts, in this thread. An edit needs no torch."""
    from jobs.job import State
    from jobs.workers.foreground import ForegroundExecutor

    nobody_waits = {"max_queue": sys.maxsize, "max_jobs_per_visitor": sys.maxsize}
    settings = settings.model_copy(update=nobody_waits | {"previews": False})
    executor = ForegroundExecutor(settings)
    service = build_service(settings, executor)
    progress = ProgressLine(is_edit=is_edit)
    service.subscribe(progress.on_event)
    try:
        service.start_command()
        job = submit(service)
        device = None if is_edit else executor.find_device()
        if device and device.problem:
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


def _failure(job: Job) -> Exception:
    from jobs.checkpoint import KEPT

    error = KinoraError.from_dict(job.error) if job.error else KinoraError(ErrorCode.CANCELLED)
    say(error.message)
    if error.details.get(KEPT):
        say(f"The sampled latents are kept. To try again: python app.py retry-decode {job.id}")
    if error.code is ErrorCode.INTERNAL:
        say("Run it again with --verbose to see why.")
    return typer.Exit(1)
