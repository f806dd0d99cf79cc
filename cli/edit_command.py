"""`python app.py edit`: makes a new clip of files, or of clips that were made here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from cli.clip_result import print_made_clip
from cli.generate import OWNER, run_here
from cli.output import Output
from cli.terminal import configure_logging
from errors import ErrorCode, KinoraError
from settings import Settings

if TYPE_CHECKING:
    from jobs.job import Job
    from jobs.service import JobService
    from media.operations.edit_request import EditRequest


def edit(
    context: typer.Context,
    clips_and_operations: Annotated[
        list[str],
        typer.Argument(
            metavar="CLIP... [OPERATION]...",
            help="Files, or the ids of clips; then what is done: trim=1.0:3.5 speed=0.5 reverse.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Copy the clip to this file; - is standard output.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="The kind of file. Default: as --out ends, or mp4.")
    ] = None,
    quality: Annotated[str | None, typer.Option(help="low, medium or high.")] = None,
    target_mb: Annotated[
        float | None, typer.Option(help="The size that the file must not exceed, in MB.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option(help="Log to standard error.")] = False,
) -> None:
    """Edit clips: trim, join, change the speed, and more; docs/editing.md lists all operations. A
    new clip is made, and the others stay as they are. Prints its path."""
    from media.operations.registry import OPERATIONS, parse_short_form

    configure_logging(verbose)
    settings = Settings.load()
    operations, clips = [], list[str]()
    for each in clips_and_operations:
        if each.partition("=")[0] in OPERATIONS:
            operations.append(parse_short_form(each))
        else:
            clips.append(each)
    values: dict[str, Any] = {"operations": operations}
    options = {"format": format or format_of(out), "quality": quality, "target_mb": target_mb}
    values |= {name: value for name, value in options.items() if value is not None}
    _check(clips, values)
    output = Output(out, as_json=as_json) if out else None

    def submit(service: JobService) -> Job:
        return service.submit_edit(
            _request(values, [_clip_id(each, service) for each in clips]),
            OWNER,
            may_use=lambda _job: True,  # the data folder is the caller's
        )

    build = context.obj.build_service
    print_made_clip(
        lambda: run_here(build, settings, submit, is_edit=True), output, as_json=as_json
    )


def _check(clips: list[str], values: dict[str, Any]) -> None:
    """Raises KinoraError before anything is stored."""
    from jobs.job import is_job_id
    from media.operations.registry import OPERATIONS

    if not clips:
        raise KinoraError(ErrorCode.INVALID_INPUT, "Name at least one clip.")
    for each in clips:
        if not Path(each).is_file() and not is_job_id(each):
            sentence = f"There is no clip {each}, and no operation of that name."
            known = f"Operations: {', '.join(OPERATIONS)}."
            raise KinoraError(ErrorCode.INVALID_INPUT, f"{sentence} {known}")
    _request(values, ["0" * 64] * len(clips))


def _request(values: dict[str, Any], clips: list[str]) -> EditRequest:
    from media.operations.edit_request import read_edit_request

    return read_edit_request(values | {"clips": clips})


def _clip_id(clip: str, service: JobService) -> str:
    path = Path(clip)
    return service.store_clip_to_edit(path, OWNER).id if path.is_file() else clip


def format_of(out: Path | None) -> str | None:
    """The format that makes files with the ending of `--out`."""
    from media.operations.outputs import OUTPUTS, OutputFormat

    if out is None:
        return None
    ending = out.suffix.lower()
    formats: tuple[OutputFormat, ...] = get_args(OutputFormat)
    return next((name for name in formats if OUTPUTS[name].suffix == ending), None)
