"""The outermost ASGI middleware: routes requests to the API or the page.

Enforces CORS and body limits, blocks unused routes of Gradio, and sets a request id and security
headers on every response.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from httpx import InvalidURL
from starlette.datastructures import FormData, Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import ErrorCode, KinoraError
from media.files import NO_ROOM
from web.addresses import below_root
from web.errors import error_response, request_id
from web.identity import is_https, is_same_origin, proxy_fault, warn_of_proxy
from web.languages import Language, language_of
from web.limits import TEXT_BYTES, limited, most_bytes

if TYPE_CHECKING:
    from settings import Settings
    from web.metrics import Metrics

log = logging.getLogger(__name__)

METHODS = "GET, HEAD, POST, PUT, DELETE"
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SENT = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Range, X-Api-Key"
SHOWN = (
    "Content-Range, ETag, Location, Retry-After, X-Kinora-Frames, X-Kinora-Preview, X-Request-Id"
)

API_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'{style}; object-src 'none'; base-uri 'self'; "
    "form-action 'self'"
)
"""Gradio's page compiles templates, so it needs eval. It loads nothing from other hosts."""
EMBEDDERS = "https://huggingface.co https://*.hf.space"
"""The Hub shows a Space in an iframe."""
HUB_STYLE = " https://fonts.googleapis.com"
HUB_API = " ".join(
    f"https://huggingface.co/api/{what}/" for what in ("spaces", "users", "organizations")
)
HUB_POLICY = (
    f"; connect-src 'self' data: blob: {HUB_API} https://cdn-avatars.huggingface.co"
    f"; img-src 'self' data: blob: {HUB_API} https://huggingface.co/avatars/ "
    "https://cdn-avatars.huggingface.co"
    "; font-src 'self' data: https://fonts.gstatic.com"
)
"""On a Space, Gradio's page queries the Hub whether the Space is awake, and on its own domain it
shows the Hub's header with the author's avatar, the likes and two fonts."""


def page_policy(settings: Settings) -> str:
    """The Content-Security-Policy of the page: what it may load, and which sites may embed it."""
    embedders = ["'self'", *([EMBEDDERS] if settings.on_space else []), *settings.embed_origins]
    policy = PAGE_POLICY.format(style=HUB_STYLE if settings.on_space else "")
    policy += HUB_POLICY if settings.on_space else ""
    policy += f"; frame-src 'self' {settings.scene_origin}" if settings.scene_origin else ""
    return f"{policy}; frame-ancestors {' '.join(embedders)}"


BLOCKED = re.compile(
    r"/(gradio_api/)?("
    r"proxy=|file=\s*[a-z][a-z0-9+.-]*:/|custom_component/|component_server|process_recording|"
    r"stream/|deep_link|monitoring|profiling|run-history|runs|vibe-|undo-vibe)",
    re.IGNORECASE,
)
"""Unused routes of Gradio, which fetch other sites, edit recordings, store links and so on."""

BAD_INPUT = (ValueError, TypeError, LookupError, AttributeError, AssertionError, InvalidURL)


