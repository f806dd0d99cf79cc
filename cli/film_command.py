"""`python app.py film`: makes several shots in this process and joins them to a film."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clip_result import about
from cli.edit_command import format_of
from cli.generate import OWNER, lora_from, picture_bytes
from cli.output import Output
from cli.request_options import option_name
from cli.terminal import ProgressLine, configure_logging, only_results_on_stdout, say, stoppable
from errors import ErrorCode, KinoraError
from pipelines.request import REQUEST_FIELDS
from pipelines.request_fields import Kind
from settings import Settings

if TYPE_CHECKING:
    from cli.generate import BuildService
    from jobs.film import FilmRequest, FilmState
    from jobs.service import JobService

PLACEHOLDER = "0" * 64
"""Stands for the pictures of a film until they are stored."""


def film(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help="A JSON file as of POST /api/films. Paths are relative to it."),
    ] = None,
    shot: Annotated[
        list[str] | None, typer.Option(metavar="PROMPT", help="A shot. Give it for each of them.")
    ] = None,
    cut: Annotated[
        str,
        typer.Option(help="How the shots of --shot follow each other: continue, hard, crossfade."),
    ] = "hard",
    duration: Annotated[str | None, typer.Option(help="Seconds of each shot.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's id; `models` lists them.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another setting for all shots: steps=8."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="ID", help="Make what is missing of an earlier film.")
    ] = None,
    redo: Annotated[
        list[int] | None, typer.Option(help="With --resume: make these shots again, by number.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Copy the film to this file; - is standard output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option(help="Log to standard error.")] = False,
) -> None:
    """Make a film of several shots. Each is a clip of its own; at the end they are joined. Prints
    the path of the film. If a shot fails, the others are kept: --resume makes the rest."""
    configure_logging(verbose)
    settings = Settings.load()
    options = {"duration_s": duration, "model": model, "format": format_of(out)}
    values = {name: value for name, value in options.items() if value is not None}
    values |= dict(_named_value(each, settings) for each in setting or ())
    pictures: dict[int, bytes] = {}
    request: FilmRequest | None = None
    if resume is None:
        if redo:
            raise KinoraError(ErrorCode.INVALID_INPUT, "--redo needs --resume ID.")
        shots, values = _shots(file, shot or (), cut, values)
        request, pictures = _read(shots, values, file, settings)
    elif file or shot:
        sentence = "--resume has the shots of its film: leave the file and --shot out."
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
    output = Output(out, as_json=as_json) if out else None

    def start(service: JobService) -> FilmState:
        if request is None:
            return _resume(service, resume or "", redo or ())
        return service.submit_film(_with_pictures(request, pictures, service), OWNER)

    with stoppable():
        with only_results_on_stdout():
            state, clip = make_film(context.obj.build_service, settings, start)
        if clip is None:
            say(f"To make the rest: python app.py film --resume {state.film.id}")
            raise typer.Exit(1)
        path = output.write(clip) if output else str(clip)
    if as_json:
        print(json.dumps(_about(state, path)))
    elif not (output and output.is_stdout):
        print(path)


def make_film(
    build_service: BuildService, settings: Settings, start: Any
) -> tuple[FilmState, Path | None]:
    """Runs the jobs of a film in this thread, one after the other, and then the one that joins
    them. The path is None where a shot could not be made."""
    from jobs.workers.foreground import ForegroundExecutor

    nobody_waits = {"max_queue": sys.maxsize, "max_jobs_per_visitor": sys.maxsize}
    settings = settings.model_copy(update=nobody_waits | {"previews": False})
    executor = ForegroundExecutor(settings)
    service = build_service(settings, executor)
    progress = ProgressLine()
    service.subscribe(progress.on_event)
    try:
        service.start_command()
        state: FilmState = start(service)
        device = executor.find_device()
        if device.problem:
            say(f"{device.problem} The shots are made on the CPU.")
        state = service.advance_film(state.film.id)
        while state.state == "working":
            job = next((job for job in state.in_turn() if not job.state.ended), None)
            if job is None:
                break
            number = state.number_of(job.id)
            say(f"Shot {number} of {len(state.film.shots)}:" if number else "Joining the shots:")
            with progress:
                executor.run(job.id)
            if error := service.get(job.id).error:
                say(str(error["message"]))
            state = service.advance_film(state.film.id)
        file = state.file if state.state == "succeeded" else None
        return state, service.clip_path(file.id) if file else None
    except BaseException:
        executor.end()
        raise
    finally:
        service.close()


def _shots(
    file: Path | None, prompts: Any, cut: str, values: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The shots, and the settings of the file with those of the command line over them."""
    if file is not None and prompts:
        raise KinoraError(ErrorCode.INVALID_INPUT, "Give a file or --shot, not both.")
    if file is None:
        return [{"prompt": each, "cut": cut} for each in prompts], values
    if not file.is_file():
        raise KinoraError(ErrorCode.INVALID_INPUT, f"There is no file {file}.")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise KinoraError(ErrorCode.INVALID_INPUT, f"{file} is not valid JSON.") from None
    found = {"shots": found} if isinstance(found, list) else found
    if not isinstance(found, dict):
        raise KinoraError(ErrorCode.INVALID_INPUT, f"{file} must hold an object or a list.")
    shots = found.pop("shots", [])
    return (shots if isinstance(shots, list) else [shots]), found | values


