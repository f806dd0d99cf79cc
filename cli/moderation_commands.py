"""`reports` and `takedown`: the operator's page for people with a shell on the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli.terminal import configure_logging, only_results_on_stdout, say
from settings import Settings

if TYPE_CHECKING:
    from jobs.moderation import Moderation

Found = TypeVar("Found")

RULE = "command"
"""Who acts, in the audit log."""


def reports(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the clips with open reports, those first that have waited longest."""
    rows = _with_moderation(context, _open_reports)
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        first = datetime.fromtimestamp(row["first_at"], timezone.utc)
        print(f"{row['job_id']}  {row['count']} open, since {first:%Y-%m-%d %H:%M} UTC")
        for report in row["reports"]:
            note = " ".join(report["note"].split())
            print(f"    {report['reason']}{f': {note}' if note else ''}")
    if not rows:
        say("There are no open reports.")


def takedown(
    context: typer.Context,
    clip: Annotated[str, typer.Argument(help="A share link, its id, or the id of a clip.")],
    restore: Annotated[bool, typer.Option("--restore", help="Undo a takedown instead.")] = False,
    block: Annotated[
        bool, typer.Option("--block", help="Also refuse the file and near copies of it.")
    ] = False,
    note: Annotated[str, typer.Option(help="For the audit log.")] = "",
) -> None:
    """Remove a clip: no page, link or list shows it any more, and its reports are closed.

    The files are kept for KINORA_KEEP_REMOVED_DAYS, so that --restore can undo it.
    """

    def act(moderation: Moderation) -> str:
        job_id = moderation.find(clip)
        if restore:
            moderation.restore(job_id, RULE)
            return job_id
        if block:
            moderation.block_file(job_id, RULE)
        moderation.remove(job_id, RULE, note)
        return job_id

    job_id = _with_moderation(context, act)
    say("The clip is restored." if restore else "The clip is removed.")
    print(job_id)


def _open_reports(moderation: Moderation) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    last: float | None = None
    while clips := moderation.queue(after=last):
        for each in clips:
            found = moderation.case(each.job_id).reports
            opened = [report for report in found if report.closed_at is None]
            rows.append(
                each.model_dump() | {"reports": [r.model_dump(mode="json") for r in opened]}
            )
        last = clips[-1].first_at
    return rows


def _with_moderation(context: typer.Context, act: Callable[[Moderation], Found]) -> Found:
    """The service is not started: nothing is made, and no running server is disturbed."""
    configure_logging(verbose=False)
    with only_results_on_stdout():
        service = context.obj.build_service(Settings.load())
        try:
            return act(service.moderation)
        finally:
            service.close()
