"""Who is calling: a program with a key, a visitor of the page, or anyone.

Anyone's clips are found by their unguessable ids and are in no list. An address is kept only as a
keyed hash. Knows headers and settings; does not know what is asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from errors import ErrorCode, KinoraError
from jobs.job import Job
from media.files import stat_of, whole
from settings import Settings
from ui.visitor import is_same_origin, owner_of, read_cookie

OWN_SECRET = 20
"""Letters a caller's own Bearer secret must have to be a name of theirs; `test` is everybody's."""
ANYONE = "anyone:"
QUOTA = "x-ip-token"
PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Caller:
    """`limited_as` is what limits count by: a cookie is too cheap a name for that."""

    owner: str
    kind: Literal["program", "visitor", "anyone"]
    limited_as: str
    quota: str | None = field(default=None, repr=False)
    """On ZeroGPU: what the Hub's proxy wrote into the request, for the GPU to be lent by."""

    def may_see(self, job: Job) -> bool:
        return job.owner == self.owner or job.owner.startswith(ANYONE)

    def named(self) -> str:
        """The owner, where lists are asked for: those need a name."""
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
        given = settings.trusted_proxies or (PRIVATE if settings.on_space else ())
        self._proxies = [_network(each) for each in given]
        self._secret = _secret(settings.data_dir / "secret")

    def identify(self, request: Request) -> Caller:
        """KinoraError where keys are wanted and none of them is shown."""
        return replace(self._who(request), quota=request.headers.get(QUOTA) or None)

    def _who(self, request: Request) -> Caller:
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

    def address(self, scope: Scope) -> str:
        """Where the call comes from: what trusted proxies say, as far as they are trusted."""
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
        for name, key in self._keys.items():  # all of them: time tells nothing
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
    given = secret.strip() if scheme.lower() == "bearer" else ""
    return headers.get("x-api-key") or given or None


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


def _link(part: Path, path: Path) -> None:
    """FileExistsError where another server was first. Some disks have no links."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        pass


def _secret(path: Path) -> bytes:
    """Random, made once for this data folder."""
    made = secrets.token_bytes(32)
    try:
        if stat_of(path) is None or not path.read_bytes():  # a full disk leaves an empty one
            with whole(path) as part:
                part.touch(0o600)
                part.write_bytes(made)
                if stat_of(path) is None:
                    _link(part, path)
    except FileExistsError:
        pass
    except (OSError, KinoraError):  # nothing can be written: names last as long as the process
        return made
    return path.read_bytes()
