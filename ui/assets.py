"""The page's own style and script: what stands in its head, and the route that serves the script.

Knows HTTP; knows nothing of jobs. The address of the script holds a hash of it, so that a browser
may keep it for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.joined_modules import join_later_modules, join_modules
from ui.language_files import script_head

STATIC = Path(__file__).resolve().parent / "static"
VENDOR = STATIC / "vendor"
STYLES = (
    "base.css", "stage.css", "slate.css", "picker.css", "prompt.css", "reel.css", "explore.css",
    "share.css", "gallery.css", "film.css",
)  # fmt: skip
MAIN = "main.js"
LATER = {"editing/editing_room.js": "editing.js"}
"""Modules that are loaded when they are opened, with what they import, and their scripts' names."""
LATER_STYLES = ("editing.css",)
PREFIX = "/kinora/static"
FOR_GOOD = "private, max-age=31536000, immutable"
"""Private: the answer may carry a visitor's cookie."""


@dataclass(frozen=True)
class Script:
    """Every module below `static`, joined into one and read once."""

    content: bytes
    version: str
    later: Mapping[str, bytes] = field(default_factory=dict)
    """Scripts and styles that are loaded when they are needed, by file name."""

    @classmethod
    def read(cls, folder: Path = STATIC) -> Script:
        found = modules(folder)
        content = (script_head() + join_modules(found, MAIN, LATER)).encode()
        later = {
            name: join_later_modules(found, MAIN, entry, LATER).encode()
            for entry, name in LATER.items()
        }
        for name in LATER_STYLES:
            later[name] = next(folder.rglob(name)).read_bytes()
        version = hashlib.sha256(b"".join([content, *later.values()])).hexdigest()[:12]
        return cls(content, version, later)

    @property
    def address(self) -> str:
        """Relative to the page, as Gradio's own addresses are: no proxy can get it wrong."""
        return f"{PREFIX[1:]}/{self.version}/{MAIN}"

    def head(self) -> str:
        style = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in STYLES)
        return (
            '<meta name="viewport" content="width=device-width, initial-scale=1, '
            'viewport-fit=cover, interactive-widget=resizes-content">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<style>\n{style}\n</style>\n"
            f'<script type="module" src="{self.address}"></script>'
        )

    def preload(self) -> str:
        """The header `Link` of the page. Gradio adds the head when its own scripts have run; with
        this the browser has ours by then."""
        return f"<{self.address}>; rel=modulepreload"

    def route(self) -> Route:
        return Route(f"{PREFIX}/{{version:str}}/{{name:str}}", self._send)

    async def _send(self, request: Request) -> Response:
        name = request.path_params["name"]
        content = self.content if name == MAIN else self.later.get(name)
        if content is None:
            return Response(status_code=404)
        is_current = request.path_params["version"] == self.version
        headers = {
            # A page of another version, as during an update: the best there is, but not to keep.
            "Cache-Control": FOR_GOOD if is_current else "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return Response(content, media_type=kind, headers=headers)


def modules(folder: Path = STATIC) -> dict[str, str]:
    """By their paths below `static`."""
    paths = sorted(folder.rglob("*.js"))
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}


class PreloadScript:
    """Adds the header `Link` to the page itself, and to nothing else. `more` returns what depends
    on the request: the catalogue of its language."""

    def __init__(
        self, app: ASGIApp, link: str, more: Callable[[Request], str] | None = None
    ) -> None:
        self.app = app
        self.link = link
        self.more = more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return

        async def send_with_link(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = MutableHeaders(scope=message)
                headers.append("link", self.link)
                if self.more and (link := self.more(Request(scope))):
                    headers.append("link", link)
            await send(message)

        await self.app(scope, receive, send_with_link)
