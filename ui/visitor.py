"""Who is asking: a random name in a cookie, given on the first visit.

Knows HTTP headers. The name is all there is to a visitor: no account, no address, no fingerprint.
"""

from __future__ import annotations

import re
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "kinora_visitor"
YEAR_S = 365 * 24 * 3600
_NAME = re.compile(r"[0-9a-f]{32}\Z")


class VisitorCookie:
    """Puts `visitor` into the scope's state, and sets the cookie where the browser had none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known = read_cookie(HTTPConnection(scope))
        visitor = known or secrets.token_hex(16)
        scope.setdefault("state", {})["visitor"] = visitor
        if known:
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append(
                    "set-cookie", cookie_line(visitor, secure=is_https(scope, headers))
                )
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def read_cookie(connection: HTTPConnection) -> str | None:
    value = connection.cookies.get(COOKIE, "")
    return value if _NAME.match(value) else None


def cookie_line(visitor: str, *, secure: bool) -> str:
    """Over https the page may live in another site's frame (a Space does), so the cookie is
    partitioned by that site; over http it stays with the site itself."""
    place = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
    return f"{COOKIE}={visitor}; Path=/; Max-Age={YEAR_S}; HttpOnly; {place}"


def is_https(scope: Scope, headers: Headers) -> bool:
    forwarded = headers.get("x-forwarded-proto", "").split(",")[0].strip()
    return (forwarded or scope.get("scheme", "http")) == "https"


def owner_of(visitor: str) -> str:
    return f"visitor:{visitor}"


def is_same_origin(headers: Headers) -> bool:
    """False where a browser says that another site's page is asking."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none", "same-site")
    host = headers.get("x-forwarded-host") or headers.get("host", "")
    return urlsplit(origin).netloc == host.split(",")[0].strip()
