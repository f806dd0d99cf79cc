"""Where this app is reached from outside: absolute addresses for programs that have no page.

Knows HTTP headers and Gradio's root path. Nothing is believed for more than the answer to the very
request that says it.
"""

from __future__ import annotations

import os

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from web.identity import is_https

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
