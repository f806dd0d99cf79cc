"""The catalogues that the page loads: one request for another language than English, none for it.

The address of each holds a hash of it, so that a browser may keep it for good.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from web.languages import ENGLISH, Language, language_of, languages

PREFIX = "/kinora/languages"
FOR_GOOD = "private, max-age=31536000, immutable"


def route() -> Route:
    return Route(f"{PREFIX}/{{version:str}}/{{tag:str}}.json", _send)


def script_head() -> str:
    """The first line of our script: the languages but English, with their addresses, which are
    relative to the page."""
    listed = [
        {"tag": each.tag, "name": each.name, "dir": each.dir, "address": address(each)}
        for each in languages().values()
        if each.tag != ENGLISH
    ]
    return f"window.kinoraLanguages = {json.dumps(listed, ensure_ascii=False)};\n"


def address(language: Language) -> str:
    version = hashlib.sha256(_content(language.tag)).hexdigest()[:12]
    return f"{PREFIX[1:]}/{version}/{language.tag}.json"


def preload(request: Request) -> str:
    """The header `Link` of the page: what its script will load. Empty for English."""
    language = language_of(request, cookie=True)
    if language.tag == ENGLISH:
        return ""
    return f"<{address(language)}>; rel=preload; as=fetch; crossorigin=anonymous"


@lru_cache(maxsize=16)
def _content(tag: str) -> bytes:
    texts = languages()[tag].texts
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()


async def _send(request: Request) -> Response:
    language = languages().get(request.path_params["tag"])
    if language is None or language.tag == ENGLISH:
        return Response(status_code=404)
    is_current = request.url.path.endswith(address(language))
    headers = {
        "Cache-Control": FOR_GOOD if is_current else "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(_content(language.tag), media_type="application/json", headers=headers)
