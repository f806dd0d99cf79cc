"""The operator's pages: plain HTML without script. All text of others is escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from jobs.job import Job
from jobs.moderation import MOST_BLOCK_DAYS, REASONS, ClipCase
from jobs.moderation_rows import BlockedCaller, BlockedFile, ReportedClip, Takedown
from web.addresses import address
from web.share_page import ENGLISH, PAGE_POLICY, as_attribute, as_text, document
from web.share_tools import PATH as SHARE_PATH

PATH = "/admin"
POLICY = PAGE_POLICY.replace("form-action 'none'", "form-action 'self'").replace(
    "frame-ancestors 'self'", "frame-ancestors 'none'"
)
NO_INDEX = '<meta name="robots" content="noindex">\n'
BLOCK_DAYS = 30


@dataclass(frozen=True)
class Frame:
    """What is on every page of a session: the token of its forms, and what has just happened."""

    form_token: str
    error: str = ""


def render_login(error: str = "") -> str:
    problem = f'<p class="error" role="alert">{as_text(error)}</p>' if error else ""
    body = f"""<main><h1>Operator's page</h1>
{problem}<form method="post" action="{_to("/login")}">
<label for="key">Key (KINORA_ADMIN_KEY)</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<div class="row"><button class="press">Log in</button></div>
</form></main>"""
    return document(ENGLISH, "Kinora: log in", NO_INDEX, body)


def render_queue(
    frame: Frame, clips: Sequence[ReportedClip], count: int, after: float | None
) -> str:
    """`after` leads to the next page; None on the last one."""
    rows = "".join(
        f'<li><a href="{_clip(each.job_id)}"><img src="{_clip(each.job_id)}/poster" alt="" '
        f'loading="lazy"><span>{_count(each.count, "report")}, the first of '
        f"{_time(each.first_at)}</span></a></li>"
        for each in clips
    )
    listed = f"<ul>{rows}</ul>" if rows else '<p class="soft">There are no open reports.</p>'
    older = ""
    if after is not None:
        older = f'<a class="press quiet" href="{_to(f"?after={after!r}")}">More</a>'
    title = _count(count, "open report") if count else "Reports"
    return _page(frame, title, f"{listed}\n{older}")


def render_case(frame: Frame, case: ClipCase, has_files: bool) -> str:
    parts = [_player(case, has_files), _state(case), _facts(case), _reports(case)]
    parts.append(_actions(frame, case, has_files))
    return _page(frame, f"Clip {case.job_id[:8]}", "\n".join(filter(None, parts)))


def render_blocks(
    frame: Frame,
    removed: Sequence[Takedown],
    files: Sequence[BlockedFile],
    callers: Sequence[BlockedCaller],
) -> str:
    taken = "".join(
        f'<dt>{_time(each.at)}</dt><dd><a href="{_clip(each.job_id)}">{each.job_id[:8]}</a> '
        f"{as_text(each.note)}{'' if each.has_files else ' (files deleted)'}</dd>"
        for each in removed
    )
    newest = {each.job_id: each.at for each in reversed(files)}
    blocked = "".join(
        f'<dt>{_time(at)}</dt><dd><a href="{_clip(job_id)}">{as_text(job_id[:8])}</a>'
        f"{_form(frame, PATH, 'unblock-file', 'Unblock', job=job_id)}</dd>"
        for job_id, at in newest.items()
    )
    people = "".join(
        f"<dt>until {_time(each.until)}</dt><dd>{as_text(each.caller)}"
        f"{_form(frame, PATH, 'unblock-caller', 'Unblock', caller=each.caller)}</dd>"
        for each in callers
    )
    body = (
        _section("Removed clips", taken)
        + _section("Blocked files", blocked)
        + _section("Blocked callers", people)
    )
    return _page(frame, "Removed and blocked", body)


def render_log(frame: Frame, entries: Sequence[dict[str, Any]]) -> str:
    rows = "".join(
        f"<dt>{as_text(str(entry.get('at', ''))[:19])}</dt><dd>{as_text(_line(entry))}</dd>"
        for entry in entries
    )
    return _page(frame, "Log", _section("Newest first", rows))


def render_error(frame: Frame) -> str:
    return _page(frame, "That did not work", "")


# ---- parts


def _page(frame: Frame, title: str, body: str) -> str:
    problem = f'<p class="error" role="alert">{as_text(frame.error)}</p>' if frame.error else ""
    links = " · ".join(
        f'<a href="{_to(where)}">{name}</a>'
        for where, name in (("", "Reports"), ("/blocks", "Removed and blocked"), ("/log", "Log"))
    )
    out = _form(frame, "/login", "logout", "Log out")
    html = f"<main><p>{links}</p>\n<h1>{as_text(title)}</h1>\n{problem}{body}\n{out}</main>"
    return document(ENGLISH, f"Kinora: {title}", NO_INDEX, html)


def _player(case: ClipCase, has_files: bool) -> str:
    job = case.job
    if job is None or job.result is None or not has_files:
        return '<p class="soft">The files of this clip are not here any more.</p>'
    size = f'width="{job.result.width}" height="{job.result.height}"'
    clip, poster = f"{_clip(case.job_id)}/clip", f"{_clip(case.job_id)}/poster"
    if job.result.clip.endswith(".gif"):
        return f'<img class="clip" src="{clip}" alt="The reported clip" {size}>'
    return (
        f'<video class="clip" src="{clip}" poster="{poster}" aria-label="The reported clip" {size} '
        'controls loop playsinline preload="metadata"></video>'
    )


def _state(case: ClipCase) -> str:
    said: list[str] = []
    if case.takedown:
        note = f" Note: {case.takedown.note}" if case.takedown.note else ""
        said.append(f"Removed on {_time(case.takedown.at)}.{note}")
    if case.is_blocked:
        said.append("The file and its near copies are blocked.")
    if case.maker_blocked_until:
        said.append(f"The maker is blocked until {_time(case.maker_blocked_until)}.")
    if case.job is None:
        said.append("The maker has deleted this clip.")
    return f"<p>{as_text(' '.join(said))}</p>" if said else ""


def _facts(case: ClipCase) -> str:
    rows: list[tuple[str, str]] = []
    if case.job:
        rows += _facts_of_job(case.job)
    if case.share:
        public = "in the public gallery" if case.share.is_public else "by link only"
        rows.append(("Shared", f"{SHARE_PATH}/{case.share.id}, {public}"))
    if case.maker:
        rows.append(("Maker", case.maker))
    found = "".join(
        f'<dt>{as_text(name)}</dt><dd dir="auto">{as_text(value)}</dd>' for name, value in rows
    )
    return _section("Clip", found)


def _facts_of_job(job: Job) -> list[tuple[str, str]]:
    fitted = job.fitted
    rows = [("Prompt", fitted.prompt), ("Negative prompt", fitted.negative_prompt or "")]
    rows += [("Model", fitted.model), ("Made", _time(job.created_at))]
    return [(name, value) for name, value in rows if value]


def _reports(case: ClipCase) -> str:
    rows = "".join(
        f'<dt>{_time(each.created_at)}</dt><dd dir="auto">'
        f"{as_text(REASONS.get(each.reason, each.reason))}"
        f"{f' ({each.outcome})' if each.outcome else ''}"
        f"{f': {as_text(each.note)}' if each.note else ''}"
        f'<br><span class="soft">by {as_text(each.reporter)}</span></dd>'
        for each in case.reports
    )
    return _section("Reports", rows)


def _actions(frame: Frame, case: ClipCase, has_files: bool) -> str:
    here = f"{PATH}/clips/{case.job_id}"
    found: list[str] = []
    note = '<label>Note for the log <input type="text" name="note" maxlength="500"></label>'
    if case.job and not case.takedown:
        found.append(_form(frame, here, "remove", "Remove clip", note))
    if case.job and case.takedown and has_files:
        found.append(_form(frame, here, "restore", "Restore clip"))
    if any(each.closed_at is None for each in case.reports):
        found.append(_form(frame, here, "dismiss", "Dismiss reports"))
    if case.is_blocked:
        found.append(_form(frame, here, "unblock-file", "Unblock file"))
    elif has_files:
        found.append(_form(frame, here, "block-file", "Block file and near copies"))
    reporters = list(dict.fromkeys(each.reporter for each in case.reports))
    callers = [("maker", case.maker)] if case.maker else []
    callers += [(f"reporter {each[:8]}", each) for each in reporters[:5]]
    for name, caller in callers:
        days = (
            f'<label>Days <input type="number" name="days" value="{BLOCK_DAYS}" min="1" '
            f'max="{MOST_BLOCK_DAYS}"></label>'
        )
        found.append(_form(frame, here, "block-caller", f"Block {name}", days, caller=caller or ""))
    return f"<h2>What to do</h2>\n{''.join(found)}"


def _form(frame: Frame, path: str, action: str, label: str, fields: str = "", **hidden: str) -> str:
    path = path if path.startswith(PATH) else PATH + path
    sent = {"form_token": frame.form_token, "action": action, **hidden}
    inputs = "".join(
        f'<input type="hidden" name="{name}" value="{as_attribute(value)}">'
        for name, value in sent.items()
    )
    return (
        f'<form method="post" action="{as_attribute(address(path))}">{inputs}{fields}'
        f'<button class="press quiet">{as_text(label)}</button></form>'
    )


def _section(heading: str, rows: str) -> str:
    return f"<h2>{as_text(heading)}</h2>\n<dl>{rows or '<dt>None</dt><dd></dd>'}</dl>\n"


def _to(where: str) -> str:
    return as_attribute(address(f"{PATH}{where}"))


def _clip(job_id: str) -> str:
    return _to(f"/clips/{job_id}")


def _count(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _line(entry: dict[str, Any]) -> str:
    rest = {name: value for name, value in entry.items() if name not in ("at", "action", "rule")}
    found = f"{entry.get('action', '')} ({entry.get('rule', '')})"
    return f"{found} {json.dumps(rest, ensure_ascii=False)}" if rest else found
