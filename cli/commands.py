"""The command line: generate, edit, film, worker, models, verify, evaluate, reports, takedown,
and serve.

Results go to standard output, everything else to standard error. Nothing heavy is imported before
the input has been validated.

    exit status   0 done   2 the input cannot be used   1 it failed   130, 143 it was stopped
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer

from cli.clip_result import print_made_clip
from cli.edit_command import edit
from cli.film_command import film
from cli.generate import (
    InputFiles,
    make,
    render_draft,
    request_from,
    retry_decoding,
)
from cli.many_clips import ManyOptions, OutputFolder, make_many, refuse_for_many
from cli.moderation_commands import reports, takedown
from cli.output import Output, choose_output
from cli.request_options import option_name, with_request_options
from cli.terminal import configure_logging, only_results_on_stdout, say, stoppable
from cli.thumbnails_command import style_thumbnails
from errors import ErrorCode, KinoraError
from pipelines.request import REQUEST_FIELDS
from settings import Settings

if TYPE_CHECKING:
    from cli.generate import BuildService
    from jobs.job import Job

log = logging.getLogger(__name__)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Parts(NamedTuple):
    """What the composition root passes to the commands."""

    serve: Callable[[], None]
    build_service: BuildService


def command_line(parts: Parts) -> NoReturn:
    """Runs the command and ends the process."""
    try:
        app(prog_name="python app.py", obj=parts)
        sys.exit(0)
    except KinoraError as error:
        log.debug("Cause:", exc_info=error)
        say(message_with_option(error))
        sys.exit(exit_status(error))


def message_with_option(error: KinoraError) -> str:
    """The message, after the option that it is about: messages name fields as the page does."""
    field = REQUEST_FIELDS.get(str(error.details.get("field", "")).partition(".")[0])
    option = option_name(field) if field else ""
    is_named = not option.startswith("--") or option in error.message
    return error.message if is_named else f"{option}: {error.message}"


def exit_status(error: KinoraError) -> int:
    """2 where other input would help, else 1."""
    is_theirs = 400 <= error.kind.http_status < 500 and not error.kind.retryable
    return 2 if is_theirs and error.code is not ErrorCode.CONFLICT else 1


@app.callback()
def main(context: typer.Context) -> None:
    """Kinora makes short videos from a prompt or a picture. Without a command, it serves the page.

    Every setting comes from the environment or a .env file; docs/settings.md lists them all.
    """
    if context.invoked_subcommand is None:
        serve(context)


@app.command()
def serve(
    context: typer.Context,
    port: Annotated[
        str | None, typer.Option(help="Instead of GRADIO_SERVER_PORT; 0: any that is free.")
    ] = None,
) -> None:
    """Serve the page and the API (the default). Address: GRADIO_SERVER_NAME, GRADIO_SERVER_PORT."""
    if port is not None:
        os.environ["GRADIO_SERVER_PORT"] = port.strip() or "?"
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        context.obj.serve()
    except KeyboardInterrupt:
        say("Stopped.")


@app.command()
@with_request_options
def generate(
    context: typer.Context,
    *,
    drafts: Annotated[
        str | None, typer.Option(metavar="<int>", help="Make 2 to 8 quick drafts, to render one.")
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING=VALUES",
            help="Vary a setting: guidance=2,4,6. Twice for a grid of two settings.",
        ),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(help="Make a clip for each line of a CSV, with columns named as the options."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Copy the clip to this file, or several to this folder; - is standard output."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option(help="Log to standard error.")] = False,
    **options: Any,
) -> None:
    """Make one clip, or several with a contact sheet and a grid video. Prints the paths, or with
    --json all about them."""
    configure_logging(verbose)
    settings = Settings.load()
    many = ManyOptions.of(drafts, compare or (), batch)
    if many:
        generate_many(context, many, options, out, settings, as_json=as_json)
        return
    format, output = choose_output(options.pop("format"), out, as_json=as_json)
    request = request_from(options | {"format": format}, settings)
    files = InputFiles.read(options, settings)
    build = context.obj.build_service
    print_made_clip(lambda: make(build, settings, request, files), output, as_json=as_json)


def generate_many(
    context: typer.Context,
    many: ManyOptions,
    options: dict[str, Any],
    out: Path | None,
    settings: Settings,
    *,
    as_json: bool,
) -> None:
    """`generate` of several clips; `--out` names a folder."""
    refuse_for_many(out)
    options["format"] = options["format"] or "mp4"
    request = request_from(options, settings)
    files = InputFiles.read(options, settings)
    plan = many.plan(options, settings)
    folder = OutputFolder(out) if out else None
    with stoppable():
        with only_results_on_stdout():
            made = make_many(context.obj.build_service, settings, request, files, plan)
        made = folder.write(made) if folder else made
    if as_json:
        print(json.dumps(made.as_json()))
    else:
        for job_id, path in made.clips.items():
            if many.drafts:
                say(f"To render {path.name}: python app.py render {job_id}")
            print(path)
        print(made.sheet)
        if made.grid:
            print(made.grid)
    if made.failed:
        raise typer.Exit(1)


@app.command()
def render(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(help="The draft's id, as `--drafts` prints it.")],
    out: Annotated[
        Path | None, typer.Option(help="Copy the clip to this file; - is standard output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option(help="Log to standard error.")] = False,
) -> None:
    """Make the full clip of a draft, with the same seed."""
    finish_job(context, render_draft, job_id, out, as_json=as_json, verbose=verbose)


@app.command()
def retry_decode(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(help="The clip's id, as `--json` gives it.")],
    out: Annotated[
        Path | None, typer.Option(help="Copy the clip to this file; - is standard output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option(help="Log to standard error.")] = False,
) -> None:
    """Make the file of a clip that failed after it was sampled, without sampling it again."""
    finish_job(context, retry_decoding, job_id, out, as_json=as_json, verbose=verbose)


def finish_job(
    context: typer.Context,
    make_clip: Callable[..., tuple[Job, Path]],
    job_id: str,
    out: Path | None,
    *,
    as_json: bool,
    verbose: bool,
) -> None:
    """A command that makes a clip of an earlier job."""
    configure_logging(verbose)
    settings = Settings.load()
    output = Output(out, as_json=as_json) if out else None
    build = context.obj.build_service
    print_made_clip(lambda: make_clip(build, settings, job_id, output), output, as_json=as_json)


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    profile: Annotated[str | None, typer.Option(help="fast, balanced or small.")] = None,
) -> None:
    """List the models: whether each runs on this machine, how, and if not, which one does."""
    from pipelines.models.cards import load_cards
    from pipelines.models.loras import list_names
    from pipelines.planning import Planner
    from pipelines.planning.device import list_gpus, probe_with_torch
    from pipelines.planning.planner import parse_profile

    settings = Settings.load()
    if profile is not None:
        settings = settings.model_copy(update={"profile": parse_profile(profile)})
    # only torch knows whether it can use a GPU; where none is listed, torch is not needed
    device = probe_with_torch() if list_gpus().is_any and not settings.zero_gpu else None
    cards, planner = load_cards(settings.models_dir), Planner(settings, device=lambda: device)
    here = {card.id: planner.describe(card, cards) for card in cards.values()}
    loras = list_names(settings)
    if as_json:
        rows = [
            card.model_dump(mode="json")
            | {
                "rules": card.rules.model_dump(mode="json"),
                "loras": loras if card.rules.lora else [],
                "here": here[card.id],
            }
            for card in cards.values()
        ]
        print(json.dumps(rows))
        return
    if planner.machine.gpu_problem:
        say(planner.machine.gpu_problem)
    for card in cards.values():
        d, plan = card.defaults, here[card.id]
        words = {"t2v": "text", "i2v": "picture", "v2v": "clip"}
        tasks = ", ".join(words[task.value] for task in card.tasks)
        print(f"{card.id}  {card.name}: from {tasks}; {d.width}x{d.height}, {d.num_frames} frames")
        print(f"    {plan['verdict']} Licence: {card.license}.")
        if plan["fits"]:
            print(" ".join(["    Plan:", plan["plan"]["sentence"], *plan["plan"]["notes"]]))
        print(f"    {card.about}")
    if loras:
        print(f"LoRAs here: {', '.join(loras)}.")


@app.command()
def styles(
    model: Annotated[str | None, typer.Option(help="With the templates for this model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the styles for `generate --style`."""
    from pipelines.models.cards import load_cards
    from pipelines.models.selection import find_card
    from pipelines.styles import load_styles

    cards = load_cards(Settings.load().models_dir) if model else {}
    family = find_card(model, cards).family if model else None
    found = [(style, style.template(family)) for style in load_styles().values()]
    if as_json:
        rows = [
            style.model_dump(include={"id", "name", "example"})
            | template.model_dump(include={"prompt", "negative_prompt"})
            for style, template in found
        ]
        print(json.dumps(rows, ensure_ascii=False))
        return
    for style, template in found:
        print(f"{style.id}  {style.name}: {template.prompt}")


