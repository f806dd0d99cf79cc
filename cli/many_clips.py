"""`generate --drafts`, `--compare` and `--batch`: several clips, a contact sheet and a grid
video."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.clip_result import about
from cli.generate import CLIPS, OWNER, PICTURES, InputFiles, lora_from, picture_bytes
from cli.output import FORMATS
from cli.terminal import ProgressLine, say
from errors import ErrorCode, KinoraError
from media.provenance.c2pa_package import SIDECAR
from pipelines.models.comparison import parse_settings
from pipelines.models.drafts import parse_count
from pipelines.request import REQUEST_FIELDS, GenerationRequest
from pipelines.request_csv import RequestRow, decode_csv, parse_csv
from settings import Settings

if TYPE_CHECKING:
    from cli.generate import BuildService
    from jobs.batch import BatchState
    from jobs.batch_plans import BatchPlan
    from jobs.job import Job
    from jobs.service import JobService

MOST_CLIPS = 1000
MakePlan = Callable[["JobService", GenerationRequest], "BatchPlan"]


@dataclass(frozen=True)
class ManyOptions:
    """What makes a command one of several clips; at most one of them is set."""

    drafts: int | None = None
    compare: tuple[str, ...] = ()
    batch: Path | None = None

    @classmethod
    def of(cls, drafts: str | None, compare: Sequence[str], batch: Path | None) -> ManyOptions:
        """Raises KinoraError(INVALID_INPUT) for two of them, and for a number that is none."""
        pairs = (("--drafts", drafts), ("--compare", compare), ("--batch", batch))
        chosen = [name for name, value in pairs if value]
        if len(chosen) > 1:
            raise _refusal(f"{' and '.join(chosen)} cannot be used together.")
        return cls(parse_count(drafts) if drafts is not None else None, tuple(compare), batch)

    def __bool__(self) -> bool:
        return bool(self.drafts or self.compare or self.batch)

    def plan(self, options: Mapping[str, Any], settings: Settings) -> MakePlan:
        """Reads what can be read before the model libraries are imported. Raises KinoraError."""
        if self.drafts is not None:
            count = self.drafts
            return lambda service, request: service.plans.drafts(request, count, OWNER)
        if self.compare:
            compared = parse_settings(list(self.compare))
            return lambda service, request: service.plans.comparison(request, compared, OWNER)
        table = self.batch or Path()
        try:
            rows = parse_csv(decode_csv(table.read_bytes()), MOST_CLIPS)
        except OSError as error:
            raise _refusal(f"--batch cannot be read: there is no file {table}.") from error
        common = _common(options, settings)
        for row in rows:
            for name in (*PICTURES, *CLIPS):
                if name in row.values and not (table.parent / row.values[name]).is_file():
                    raise row.error(name, _refusal(f"there is no file {row.values[name]}."))
            row.build(
                common, {name: "0" * 64 for name in (*PICTURES, *CLIPS) if name in row.values}
            )

        def plan(service: JobService, request: GenerationRequest) -> BatchPlan:
            inputs = {name: getattr(request, name) for name in (*PICTURES, *CLIPS)}
            shared = common | {name: value for name, value in inputs.items() if value}
            return service.plans.batch(
                [_stored(row, table.parent, shared, service) for row in rows], OWNER
            )

        return plan


def _common(options: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The options that hold for every line of a CSV; the line has the last word."""
    values = {
        name: value
        for name, value in options.items()
        if value not in (None, "") and name not in (*PICTURES, *CLIPS)
    }
    if "loras" in values:
        values["loras"] = [lora_from(each, settings) for each in values["loras"]]
    for name, field in REQUEST_FIELDS.items():
        if field.operator_setting and field.choices and name not in values:
            values[name] = getattr(settings, field.operator_setting)
    return values


def _stored(
    row: RequestRow, folder: Path, common: Mapping[str, Any], service: JobService
) -> GenerationRequest:
    """The request of a line, with its files stored: their paths are relative to the CSV's."""
    files: dict[str, str] = {}
    for name in PICTURES:
        if name in row.values:
            data = picture_bytes(folder / row.values[name], service.settings)
            files[name] = service.store_picture(data, OWNER).id
    for name in CLIPS:
        if name in row.values:
            files[name] = service.store_video(folder / row.values[name], OWNER).id
    request = row.build(common, files)
    try:
        service.fit(request)
    except KinoraError as error:
        raise row.error(error.details.get("field", "model"), error) from error
    return request


