"""`style-thumbnails`: makes the pictures that the page shows for the styles."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal import (
    ProgressLine,
    configure_logging,
    only_results_on_stdout,
    say,
    stoppable,
)
from errors import KinoraError
from settings import Settings

if TYPE_CHECKING:
    from cli.generate import BuildService
    from jobs.job import Job
    from jobs.service import JobService
    from jobs.workers.foreground import ForegroundExecutor
    from pipelines.models.cards import ModelCard
    from pipelines.styles import Style

OWNER = "thumbnails"
"""Of the jobs: no visitor's, so they are in no list of clips and count for no quota."""
MAX_FAILURES = 2
"""In a row. The cause is then the model or the machine, not the style."""
STOP_S = 10.0


@dataclass
class Thumbnails:
    """What the command did: `made` has files by the ids of their styles."""

    model: str = ""
    made: dict[str, Path] = field(default_factory=dict)
    present: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        made = [{"style": style, "path": str(path)} for style, path in self.made.items()]
        failed = [{"style": style, "error": error} for style, error in self.failed.items()]
        return {"model": self.model, "made": made, "present": self.present, "failed": failed}


def style_thumbnails(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Option(help="Default: the one that the page chooses for text.")
    ] = None,
    style: Annotated[
        list[str] | None, typer.Option(help="Only this style; may be repeated. Default: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option(help="Log to standard error.")] = False,
) -> None:
    """Make the thumbnails of the styles that the page shows for a model. Prints their paths.

    Those that exist are skipped, so a run that was stopped can be continued.
    """
    configure_logging(verbose)
    settings = Settings.load()
    with stoppable(), only_results_on_stdout():
        done = make_thumbnails(context.obj.build_service, settings, model, style or ())
    if as_json:
        print(json.dumps(done.as_json()))
    else:
        for path in done.made.values():
            print(path)
    if done.failed:
        raise typer.Exit(1)


def make_thumbnails(
    build_service: BuildService, settings: Settings, model: str | None, names: Sequence[str]
) -> Thumbnails:
    """One job at a time, so that visitors of a server with the same queue wait for at most one.
    Raises KinoraError for an unknown style or model, and a model that cannot show styles."""
    from jobs.style_thumbnails import refuse_without_styles
    from pipelines.styles import find_style, load_styles

    unlimited = {"max_queue": sys.maxsize, "max_jobs_per_visitor": sys.maxsize}
    unlimited |= {"max_batch": sys.maxsize}
    settings = settings.model_copy(update=unlimited | {"previews": False})
    styles = load_styles()
    chosen = list({(each := find_style(name, styles)).id: each for name in names}.values())
    executor = _foreground_executor(settings)
    service = build_service(settings, executor)
    done = Thumbnails()
    try:
        card = _find_card(service, model)
        refuse_without_styles(card)
        done.model = card.id
        present = service.thumbnails.find(card)
        wanted = chosen or list(styles.values())
        missing = [each for each in wanted if each.id not in present]
        done.present += [each.id for each in wanted if each.id in present]
        if not missing:
            say(f"Every thumbnail for {card.name} is there already.")
            return done
        _start(service, executor)
        plan = service.plans.batch([service.thumbnails.request(card, each) for each in missing])
        seconds = service.estimate_plan(plan).seconds
        also = f" Already there: {len(done.present)}." if done.present else ""
        say(f"{_count(len(missing))} with {card.name}, about {_spell_time(seconds)}.{also}")
        _make_each(service, executor, card, missing, done)
        service.thumbnails.remove_stale(card)
        return done
    except KeyboardInterrupt:
        say(f"Kept: {_count(len(done.made))}. To continue, run the command again.")
        if executor is not None:
            executor.end()  # a job that was accepted just now would wait for a server
        raise
    finally:
        service.close()


def _foreground_executor(settings: Settings) -> ForegroundExecutor | None:
    """None with Redis, where the workers make the clips."""
    if settings.executor_kind == "redis":
        return None
    from jobs.workers.foreground import ForegroundExecutor

    return ForegroundExecutor(settings)


def _find_card(service: JobService, model: str | None) -> ModelCard:
    from pipelines.models.selection import default_model, find_card
    from pipelines.request import Task

    name = model or default_model(Task.TEXT_TO_VIDEO, service.cards, service.settings)
    return find_card(name, service.cards)


def _start(service: JobService, executor: ForegroundExecutor | None) -> None:
    if executor is None:
        service.start()
        return
    service.start_command()
    device = executor.find_device()
    if device.problem:
        say(f"{device.problem} The thumbnails are made on the CPU.")


def _make_each(
    service: JobService,
    executor: ForegroundExecutor | None,
    card: ModelCard,
    missing: Sequence[Style],
    done: Thumbnails,
) -> None:
    progress = ProgressLine()
    service.subscribe(progress.on_event)
    failures = 0
    for number, style in enumerate(missing, 1):
        say(f"{style.name} ({number} of {len(missing)}):")
        job = service.submit(service.thumbnails.request(card, style), OWNER)
        try:
            with progress:
                job = _wait_for(service, executor, job)
            if job.result is not None:
                frame = service.poster_path(job.id)
                done.made[style.id] = service.thumbnails.store(frame, card, style)
                failures = 0
                continue
        finally:
            _remove(service, job.id)
        error = (job.error or {}).get("message") or "The clip was discarded."
        done.failed[style.id] = error
        say(f"{style.name} failed: {error}")
        failures += 1
        if failures == MAX_FAILURES and number < len(missing):
            say("Stopped after two failures in a row. To continue, run the command again.")
            return


def _wait_for(service: JobService, executor: ForegroundExecutor | None, job: Job) -> Job:
    if executor is not None:
        try:
            executor.run(job.id)
        except BaseException:
            executor.end()  # an interrupt between two steps of a claim leaves the job running
            raise
    else:
        for _event in service.watch(job.id):
            pass  # the progress line subscribes to all events
    return service.get(job.id)


def _remove(service: JobService, job_id: str) -> None:
    """Only the still is kept: the clip would take room, and nobody's list shows it."""
    ends = time.monotonic() + STOP_S
    with suppress(KinoraError):
        while not service.cancel(job_id).state.ended and time.monotonic() < ends:
            time.sleep(0.1)  # a worker stops within a step
        service.delete(job_id)


def _count(number: int) -> str:
    return "1 thumbnail" if number == 1 else f"{number} thumbnails"


def _spell_time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
