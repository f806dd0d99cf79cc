"""Share links: made, changed and revoked by the maker of the clip."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import Response

from api import request_body
from api.core import ApiContext, IdentifiedCaller, JobId
from web.errors import ERRORS, NO_STORE, SAFE
from web.share_tools import ShareList, ShareTools, ShareView, qr_code, root_of

SVG = {200: {"content": {"image/svg+xml": {}}, "description": "The file."}}


class ShareLinks:
    def __init__(self, core: ApiContext) -> None:
        self.tools = ShareTools(core.service)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api", responses=ERRORS)

        def add(path: str, handler: Any, method: str = "GET", **more: Any) -> None:
            router.add_api_route(
                path, handler, methods=[method], operation_id=handler.__name__, **more
            )

        share = "/jobs/{job_id}/share"
        add(share, self.share, "PUT", response_model=ShareView)
        add(share, self.shared, response_model=ShareView)
        add(share, self.unshare, "DELETE", status_code=204)
        add(f"{share}/qr.svg", self.share_qr, response_class=Response, responses=SVG)
        add("/shares", self.shares, response_model=ShareList)
        return router

    async def share(self, request: Request, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """Make a link by which anyone may watch your finished clip, or change what it shows:
        `title`, `hide_prompt`, `hide_settings`, `public`, and `expires_in_s` or `expires_at`. What
        is left out is as in a new link."""
        owner, root = caller.named(), root_of(request)
        body = await request_body.read_body(request)
        return _json(await in_thread(self.tools.put, job_id, owner, body, root))

    async def shared(self, request: Request, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """The link of your clip."""
        return _json(await self._view(request, job_id, caller))

    async def unshare(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """Revoke the link: it leads nowhere from now on, and caches forget the clip within five
        minutes."""
        await in_thread(self.tools.revoke, job_id, caller.named())
        return Response(status_code=204)

    async def share_qr(self, request: Request, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """The link as a QR code."""
        found = await self._view(request, job_id, caller)
        drawn = await in_thread(qr_code, found.url)
        return Response(drawn, 200, {**NO_STORE, **SAFE}, "image/svg+xml")

    async def shares(
        self,
        request: Request,
        caller: IdentifiedCaller,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        before: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    ) -> Response:
        """Your links, newest first."""
        root = root_of(request)
        return _json(await in_thread(self.tools.list, caller.named(), limit, before, root))

    async def _view(self, request: Request, job_id: str, caller: IdentifiedCaller) -> ShareView:
        return await in_thread(self.tools.get, job_id, caller.named(), root_of(request))


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), 200, {**NO_STORE, **SAFE}, "application/json")