class OutputFolder:
    """The folder of `--out`, where there are several clips."""

    def __init__(self, path: Path) -> None:
        """Raises KinoraError(INVALID_INPUT) if nothing can be written there."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / ".kinora.part"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise _refusal(f"--out names a folder here, and {path} cannot be written.") from error

    def write(self, made: ManyClips) -> ManyClips:
        """Copies everything there and returns the new paths."""
        names = {job_id: self.path / name for job_id, name in made.names.items()}
        for job_id, target in names.items():
            clip = made.clips[job_id]
            shutil.copyfile(clip, target)
            sidecar = clip.with_name(clip.name + SIDECAR)
            if sidecar.is_file():
                shutil.copyfile(sidecar, target.with_name(target.name + SIDECAR))
        sheet = Path(shutil.copyfile(made.sheet, self.path / "sheet.png"))
        grid = made.grid and Path(shutil.copyfile(made.grid, self.path / "grid.mp4"))
        about = json.dumps(made.description, indent=1, ensure_ascii=False)
        (self.path / "batch.json").write_text(f"{about}\n", encoding="utf-8")
        return ManyClips(made.found, made.description, made.names, names, sheet, grid)


@dataclass(frozen=True)
class ManyClips:
    """What was made. `names` and `clips` are by the ids of the jobs that have a clip."""

    found: BatchState
    description: dict[str, Any]
    names: dict[str, str]
    clips: dict[str, Path]
    sheet: Path
    grid: Path | None

    @property
    def failed(self) -> list[Job]:
        return [job for job in self.found.jobs if job.id not in self.clips]

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.found.batch.id,
            "kind": self.found.batch.kind,
            "axes": self.description["axes"],
            "cells": self.description["cells"],
            "clips": [
                about(job, self.clips[job.id])
                if job.id in self.clips
                else {"id": job.id, "path": None, "error": (job.error or {}).get("message")}
                for job in self.found.jobs
            ],
            "sheet": str(self.sheet),
            "grid": self.grid and str(self.grid),
        }


def make_many(
    build_service: BuildService,
    settings: Settings,
    request: GenerationRequest,
    files: InputFiles,
    make_plan: MakePlan,
) -> ManyClips:
    """Submits the jobs of a plan and runs them in this thread, one after the other. A clip that
    fails does not stop the others."""
    from jobs.workers.foreground import ForegroundExecutor

    unlimited = {"max_queue": sys.maxsize, "max_jobs_per_visitor": sys.maxsize}
    unlimited |= {"max_batch": MOST_CLIPS}
    settings = settings.model_copy(update=unlimited | {"previews": False})
    executor = ForegroundExecutor(settings)
    service = build_service(settings, executor)
    progress = ProgressLine()
    service.subscribe(progress.on_event)
    try:
        service.start_command()
        plan = make_plan(service, files.stored_for(request, service))
        estimate = service.estimate_plan(plan)
        say(f"{len(plan.jobs)} clips, about {max(1, round(estimate.seconds))} s.")
        jobs = service.submit_plan(plan, OWNER)
        device = executor.find_device()
        if device.problem:
            say(f"{device.problem} The clips are made on the CPU.")
        for number, job in enumerate(jobs, 1):
            say(f"Clip {number} of {len(jobs)}:")
            with progress:
                executor.run(job.id)
            if error := service.get(job.id).error:
                say(f"Clip {number} failed: {error['message']}")
        return _collect(service, service.find_batch(jobs[0].batch or ""))
    except BaseException:
        executor.end()
        raise
    finally:
        service.close()


def _collect(service: JobService, found: BatchState) -> ManyClips:
    from jobs.batch_files import clip_names, description

    names = clip_names(found)
    if not names:
        raise KinoraError(ErrorCode.INTERNAL, "No clip could be made.")
    for cell in found.batch.layout.cells:
        if cell.problem:
            say(f"{', '.join(cell.labels)}: {cell.problem}")
    clips = {job_id: service.clip_path(job_id) for job_id in names}
    sheet = service.batch_files.sheet(found)
    try:
        grid = service.batch_files.grid(found)
    except KinoraError as error:
        if error.code is not ErrorCode.TOO_LARGE:
            raise
        grid = None
        say(f"There is no grid video: {error.message}")
    return ManyClips(found, description(found, names), names, clips, sheet, grid)


def refuse_for_many(out: Path | None) -> None:
    """Raises KinoraError where `--out` cannot take several files."""
    if out is None or out.is_dir():
        return
    if str(out) == "-" or out.exists() or out.suffix.lower().removeprefix(".") in FORMATS:
        raise _refusal("--out cannot be used: several clips need a folder.")


def _refusal(sentence: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, sentence)
