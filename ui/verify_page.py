"""The page /verify, which has nothing of Gradio, and the route that its script sends files to."""

from __future__ import annotations

import hashlib
import json
import shutil
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from errors import ErrorCode, KinoraError
from jobs.verification import verify
from ui.assets import FOR_GOOD, STATIC, modules
from ui.joined_modules import join_modules
from ui.language_files import preload, script_head
from ui.route_helpers import PREFIX, fresh_json, guarded, in_thread
from web.footer_links import footer_links
from web.languages import language_of
from web.limits import limited

if TYPE_CHECKING:
    from settings import Settings

MAIN = "verify_page.js"
STYLES = ("base.css", "verify.css")
FORM_BYTES = 64_000
"""What a form adds to its files."""

PAGE = """<!doctype html>
<html lang="{lang}" dir="{dir}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<title>{title} - Kinora</title>
<link rel="icon" href="favicon.ico">
<style>
{style}
</style>
<script>
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", follow);
follow();
</script>
<script type="module" src="{script}"></script>
</head>
<body>
<script>window.kinoraLinks = {links};</script>
<main id="k-verify-page">
<a class="k-back" href="./"><span class="k-arrow" aria-hidden="true">&larr;</span> Kinora</a>
<h1>{title}</h1>
<p class="k-soft">{about}</p>
</main>
</body>
</html>
"""


TEXTS = {
    "title": "Verify a clip",
    "about": "Who signed it, whether it was changed since, which model made it and from what. "
    "The file is sent to this server, read there and not kept. "
    "Files of other programs with Content Credentials (C2PA) can be verified too.",
}


class VerifyPage:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._script = (script_head() + join_modules(modules(), MAIN)).encode()
        version = hashlib.sha256(self._script).hexdigest()[:12]
        self._address = f"{PREFIX}/static/{version}/{MAIN}"
        self._style = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in STYLES)

    def routes(self) -> list[Route]:
        return [
            Route("/verify", self._send_page),
            Route(self._address, self._send_script),
            Route(f"{PREFIX}/verify", guarded(self._verify), methods=["POST"]),
        ]

    async def _send_page(self, request: Request) -> Response:
        """In the language of the reader; the script draws the same and what is below it."""
        language = language_of(request, cookie=True)
        links = json.dumps(footer_links(self.settings)).replace("<", "\\u003c")
        page = PAGE.format(
            lang=language.tag,
            dir=language.dir,
            style=self._style,
            script=self._address[1:],  # relative to the page: no proxy can get it wrong
            links=links,
            title=escape(language.translate(TEXTS["title"])),
            about=escape(language.translate(TEXTS["about"])),
        )
        headers = {"Cache-Control": "no-cache", "Vary": "Accept-Language, Cookie"}
        if link := preload(request):
            headers["Link"] = link
        return HTMLResponse(page, headers=headers)

    async def _send_script(self, request: Request) -> Response:
        headers = {"Cache-Control": FOR_GOOD, "X-Content-Type-Options": "nosniff"}
        return Response(self._script, media_type="text/javascript", headers=headers)

    async def _verify(self, request: Request, owner: str) -> Response:
        """A form with the `file`, and with `credentials` if they are a file of their own."""
        limit = self.settings.max_video_file_size_bytes + FORM_BYTES
        bounded = Request(request.scope, limited(request.scope, request.receive, limit))
        async with bounded.form(max_files=2, max_fields=0) as form:
            with TemporaryDirectory(prefix="kinora-") as folder:
                path = await _stored(form.get("file"), Path(folder) / "file")
                sidecar = await _stored(form.get("credentials"), Path(folder) / "credentials")
                if path is None:
                    raise KinoraError(ErrorCode.INVALID_INPUT, "Send the clip as “file”.")
                name = getattr(form["file"], "filename", None) or ""
                found = await in_thread(
                    lambda: verify(path, self.settings, sidecar=sidecar, name=name)
                )
        return fresh_json({"report": found.report.model_dump(), "settings": found.settings})


async def _stored(upload: Any, path: Path) -> Path | None:
    if not isinstance(upload, UploadFile):
        return None

    def store() -> None:
        with path.open("wb") as file:
            shutil.copyfileobj(upload.file, file)

    await in_thread(store)
    return path
