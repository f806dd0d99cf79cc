"""The page's own routes for share links: the panel under a finished clip."""

from __future__ import annotations

import base64
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ui.route_helpers import PREFIX, fresh_json, guarded, in_thread, read_json
from web.share_tools import ShareTools, ShareView, qr_code, root_of

MAX_BODY = 16_000


class PanelShareRoutes:
    def __init__(self, tools: ShareTools) -> None:
        self.tools = tools

    def routes(self) -> list[Route]:
        share = f"{PREFIX}/jobs/{{id:str}}/share"
        return [Route(share, guarded(self.share), methods=["GET", "PUT", "DELETE"])]

    async def share(self, request: Request, owner: str) -> Response:
        job_id, root = request.path_params["id"], root_of(request)
        match request.method:
            case "PUT":
                body = await read_json(request, MAX_BODY)
                found = await in_thread(self.tools.put, job_id, owner, body, root)
            case "DELETE":
                await in_thread(self.tools.revoke, job_id, owner)
                found = None
            case _:
                found = await in_thread(self.tools.find, job_id, owner, root)
        return fresh_json(await in_thread(self._shown, found))

    def _shown(self, share: ShareView | None) -> dict[str, Any]:
        can_publish = self.tools.service.shares.is_gallery_on
        if share is None:
            return {"share": None, "can_publish": can_publish}
        drawn = base64.b64encode(qr_code(share.url)).decode()
        view = share.model_dump(mode="json") | {"qr": f"data:image/svg+xml;base64,{drawn}"}
        return {"share": view, "can_publish": can_publish}
