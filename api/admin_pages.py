"""`/admin`: the operator's queue of reports. Off, and not found, without KINORA_ADMIN_KEY.

A browser logs in and gets HTML; a program sends the key in `X-Kinora-Admin-Key` and gets JSON.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.encoders import jsonable_encoder
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from api.core import ApiContext
from errors import ErrorCode, KinoraError
from jobs.audit_log import AuditEvent
from jobs.moderation import PAGE_SIZE, ClipCase, File
from web import admin_page
from web.addresses import address
from web.admin_access import COOKIE, HEADER, AdminAccess, cookie_line
from web.admin_page import PATH, Frame
from web.errors import NO_STORE, SAFE
from web.files import send_file
from web.identity import ANYONE, Callers, is_https, is_same_origin
from web.plain_forms import read_fields

JOB_ID = re.compile(r"[0-9a-f]{32}")
OPERATOR = "operator"
LOG_LINES = 200
PRIVATE = {
    **NO_STORE, **SAFE, "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}  # fmt: skip


@dataclass(frozen=True)
class Operator:
    """Who has proved that it has the key. `session` is None for a program."""

    session: str | None
    frame: Frame

    @property
    def is_program(self) -> bool:
        return self.session is None


class AdminPages:
    def __init__(self, core: ApiContext) -> None:
        self.service = core.service
        self._access = AdminAccess(core.service.settings)

    def router(self) -> APIRouter:
        router = APIRouter(prefix=PATH, include_in_schema=False)

        def add(path: str, handler: Callable[..., Any], *methods: str) -> None:
            router.add_api_route(path, handler, methods=list(methods), response_model=None)

        add("", self.queue, "GET")
        add("", self.act, "POST")
        add("/login", self.login, "POST")
        add("/blocks", self.blocks, "GET")
        add("/log", self.log, "GET")
        add("/clips/{job_id}", self.clip, "GET")
        add("/clips/{job_id}", self.act_on_clip, "POST")
        add("/clips/{job_id}/{file}", self.file, "GET", "HEAD")
        return router

    # -- pages -------------------------------------------------------------------------------------

    async def queue(
        self,
        request: Request,
        after: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    ) -> Response:
        def show(operator: Operator) -> Response:
            clips = self.service.moderation.queue(PAGE_SIZE, after)
            next_page = clips[-1].first_at if len(clips) == PAGE_SIZE else None
            if operator.is_program:
                return _json({"clips": clips, "next": next_page})
            count = self.service.moderation.count_open()
            return _html(admin_page.render_queue(operator.frame, clips, count, next_page))

        return await self._show(request, show)

    async def clip(self, request: Request, job_id: str) -> Response:
        return await self._show(request, lambda operator: self._render_case(operator, job_id))

    async def blocks(self, request: Request) -> Response:
        def show(operator: Operator) -> Response:
            moderation = self.service.moderation
            removed, files = moderation.removed(), moderation.blocked_files()
            callers = moderation.blocked_callers()
            if operator.is_program:
                return _json({"removed": removed, "files": files, "callers": callers})
            return _html(admin_page.render_blocks(operator.frame, removed, files, callers))

        return await self._show(request, show)

    async def log(self, request: Request) -> Response:
        def show(operator: Operator) -> Response:
            entries = self.service.moderation.log(LOG_LINES)
            if operator.is_program:
                return _json({"entries": entries})
            return _html(admin_page.render_log(operator.frame, entries))

        return await self._show(request, show)

    async def file(self, request: Request, job_id: str, file: str) -> Response:
        def show(_: Operator) -> Response:
            kinds: dict[str, File] = {"clip": "clip", "poster": "poster"}
            if file not in kinds:
                raise KinoraError(ErrorCode.NOT_FOUND)
            path = self.service.moderation.file_path(_checked(job_id), kinds[file])
            return send_file(request, path, f"kinora-{job_id[:8]}", headers=PRIVATE)

        return await self._show(request, show)

    # -- what the operator does --------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        self._require_on()
        fields = await read_fields(request)
        path = address(PATH)
        secure = is_https(request.scope, request.headers)
        if fields.get("action") == "logout":
            operator = await self._operator(request)
            self._check_form(request, operator, fields)
            self._access.end_session(operator.session or "")
            return _redirect(path, cookie_line("", path, secure=secure))
        try:
            await in_thread(self._check_key, request, fields.get("key", ""))
        except KinoraError as error:
            return _html(admin_page.render_login(error.message), error.kind.http_status)
        self._record(AuditEvent("login", OPERATOR, caller=_address(request)))
        return _redirect(path, cookie_line(self._access.new_session(), path, secure=secure))

    async def act(self, request: Request) -> Response:
        """Undoes a block, from the list of blocks."""

        def act(fields: dict[str, str]) -> None:
            match fields.get("action"):
                case "unblock-file":
                    job_id = _checked(fields.get("job", ""))
                    self.service.moderation.unblock_file(job_id, OPERATOR)
                case "unblock-caller":
                    caller = fields.get("caller", "")
                    self.service.moderation.unblock_caller(caller, OPERATOR)
                case _:
                    raise _unknown_action()

        return await self._act(request, act, f"{PATH}/blocks")

    async def act_on_clip(self, request: Request, job_id: str) -> Response:
        def act(fields: dict[str, str]) -> None:
            moderation, clip = self.service.moderation, _checked(job_id)
            match fields.get("action"):
                case "remove":
                    moderation.remove(clip, OPERATOR, fields.get("note", ""))
                case "restore":
                    moderation.restore(clip, OPERATOR)
                case "dismiss":
                    moderation.dismiss(clip, OPERATOR)
                case "block-file":
                    moderation.block_file(clip, OPERATOR)
                case "unblock-file":
                    moderation.unblock_file(clip, OPERATOR)
                case "block-caller":
                    days = _days(fields.get("days", ""))
                    moderation.block_caller(fields.get("caller", ""), days, OPERATOR)
                case _:
                    raise _unknown_action()

        return await self._act(request, act, f"{PATH}/clips/{job_id}")

    # -- access ------------------------------------------------------------------------------------

    def _require_on(self) -> None:
        if not self._access.is_on:
            raise KinoraError(ErrorCode.NOT_FOUND)

    async def _operator(self, request: Request) -> Operator:
        """Raises KinoraError: NOT_FOUND where there is no such page, UNAUTHORIZED, RATE_LIMITED."""
        self._require_on()
        key = request.headers.get(HEADER)
        if key is not None:
            await in_thread(self._check_key, request, key)
            return Operator(None, Frame(""))
        session = request.cookies.get(COOKIE, "")
        if not is_same_origin(request.headers) or not self._access.is_session(session):
            raise KinoraError(ErrorCode.UNAUTHORIZED, "Log in to see this page.")
        return Operator(session, Frame(self._access.form_token(session)))

    def _check_key(self, request: Request, key: str) -> None:
        caller = _address(request)
        try:
            self._access.check_key(key, caller)
        except KinoraError as error:
            self._record(AuditEvent("login_failed", error.code.value, caller=caller))
            raise

    def _check_form(self, request: Request, operator: Operator, fields: dict[str, str]) -> None:
        """A browser sends the cookie by itself, so the form must have come from our own page."""
        if operator.session is None:
            return
        token = fields.get("form_token", "")
        if not self._access.is_form_token(operator.session, token):
            raise KinoraError(ErrorCode.FORBIDDEN, "This form is too old. Open the page again.")

    async def _show(self, request: Request, show: Callable[[Operator], Response]) -> Response:
        try:
            operator = await self._operator(request)
        except KinoraError as error:
            return self._login_form(request, error)
        return await self._or_error(operator, lambda: in_thread(show, operator))

    async def _act(
        self, request: Request, act: Callable[[dict[str, str]], None], then: str
    ) -> Response:
        try:
            operator = await self._operator(request)
        except KinoraError as error:
            return self._login_form(request, error)

        async def run() -> Response:
            fields = await read_fields(request)
            self._check_form(request, operator, fields)
            await in_thread(act, fields)
            return _json({"done": True}) if operator.is_program else _redirect(address(then))

        return await self._or_error(operator, run)

    def _login_form(self, request: Request, error: KinoraError) -> Response:
        if error.code is ErrorCode.NOT_FOUND or HEADER in request.headers:
            raise error
        return _html(admin_page.render_login(), error.kind.http_status)

    async def _or_error(
        self, operator: Operator, run: Callable[[], Awaitable[Response]]
    ) -> Response:
        try:
            return await run()
        except KinoraError as error:
            if operator.is_program:
                raise
            frame = Frame(operator.frame.form_token, error.message)
            return _html(admin_page.render_error(frame), error.kind.http_status)

    def _render_case(self, operator: Operator, job_id: str) -> Response:
        case = self.service.moderation.case(_checked(job_id))
        has_files = self._has_files(case)
        if operator.is_program:
            return _json(_case_json(case) | {"has_files": has_files})
        return _html(admin_page.render_case(operator.frame, case, has_files))

    def _has_files(self, case: ClipCase) -> bool:
        try:
            self.service.moderation.file_path(case.job_id, "clip")
        except KinoraError as error:
            if error.kind.http_status >= 500:
                raise
            return False
        return True

    def _record(self, event: AuditEvent) -> None:
        self.service.moderation.audit.record(event)


def _case_json(case: ClipCase) -> dict[str, Any]:
    found = {name: value for name, value in asdict(case).items() if name != "job"}
    job = case.job
    found["clip"] = job and {
        "prompt": job.fitted.prompt, "model": job.fitted.model, "created_at": job.created_at
    }  # fmt: skip
    if case.share:
        found["share"] = case.share.model_dump(exclude={"owner"})
    return found


def _address(request: Request) -> str:
    callers: Callers = request.app.state.callers
    return f"{ANYONE}{callers.limited_as(request)}"


def _checked(job_id: str) -> str:
    if not JOB_ID.fullmatch(job_id):
        raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
    return job_id


def _days(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # refused with a sentence


def _unknown_action() -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, "There is no such action.")


def _json(body: Any) -> Response:
    return JSONResponse(jsonable_encoder(body), headers=PRIVATE)


def _html(text: str, status: int = 200) -> Response:
    headers = {**PRIVATE, "Content-Security-Policy": admin_page.POLICY}
    content = text.encode("utf-8", "replace")
    return Response(content, status, headers, "text/html; charset=utf-8")


def _redirect(path: str, cookie: str | None = None) -> Response:
    response = RedirectResponse(path, 303, headers=PRIVATE)
    if cookie:
        response.headers["Set-Cookie"] = cookie
    return response