def _read(
    shots: list[Any], values: dict[str, Any], file: Path | None, settings: Settings
) -> tuple[FilmRequest, dict[int, bytes]]:
    """The film, and the pictures by the index of their shot. Raises KinoraError before anything is
    stored."""
    from jobs.film_requests import read_film

    folder = file.parent if file else Path()
    pictures: dict[int, bytes] = {}
    read: list[Any] = []
    for index, shot in enumerate(shots):
        each = shot
        if isinstance(shot, dict) and isinstance(shot.get("image"), str):
            pictures[index] = picture_bytes(folder / shot["image"], settings)
            each = shot | {"image": PLACEHOLDER}
        read.append(each)
    return read_film(values | {"shots": read}), pictures


def _with_pictures(
    request: FilmRequest, pictures: dict[int, bytes], service: JobService
) -> FilmRequest:
    shots = list(request.shots)
    for index, data in pictures.items():
        image = service.store_picture(data, OWNER).id
        shots[index] = shots[index].model_copy(update={"image": image})
    return request.model_copy(update={"shots": tuple(shots)})


def _resume(service: JobService, film_id: str, redo: Any) -> FilmState:
    from jobs.film_maker import ShotChange

    service.find_film(film_id, OWNER)
    for number in redo:
        service.redo_shot(film_id, number, ShotChange())
    return service.resume_film(film_id)


def _named_value(text: str, settings: Settings) -> tuple[str, Any]:
    """A setting by its name in a request or as an option is called: steps=8."""
    name, equals, value = text.partition("=")
    plain = name.strip().lstrip("-").replace("-", "_")
    for field in REQUEST_FIELDS.values():
        option = option_name(field).lstrip("-").replace("-", "_")
        if equals and plain in (field.name, field.short, option):
            if field.kind is Kind.LORAS:
                return field.name, [lora_from(value, settings)]
            return field.name, value
    if equals and plain == "crossfade_s":
        return plain, value
    raise KinoraError(
        ErrorCode.INVALID_INPUT, f"“{text}” is no setting. Write NAME=VALUE, such as steps=8."
    )


def _about(state: FilmState, path: str) -> dict[str, Any]:
    shots = [
        {"number": n, "prompt": shot.prompt, "cut": shot.cut, "id": shot.job}
        for n, shot in enumerate(state.film.shots, 1)
    ]
    file = state.file
    return {"film_id": state.film.id, "shots": shots, **(about(file, path) if file else {})}
