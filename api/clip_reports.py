"""The report of a shared clip: a form that needs no script, no account and no cookie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import Response

from api.core import ApiContext
from errors import ErrorCode, KinoraError
from jobs.shares import SharedClip
from web import report_page, share_page
from web.errors import NO_STORE, SAFE
from web.identity import ANYONE, Callers
from web.languages import Language, language_of
from web.limits import Full, Window, windows_for
from web.plain_forms import read_fields
from web.share_tools import PATH

HOUR_S = 3600


class ClipReports:
    def __init__(self, core: ApiContext) -> None:
        self.service = core.service
        settings = core.service.settings
        self._windows = windows_for(settings)
        self._limit = [Window(HOUR_S, settings.reports_per_hour)]

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        where = f"{PATH}/{{share_id}}/report"

        def add(handler: Callable[..., Any], *methods: str) -> None:
            router.add_api_route(where, handler, methods=list(methods), response_model=None)

        add(self.form, "GET", "HEAD")
        add(self.send, "POST")
        return router

    async def form(self, request: Request, share_id: str) -> Response:
        language = language_of(request)
        try:
            shared = await in_thread(self.service.shares.find, share_id)
        except KinoraError as error:
            return _not_found(error, language)
        return _html(report_page.render_form(shared, language))

    async def send(self, request: Request, share_id: str) -> Response:
        fields = await read_fields(request)
        callers: Callers = request.app.state.callers
        reporter = f"{ANYONE}{callers.limited_as(request)}"
        return await in_thread(self._send, share_id, fields, reporter, language_of(request))

    def _send(
        self, share_id: str, fields: dict[str, str], reporter: str, language: Language
    ) -> Response:
        try:
            shared = self.service.shares.find(share_id)
        except KinoraError as error:
            return _not_found(error, language)
        reason, note = fields.get("reason", ""), fields.get("note", "")
        try:
            self._count(reporter)
            self.service.moderation.report(share_id, reason, note, reporter)
        except KinoraError as error:
            if error.kind.http_status >= 500:
                raise
            return _refused(shared, language, reason, note, error)
        return _html(report_page.render_thanks(shared, language))

    def _count(self, reporter: str) -> None:
        """Raises KinoraError(RATE_LIMITED)."""
        found = self._windows.take(f"report:{reporter}", 1, self._limit, None)
        if isinstance(found, Full):
            minutes = max(1, round(found.free_s / 60 + 0.5))
            span = "a minute" if minutes == 1 else f"{minutes} minutes"
            sentence = f"There are many reports from your address. Send this one in {span}."
            details = {"retry_after_s": max(1, round(found.free_s + 0.5))}
            raise KinoraError(ErrorCode.RATE_LIMITED, sentence, details=details)


def _refused(
    shared: SharedClip, language: Language, reason: str, note: str, error: KinoraError
) -> Response:
    html = report_page.render_form(shared, language, reason, note, error.message)
    response = _html(html, error.kind.http_status)
    if wait_s := error.details.get("retry_after_s"):
        response.headers["Retry-After"] = str(wait_s)
    return response


def _not_found(error: KinoraError, language: Language) -> Response:
    """The same page as for every link that leads nowhere."""
    if error.code is not ErrorCode.NOT_FOUND:
        raise error
    return _html(share_page.render_not_found(language), 404)


def _html(text: str, status: int = 200) -> Response:
    # with "no-referrer" a browser sends `Origin: null` with the form, as another site's page would
    more = {"Content-Security-Policy": share_page.FORM_POLICY, "Referrer-Policy": "same-origin"}
    content = text.encode("utf-8", "replace")
    return Response(content, status, {**NO_STORE, **SAFE, **more}, "text/html; charset=utf-8")
