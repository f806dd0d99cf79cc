"""URLs in responses, where the app is served below a path of another site (GRADIO_ROOT_PATH).

A proxy may pass that path on or strip it: both work. Headers are trusted for the response to their
own request only.
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
    """One of our paths as the client of the current request reaches it."""
    return f"{_root.get()}{path}"


def root_address() -> str:
    """The prefix of our paths for the client; empty at the top of a site."""
    return _root.get()


def below_root(scope: Scope) -> Scope:
    """The scope without the prefix that the app is served below. Keeps the prefix for `address`
    until the request ends."""
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
    """A path with a slash before it and none after it, or an absolute URL."""
    root = root.strip().rstrip("/")
    if not root or root.startswith(("http://", "https://", "/")):
        return root
    return f"/{root}"


ROOT_PATH = "GRADIO_ROOT_PATH"
"""Gradio's setting for an app that a proxy serves below a path: a path or an absolute URL."""


def public_root(connection: HTTPConnection) -> str:
    """`https://host/path` without a trailing slash, from the client's own request."""
    root = os.environ.get(ROOT_PATH, "").strip("/")
    if root.startswith(("http://", "https://")):
        return root
    headers = Headers(scope=connection.scope)
    host = headers.get("x-forwarded-host", "").split(",")[0].strip() or headers.get("host", "")
    scheme = "https" if is_https(connection.scope, headers) else "http"
    return f"{scheme}://{host}/{root}".rstrip("/")