app.command()(edit)
app.command()(film)
app.command()(style_thumbnails)
app.command()(reports)
app.command()(takedown)


@app.command()
def worker(
    gpu: Annotated[
        str | None, typer.Option(help="Which GPUs: 0, or 0,1,2: one process for each.")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Make only these, separated by commas; they are kept loaded.")
    ] = None,
) -> None:
    """Make clips for the servers that share this REDIS_URL, until stopped."""
    from jobs.fleet import supervisor
    from jobs.fleet.requirements import require_redis

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    require_redis(Settings.load())
    gpus = [part.strip() for part in gpu.split(",")] if gpu else [None]
    names = [part.strip() for part in models.split(",") if part.strip()] if models else []
    arguments = ["--models", ",".join(names)] if names else []
    status = supervisor.run(gpus, arguments)
    if status:
        raise typer.Exit(status)


@app.command()
def verify(
    clips: Annotated[list[Path], typer.Argument(help="Clips or pictures.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show who signed a clip, whether it was changed since, and the settings in it.

    The `.c2pa` file beside a WebM is used. Exit status 0 only if every signature is valid.
    """
    from cli.clip_verification import print_json, print_sentences
    from jobs.verification import verify as verify_file

    for clip in clips:
        if not clip.is_file():
            raise KinoraError(ErrorCode.INVALID_INPUT, f"There is no file {clip}.")
    configure_logging(verbose=False)
    settings = Settings.load()
    found = [verify_file(clip, settings) for clip in clips]
    show = print_json if as_json else print_sentences
    show(clips, found)
    if not all(each.is_valid for each in found):
        raise typer.Exit(1)


@app.command()
def evaluate(
    clips: Annotated[list[Path], typer.Argument(help="MP4, WebM or GIF files.")],
    prompt: Annotated[
        str | None, typer.Option(help="For the CLIP score. Default: the prompt in the file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Measure motion smoothness, temporal consistency and flicker of clips.

    With KINORA_CLIP_MODEL, also how well they show the prompt. docs/evaluation.md has definitions.
    """
    from cli.clip_evaluation import evaluate as evaluate_clip
    from cli.clip_evaluation import lines

    configure_logging(verbose=False)
    settings = Settings.load()
    with only_results_on_stdout():
        found = [evaluate_clip(clip, prompt, settings) for clip in clips]
    if as_json:
        print(json.dumps([each.model_dump() for each in found]))
        return
    for clip, each in zip(clips, found, strict=True):
        print("\n".join(lines(clip, each)))
