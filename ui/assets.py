"""The page's own style and scripts: what stands in its head, and the route that serves the scripts.

Knows HTTP; knows nothing of jobs. The scripts are ES modules. Their address holds a hash of all of
them, so that a browser may keep them for good, and never mixes those of two versions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).resolve().parent / "static"
VENDOR = STATIC / "vendor"
STYLES = ("base.css", "stage.css", "slate.css", "picker.css", "reel.css")
MAIN = "main.js"
PREFIX = "/kinora/static"
FOR_GOOD = "private, max-age=31536000, immutable"
"""Private: the answer may carry a visitor's cookie."""


@dataclass(frozen=True)
class Scripts:
    """Every module below `static`, by its path there, read once."""

    files: dict[str, bytes]
    version: str

    @classmethod
    def read(cls, folder: Path = STATIC) -> Scripts:
        paths = sorted(folder.rglob("*.js"))
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        digest = hashlib.sha256()
        for name, content in files.items():
            digest.update(f"{name} {len(content)}\n".encode() + content)
        return cls(files, digest.hexdigest()[:12])

    def address(self, name: str) -> str:
        """Relative to the page, as Gradio's own addresses are: no proxy can get it wrong."""
        return f"{PREFIX[1:]}/{self.version}/{name}"

    def head(self) -> str:
        style = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in STYLES)
        return (
            '<meta name="viewport" content="width=device-width, initial-scale=1, '
            'viewport-fit=cover, interactive-widget=resizes-content">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<style>\n{style}\n</style>\n"
            f'<script type="module" src="{self.address(MAIN)}"></script>'
        )

    def preloads(self) -> str:
        """The header `Link` of the page. Gradio adds the head when its own scripts have run; with
        this the browser has our modules by then, all at once instead of one after the other."""
        return ", ".join(f"<{self.address(name)}>; rel=modulepreload" for name in self.files)

    def route(self) -> Route:
        return Route(f"{PREFIX}/{{version:str}}/{{name:path}}", self._send)

    async def _send(self, request: Request) -> Response:
        content = self.files.get(request.path_params["name"])
        if content is None:
            raise HTTPException(404)
        is_ours = request.path_params["version"] == self.version
        headers = {
            # A page of another version, as during an update: the best there is, but not to keep.
            "Cache-Control": FOR_GOOD if is_ours else "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(content, media_type="text/javascript", headers=headers)


class PreloadScripts:
    """Adds the header `Link` to the page itself, and to nothing else."""

    def __init__(self, app: ASGIApp, link: str) -> None:
        self.app = app
        self.link = link

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return

        async def send_with_link(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(scope=message).append("link", self.link)
            await send(message)

        await self.app(scope, receive, send_with_link)
