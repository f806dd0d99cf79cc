"""What the holder of a share link gets: its page, the clip's files, oEmbed, the public gallery.

No cookie is read or set, and nothing here can be changed. All links that lead nowhere have the same
response.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.core import ApiContext
from errors import ErrorCode, KinoraError
from jobs.shares import NO_LINK, PAGE_SIZE, SharedClip, is_share_id
from web import share_page
from web.addresses import ROOT_PATH, public_root
from web.errors import NO_STORE
from web.files import send_file
from web.footer_links import footer_html
from web.languages import language_of
from web.share_tools import PATH

CACHE_S = 300
"""How long caches may answer for us: a revoked link stops working everywhere after this time."""
OPEN = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin"}
MAX_EMBED = 4096


class SharePages:
    def __init__(self, core: ApiContext) -> None:
        self.service = core.service
        self.settings = core.service.settings

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)

        def add(path: str, handler: Callable[..., Any]) -> None:
            router.add_api_route(path, handler, methods=["GET", "HEAD"], response_model=None)

        add(PATH, self.gallery)
        add(f"{PATH}/{{share_id}}", self.page)
        add(f"{PATH}/{{share_id}}/embed", self.embed)
        add(f"{PATH}/{{share_id}}/{{name}}", self.file)
        add("/oembed", self.oembed)
        return router

    async def page(self, request: Request, share_id: str) -> Response:
        """The clip with what its maker shows of it."""

        def render(shared: SharedClip) -> Response:
            language = language_of(request)
            links = footer_html(self.settings, language)
            html = share_page.render_clip(shared, public_root(request), language, links)
            headers = _cache(shared) if _has_certain_address(request) else dict(NO_STORE)
            return _html(html, share_page.PAGE_POLICY, headers)

        return await self._respond(request, share_id, render)

    async def embed(self, request: Request, share_id: str) -> Response:
        """The clip alone, for the iframe of another site."""

        def render(shared: SharedClip) -> Response:
            html = share_page.render_embed(shared, language_of(request))
            return _html(html, share_page.EMBED_POLICY, _cache(shared))

        return await self._respond(request, share_id, render)

    async def file(self, request: Request, share_id: str, name: str) -> Response:
        """The clip or its poster, with Range."""

        def send(shared: SharedClip) -> Response:
            path = self._path(shared, name)
            saved_as = f"kinora-{share_id[:8]}"
            return send_file(request, path, saved_as, headers={**OPEN, **_cache(shared)})

        return await self._respond(request, share_id, send)

    def _path(self, shared: SharedClip, name: str) -> Path:
        if name == share_page.clip_file(shared):
            return self.service.shares.clip_path(shared)
        if name == "poster.jpg":
            return self.service.shares.poster_path(shared)
        raise KinoraError(ErrorCode.NOT_FOUND, NO_LINK)

    async def gallery(
        self, request: Request, before: Annotated[float | None, Query(allow_inf_nan=False)] = None
    ) -> Response:
        """What makers have published, where the operator has turned that on."""

        def render() -> Response:
            clips = self.service.shares.public(before)
            next_page = clips[-1].share.created_at if len(clips) == PAGE_SIZE else None
            language = language_of(request)
            links = footer_html(self.settings, language)
            html = share_page.render_gallery(clips, next_page, language, links)
            headers = {"Cache-Control": f"public, max-age={CACHE_S}, must-revalidate"}
            return _html(html, share_page.PAGE_POLICY, headers)

        return await self._or_nothing(request, render)

    async def oembed(
        self,
        request: Request,
        url: Annotated[str, Query(max_length=2000)] = "",
        format: Annotated[str, Query(max_length=20)] = "json",
        maxwidth: Annotated[int, Query(ge=1)] = MAX_EMBED,
        maxheight: Annotated[int, Query(ge=1)] = MAX_EMBED,
    ) -> Response:
        """https://oembed.com: a video, as an iframe of the clip alone."""
        if format != "json":
            raise KinoraError(ErrorCode.NOT_FOUND, "Only the format “json” is offered here.")
        root = public_root(request)
        share_id = _share_id_of(url, root)
        shared = await in_thread(self.service.shares.find, share_id)
        width, height = _within(shared.result.width, shared.result.height, maxwidth, maxheight)
        here = f"{root}{PATH}/{shared.share.id}"
        body = {
            "version": "1.0",
            "type": "video",
            "provider_name": "Kinora",
            "provider_url": f"{root}/",
            "title": share_page.title_of(shared),
            "width": width,
            "height": height,
            "html": f'<iframe src="{escape(here, quote=True)}/embed" width="{width}" '
            f'height="{height}" style="border:0" allowfullscreen></iframe>',
            "thumbnail_url": f"{here}/poster.jpg",
            "thumbnail_width": shared.result.width,
            "thumbnail_height": shared.result.height,
            "cache_age": CACHE_S,
        }
        headers = _cache(shared) if _has_certain_address(request) else dict(NO_STORE)
        return JSONResponse(body, headers={**OPEN, **headers})

    async def _respond(
        self, request: Request, share_id: str, render: Callable[[SharedClip], Response]
    ) -> Response:
        """In one thread: the same steps for every link."""
        return await self._or_nothing(request, lambda: render(self.service.shares.find(share_id)))

    async def _or_nothing(self, request: Request, respond: Callable[[], Response]) -> Response:
        try:
            return await in_thread(respond)
        except KinoraError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            html = share_page.render_not_found(language_of(request))
            return _html(html, share_page.PAGE_POLICY, dict(NO_STORE), 404)


def _html(text: str, policy: str, headers: dict[str, str], status: int = 200) -> Response:
    more = {
        **OPEN,
        **headers,
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Language",
    }
    content = text.encode("utf-8", "replace")  # an old prompt may have half a character
    return Response(content, status, more, "text/html; charset=utf-8")


def _cache(shared: SharedClip) -> dict[str, str]:
    """For caches of others as well, but for no longer than the link is valid."""
    expires_at = shared.share.expires_at
    left_s = CACHE_S if expires_at is None else min(CACHE_S, int(expires_at - time.time()))
    return {"Cache-Control": f"public, max-age={max(0, left_s)}, must-revalidate"}


def _has_certain_address(request: Request) -> bool:
    """False where a header decides the addresses in the response that is not part of a cache's key:
    a stored response would pass on what one client has sent."""
    if os.environ.get(ROOT_PATH, "").startswith(("http://", "https://")):
        return True
    forwarded = request.headers.get("x-forwarded-host")
    return forwarded is None or forwarded == request.headers.get("host")


def _share_id_of(url: str, root: str) -> str:
    """The id in one of our own addresses; empty for any other. Nothing is fetched."""
    try:
        found, own = urlsplit(url), urlsplit(root)
    except ValueError:
        return ""
    folder, _, share_id = found.path.rstrip("/").rpartition("/")
    is_ours = found.netloc == own.netloc and folder == f"{own.path}{PATH}"
    return share_id if is_ours and is_share_id(share_id) else ""


def _within(width: int, height: int, max_width: int, max_height: int) -> tuple[int, int]:
    scale = min(1.0, max_width / width, max_height / height)
    return max(1, int(width * scale)), max(1, int(height * scale))
