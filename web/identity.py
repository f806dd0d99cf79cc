"""Identifies the caller: a program with a key, a visitor of the page, or anyone.

The clips of an anonymous caller are found by their unguessable ids and are in no list. IP addresses
are stored as keyed hashes only.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import re
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import ErrorCode, KinoraError
from jobs.job import Job
from media.files import atomic_write, stat_or_none
from settings import Settings

OWN_SECRET = 20
"""The least length of a caller's own Bearer secret: a word like `test` would be shared by many."""
ANYONE = "anyone:"
QUOTA = "x-ip-token"
PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Caller:
    """`limited_as` is the key of the rate limits: a new cookie is too easy to get."""

    owner: str
    kind: Literal["program", "visitor", "anyone"]
    limited_as: str
    quota: str | None = field(default=None, repr=False)
    """On ZeroGPU: the token that the Hub's proxy adds to the request, for the caller's quota."""

    def may_see(self, job: Job) -> bool:
        return job.owner == self.owner or job.owner.startswith(ANYONE)

    def named(self) -> str:
        """The owner, for lists. Raises KinoraError(UNAUTHORIZED) for an anonymous caller."""
        if self.kind == "anyone":
            raise KinoraError(
                ErrorCode.UNAUTHORIZED,
                "Lists are for callers with a name. Send a secret of your own, at least "
                f"{OWN_SECRET} letters, as Authorization: Bearer, when you make clips and here.",
            )
        return self.owner


class Callers:
    def __init__(self, settings: Settings) -> None:
        self._keys = {name: key.get_secret_value() for name, key in settings.api_keys.items()}
        proxies = settings.trusted_proxies or (PRIVATE if settings.on_space else ())
        self._proxies = [_network(each) for each in proxies]
        self._secret = load_secret(settings.data_dir / "secret")

    def identify(self, request: Request) -> Caller:
        """Raises KinoraError(UNAUTHORIZED) if API keys are set and the request has none of them."""
        return replace(self._identify(request), quota=request.headers.get(QUOTA) or None)

    def _identify(self, request: Request) -> Caller:
        address = self._hashed(self.address(request.scope))
        secret = _bearer(request.headers)
        if self._keys:
            name = self._program(secret or "")
            return Caller(f"program:{name}", "program", f"program:{name}")
        if secret and len(secret) >= OWN_SECRET:
            return Caller(f"secret:{self._hashed(secret)}", "program", address)
        visitor = read_cookie(request) if is_same_origin(request.headers) else None
        if visitor:
            return Caller(owner_of(visitor), "visitor", address)
        return Caller(f"{ANYONE}{address}", "anyone", address)

    def limited_as(self, request: Request) -> str:
        """The key of the rate limits for a visitor of the page."""
        return self._hashed(self.address(request.scope))

    def address(self, scope: Scope) -> str:
        """The client's IP address: X-Forwarded-For, as far back as proxies are trusted."""
        peer = (scope.get("client") or ("", 0))[0]
        forwarded = Headers(scope=scope).getlist("x-forwarded-for")
        for claimed in reversed(",".join(forwarded).split(",")):
            if not self._is_proxy(peer) or not _is_address(claimed.strip()):
                break
            peer = claimed.strip()
        return peer

    def _is_proxy(self, address: str) -> bool:
        if not _is_address(address):
            return False
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self._proxies)

    def _program(self, secret: str) -> str:
        found = None
        for name, key in self._keys.items():  # all of them, in constant time
            if hmac.compare_digest(key.encode(), secret.encode("utf-8", "replace")):
                found = name
        if found is None:
            raise KinoraError(ErrorCode.UNAUTHORIZED)
        return found

    def _hashed(self, what: str) -> str:
        return hmac.new(
            self._secret, what.encode("utf-8", "surrogateescape"), hashlib.sha256
        ).hexdigest()[:32]


def _bearer(headers: Headers) -> str | None:
    """X-Api-Key first: behind the Hub's proxy, Authorization may hold the Hub's own token."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    bearer = secret.strip() if scheme.lower() == "bearer" else ""
    return headers.get("x-api-key") or bearer or None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            f"KINORA_TRUSTED_PROXIES: {text} is no address and no network.",
        ) from None


log = logging.getLogger(__name__)

COOKIE = "kinora_visitor"

HEADER = "x-kinora-visitor"
"""The visitor's name, sent by a page whose browser keeps no cookie. Another site's page gains
nothing by sending one: it would only be another visitor."""

YEAR_S = 365 * 24 * 3600

_NAME = re.compile(r"[0-9a-f]{32}\Z")


class VisitorCookie:
    """Middleware: puts `visitor` into the scope's state, and sets the cookie if there was none.

    `framed`: other sites may show the page in a frame."""

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
    """In another site's frame the cookie is Partitioned, which browsers keep over https only; where
    no other site may frame the page, it is SameSite=Lax."""
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
    """False if the browser says that the request comes from another site's page."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none", "same-site")
    host = headers.get("x-forwarded-host") or headers.get("host", "")
    return urlsplit(origin).netloc == host.split(",")[0].strip()


def _link(part: Path, path: Path) -> None:
    """Raises FileExistsError if another server was first. Some disks have no hard links."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        pass


def load_secret(path: Path) -> bytes:
    """A random secret, created once per data folder."""
    made = secrets.token_bytes(32)
    try:
        if stat_or_none(path) is None or not path.read_bytes():  # a full disk leaves an empty one
            with atomic_write(path) as part:
                part.touch(0o600)
                part.write_bytes(made)
                if stat_or_none(path) is None:
                    _link(part, path)
    except FileExistsError:
        pass
    except (OSError, KinoraError):  # read-only: hashed names are valid until the process ends
        return made
    return path.read_bytes()


def proxy_fault(headers: Headers) -> str | None:
    """If the origin does not match because a proxy changed the host: what the proxy must do.

    That is so if the browser calls the request same-origin, or if the host is an internal name that
    no browser can have opened from outside."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is None or is_same_origin(headers):
        return None
    site = headers.get("sec-fetch-site")
    if site != "same-origin" and (site or not _is_internal(host) or _is_internal(_netloc(origin))):
        return None
    return (
        f"This page was opened at {_netloc(origin)}, but the request names the host {host}. "
        "The proxy must pass on the header Host (nginx: proxy_set_header Host $http_host)."
    )


_warned: set[str] = set()

MOST_WARNINGS = 20
"""Clients choose what is in these headers, so the number of warnings is limited."""


def warn_of_proxy(scope: Scope, headers: Headers) -> None:
    """Logs, once for each, which header a proxy does not pass on."""
    fault, origin = proxy_fault(headers), headers.get("origin", "")
    is_hidden = origin.startswith("https://") and not is_https(scope, headers)
    if fault is None and is_hidden and is_same_origin(headers):
        fault = (
            f"The page is open at {origin}, but the proxy says nothing of https. It must pass on "
            "the header X-Forwarded-Proto (nginx: proxy_set_header X-Forwarded-Proto $scheme)."
        )
    if fault and fault not in _warned and len(_warned) < MOST_WARNINGS:
        _warned.add(fault)
        log.warning("%s", fault)


def _netloc(origin: str) -> str:
    return urlsplit(origin).netloc


def _is_internal(host: str) -> bool:
    """localhost, the name of a container, or an address that is not public."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return not ipaddress.ip_address(name).is_global
    except ValueError:
        return "." not in name