class Guard:
    def __init__(
        self,
        page: ASGIApp,
        api: ASGIApp,
        is_ours: Callable[[str], bool],
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.metrics = metrics
        self.page = page
        self.api = api
        self.is_ours = is_ours
        self.settings = settings
        self.page_policy = page_policy(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.page(scope, receive, send)
            return
        scope = below_root(scope)  # routes are recognized by their path below the root
        number = secrets.token_hex(8)
        request_id.set(number)
        send = _add_headers(send, {"X-Request-Id": number})
        warn_of_proxy(scope, Headers(scope=scope))
        if self.is_ours(scope["path"]):
            await self._api_with_metrics(
                scope, receive, self._with_headers(scope, send, API_POLICY)
            )
        else:
            await self._serve_page(
                scope, receive, self._with_headers(scope, send, self.page_policy)
            )

    async def _serve_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs Gradio's application, with a body limit and without blocked routes, and replaces its
        bare 500 responses by our errors."""
        refused: KinoraError | None = None
        held: list[Message] = []  # a bare 500: the exception that caused it is raised after it

        async def counted() -> Message:
            nonlocal refused
            try:
                return await within()
            except KinoraError as error:
                refused = error
                raise

        async def sending(message: Message) -> None:
            if held or (message["type"] == "http.response.start" and message["status"] == 500):
                held.append(message)
            elif refused is None:
                await send(message)

        try:
            if BLOCKED.match(scope["path"]):
                raise KinoraError(ErrorCode.NOT_FOUND)
            self._refuse_foreign_pages(scope)
            within = limited(scope, receive, self._most_bytes_for_the_page())
            await self.page(scope, counted, sending)
        except KinoraError as error:
            refused = refused or error
        except Exception as error:
            if not held and refused is None:
                raise
            refused = refused or _as_error(scope["path"], error)
        if refused is not None:
            await error_response(refused, scope["path"], _page_language(scope))(
                scope, receive, send
            )
            return
        for message in held:
            await send(message)

    def _refuse_foreign_pages(self, scope: Scope) -> None:
        """Another site may embed our page, but only sites in `cors_origins` may use it."""
        headers = Headers(scope=scope)
        if scope["method"] in ("GET", "HEAD", "OPTIONS") or is_same_origin(headers):
            return
        if self._allowed(headers.get("origin", "")) is None:
            raise KinoraError(ErrorCode.FORBIDDEN, proxy_fault(headers))

    def _most_bytes_for_the_page(self) -> int:
        largest = max(self.settings.max_image_bytes, self.settings.max_video_upload_bytes)
        return largest + TEXT_BYTES

    async def _api_with_metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._api(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in KNOWN_METHODS else "other"
            seconds = None if route.endswith("/events") else time.perf_counter() - began
            self.metrics.request(method, route, status, seconds)

    async def _api(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        try:
            # 1. A page of another site: only allowed origins, and without the cookie.
            if origin is not None and not is_same_origin(headers):
                allowed = self._allowed(origin)
                if allowed is None:
                    raise KinoraError(ErrorCode.FORBIDDEN, proxy_fault(headers))
                if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                    await self._preflight(allowed)(scope, receive, send)
                    return
                send = _add_headers(send, {**allowed, "Access-Control-Expose-Headers": SHOWN})

            # 2. The body, up to its limit.
            is_form = headers.get("content-type", "").lower().startswith("multipart/")
            most = most_bytes(scope["path"], self.settings, is_form=is_form)
            receive = limited(scope, receive, most)
        except KinoraError as error:
            language = language_of(Request(scope))
            await error_response(error, scope["path"], language)(scope, receive, send)
            return
        forms: list[FormData] = []
        scope.setdefault("state", {})["forms"] = forms
        try:
            await self.api(scope, receive, send)
        finally:
            for form in forms:
                await form.close()

    def _allowed(self, origin: str) -> dict[str, str] | None:
        if "*" in self.settings.cors_origins:
            return {"Access-Control-Allow-Origin": "*"}
        if origin in self.settings.cors_origins:
            return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        return None

    def _preflight(self, allowed: dict[str, str]) -> Response:
        methods = {"Access-Control-Allow-Methods": METHODS, "Access-Control-Allow-Headers": SENT}
        return Response(
            status_code=204, headers={**allowed, **methods, "Access-Control-Max-Age": "600"}
        )

    def _with_headers(self, scope: Scope, send: Send, policy: str) -> Send:
        headers = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "strict-origin-when-cross-origin",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
            "Content-Security-Policy": policy,
        }
        if is_https(scope, Headers(scope=scope)):
            headers["Strict-Transport-Security"] = "max-age=31536000"
        return _add_headers(send, headers)


def _as_error(path: str, error: Exception) -> KinoraError:
    """Gradio's own routes do not validate their input: exceptions that bad input causes there are
    the client's fault, all others are ours."""
    log.warning("Request %s: %s", request_id.get(), path, exc_info=error)
    if not path.startswith("/kinora/") and isinstance(error, BAD_INPUT):
        return KinoraError(ErrorCode.INVALID_INPUT, "The request cannot be read.")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return KinoraError(ErrorCode.OUT_OF_DISK)
    return KinoraError(ErrorCode.INTERNAL)


def _page_language(scope: Scope) -> Language | None:
    """English for our page's script, which translates what it shows itself."""
    request = Request(scope)
    return None if "x-kinora" in request.headers else language_of(request, cookie=True)


def _add_headers(send: Send, headers: dict[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            response = MutableHeaders(scope=message)
            for name, value in headers.items():
                response.setdefault(name, value)
        await send(message)

    return sending
