"""Addresses in answers: below a path of another site (GRADIO_ROOT_PATH), and absolute.

A proxy may pass that path on or take it off: both are understood. What headers say is believed for
the answer to that very request only.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from web.identity import is_https

_root: ContextVar[str] = ContextVar("root", default="")


def address(path: str) -> str:
    """Of one of our paths, as the caller of this request can use it."""
    return f"{_root.get()}{path}"


def root_address() -> str:
    """Where "/" is for the caller; empty at the top of a site."""
    return _root.get()


def below_root(scope: Scope) -> Scope:
    """The scope with a path of ours, without what the app is served below. Remembers that for
    `address` for the rest of the request."""
    root = _normalised(scope.get("root_path", ""))
    _root.set(root)
    prefix = urlsplit(root).path
    path: str = scope["path"]
    if not prefix or not (path == prefix or path.startswith(f"{prefix}/")):
        return scope
    raw: bytes | None = scope.get("raw_path")
    start = prefix.encode()
    if raw is not None and raw.startswith(start):
        raw = raw[len(start) :] or b"/"
    return {**scope, "path": path[len(prefix) :] or "/", "raw_path": raw}


def _normalised(root: str) -> str:
    """A path with a slash before it and none behind it, or a whole address."""
    root = root.strip().rstrip("/")
    if not root or root.startswith(("http://", "https://", "/")):
        return root
    return f"/{root}"


ROOT_PATH = "GRADIO_ROOT_PATH"
"""Where a proxy serves the app under a path, Gradio reads it from here: a path or a whole URL."""


def public_root(connection: HTTPConnection) -> str:
    """`https://host/path` without a slash at the end, as the caller's own request shows it."""
    root = os.environ.get(ROOT_PATH, "").strip("/")
    if root.startswith(("http://", "https://")):
        return root
    headers = Headers(scope=connection.scope)
    host = headers.get("x-forwarded-host", "").split(",")[0].strip() or headers.get("host", "")
    scheme = "https" if is_https(connection.scope, headers) else "http"
    return f"{scheme}://{host}/{root}".rstrip("/")
