"""Who is asking: a random name in a cookie, given on the first visit.

Knows HTTP headers. The name is all there is to a visitor: no account, no address, no fingerprint.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

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


def proxy_fault(headers: Headers) -> str | None:
    """Where the origin does not match because a proxy has changed the host: what it must do.

    The browser says that its own page asks, or the host is an inner one, which no browser has
    opened from outside."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is None or is_same_origin(headers):
        return None
    site = headers.get("sec-fetch-site")
    if site != "same-origin" and (site or not _is_inner(host) or _is_inner(_netloc(origin))):
        return None
    return (
        f"This page was opened at {_netloc(origin)}, but the server was asked as {host}. The proxy "
        "must pass on the header Host (nginx: proxy_set_header Host $http_host)."
    )


_said: set[str] = set()


def warn_of_proxy(scope: Scope, headers: Headers) -> None:
    """Says in the log, once for each, which header a proxy does not pass on."""
    fault, origin = proxy_fault(headers), headers.get("origin", "")
    is_hidden = origin.startswith("https://") and not is_https(scope, headers)
    if fault is None and is_hidden and is_same_origin(headers):
        fault = (
            f"The page is open at {origin}, but the proxy says nothing of https. It must pass on "
            "the header X-Forwarded-Proto (nginx: proxy_set_header X-Forwarded-Proto $scheme)."
        )
    if fault and fault not in _said and len(_said) < MOST_WARNINGS:
        _said.add(fault)
        log.warning("%s", fault)


MOST_WARNINGS = 20
"""Strangers choose what is in these headers."""


def _netloc(origin: str) -> str:
    return urlsplit(origin).netloc


def _is_inner(host: str) -> bool:
    """localhost, the name of a container, or an address that is not on the internet."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return not ipaddress.ip_address(name).is_global
    except ValueError:
        return "." not in name
