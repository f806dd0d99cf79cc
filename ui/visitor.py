"""Who is asking: a random name in a cookie, given on the first visit.

Knows HTTP headers. The name is all there is to a visitor: no account, no address, no fingerprint.
Where a browser keeps no cookie, the page itself keeps the name and sends it as a header.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "kinora_visitor"
HEADER = "x-kinora-visitor"
"""The same name, sent by a page whose browser keeps no cookie. Who sends a name is that visitor and
nobody else, so another site's page gains nothing by it."""
YEAR_S = 365 * 24 * 3600
_NAME = re.compile(r"[0-9a-f]{32}\Z")


class VisitorCookie:
    """Puts `visitor` into the scope's state, and sets the cookie where the browser had none.

    `framed`: other sites' pages may show this one in a frame."""

    def __init__(self, app: ASGIApp, framed: bool = False) -> None:
        self.app = app
        self.framed = framed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known = read_cookie(HTTPConnection(scope))
        # the header first: a page that began without a cookie stays the visitor that it was
        visitor = read_header(headers) or known or secrets.token_hex(16)
        scope.setdefault("state", {})["visitor"] = visitor
        if known:
            await self.app(scope, receive, send)
            return
        line = cookie_line(visitor, secure=is_https(scope, headers), framed=self.framed)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", line)
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def read_cookie(connection: HTTPConnection) -> str | None:
    value = connection.cookies.get(COOKIE, "")
    return value if _NAME.match(value) else None


def read_header(headers: Headers) -> str | None:
    value = headers.get(HEADER, "")
    return value if _NAME.match(value) else None


def cookie_line(visitor: str, *, secure: bool, framed: bool = False) -> str:
    """Another site's frame gets a cookie of its own (Partitioned), which browsers keep over https
    only; where no other site may show the page, the cookie never leaves its own site."""
    place = "SameSite=None; Secure; Partitioned" if secure and framed else "SameSite=Lax"
    if secure and not framed:
        place += "; Secure"
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


def load_secret(path: Path) -> bytes:
    """Random, made once for this data folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), path.open("xb") as file:
            path.chmod(0o600)
            file.write(secrets.token_bytes(32))
    except OSError:  # a read-only disk: names last as long as this process then
        return secrets.token_bytes(32)
    return path.read_bytes()
