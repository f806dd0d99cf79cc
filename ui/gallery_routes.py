"""The page's routes for the gallery: its pages, stars, titles, collections, deletion, zips."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from errors import ErrorCode, KinoraError
from ui import gallery_view
from ui.route_helpers import PREFIX, fresh_json, guarded, in_thread
from ui.signatures import Signatures
from web.errors import NO_STORE, SAFE
from web.gallery_requests import read_flag, read_ids, read_limit, read_query, read_text
from web.limits import limited

if TYPE_CHECKING:
    from jobs.service import JobService

MAX_BODY = 1_000_000
"""Bytes: ten thousand ids."""
MOST_AT_ONCE = 100
"""Tiles whose state is read again by one request."""


class GalleryRoutes:
    def __init__(
        self, service: JobService, view: gallery_view.View, signatures: Signatures
    ) -> None:
        """`view` is that of a job on the page."""
        self.service = service
        self.gallery = service.gallery
        self.view = view
        self.signatures = signatures

    def routes(self) -> list[Route]:
        here, one = f"{PREFIX}/gallery", f"{PREFIX}/gallery/clips/{{id:str}}"
        collection = f"{here}/collections/{{id:str}}"
        act = self._act
        return [
            Route(here, guarded(self.page)),
            Route(f"{here}/ids", guarded(self.ids)),
            Route(f"{here}/about", guarded(self.about)),
            Route(f"{here}/clips", guarded(self.clips)),
            Route(one, guarded(self.clip)),
            Route(one, act(self._rename), methods=["PATCH"]),
            Route(f"{one}/frame", guarded(self.frame), methods=["POST"]),
            Route(f"{here}/star", act(self._star), methods=["POST"]),
            Route(f"{here}/delete", act(self._delete), methods=["POST"]),
            Route(f"{here}/restore", act(self._restore), methods=["POST"]),
            Route(f"{here}/zips", act(self._select), methods=["POST"]),
            Route(f"{here}/zips/{{id:str}}", guarded(self.zip, self.by_signature)),
            Route(f"{here}/collections", act(self._add_collection), methods=["POST"]),
            Route(collection, act(self._rename_collection), methods=["PATCH"]),
            Route(collection, act(self._delete_collection), methods=["DELETE"]),
            Route(f"{collection}/clips", act(self._change_collection), methods=["POST"]),
        ]

    # ---- read

    async def page(self, request: Request, owner: str) -> Response:
        """A page of tiles. The first has the total, and what can still be restored."""
        query, limit = read_query(request.query_params), read_limit(request.query_params)

        def read() -> dict[str, Any]:
            page = self.gallery.page(owner, query, limit)
            found = {"clips": self._tiles(page.clips), "next": page.next, "total": page.total}
            if query.after is None:
                found["deleted"] = gallery_view.deletion(self.gallery.deleted(owner))
            return found

        return fresh_json(await in_thread(read))

    async def ids(self, request: Request, owner: str) -> Response:
        query = read_query(request.query_params)
        return fresh_json({"ids": await in_thread(self.gallery.ids, owner, query)})

    async def about(self, request: Request, owner: str) -> Response:
        """What there is to filter by, the collections, and the storage."""

        def read() -> dict[str, Any]:
            storage, facets = self.gallery.storage(owner), self.gallery.facets(owner)
            return gallery_view.about(storage, facets, self.gallery.collections.list(owner))

        return fresh_json(await in_thread(read))

    async def clips(self, request: Request, owner: str) -> Response:
        """The tiles of `ids`, as they are now."""
        ids = request.query_params.get("ids", "").split(",")[:MOST_AT_ONCE]

        def read() -> dict[str, Any]:
            return {"clips": self._tiles(self.gallery.clips(owner, ids))}

        return fresh_json(await in_thread(read))

    async def clip(self, request: Request, owner: str) -> Response:
        """All about one clip, and its family."""

        def read() -> dict[str, Any]:
            clip = self.gallery.clip(owner, request.path_params["id"])
            family = self.gallery.family(owner, clip.job.id)
            tiles = self._tiles([each.clip for each in family])
            relatives = [
                {"relation": each.relation, "clip": tile}
                for each, tile in zip(family, tiles, strict=True)
            ]
            shown = gallery_view.whole(clip, self.view)
            return {"clip": shown, "family": relatives, "film": self._film(clip.job.id, owner)}

        return fresh_json(await in_thread(read))

    def _film(self, job_id: str, owner: str) -> str | None:
        """The storyboard that a clip belongs to; of others' clips none."""
        film_id = self.service.film_of(job_id)
        try:
            return self.service.find_film(film_id, owner).film.id if film_id else None
        except KinoraError:
            return None

    def _tiles(self, clips: Any) -> list[dict[str, Any]]:
        return [gallery_view.tile(each, self.signatures, self.view) for each in clips]

    # ---- change

    def _act(
        self, act: Callable[[str, str, dict[str, Any]], dict[str, Any] | None]
    ) -> Callable[[Request], Awaitable[Response]]:
        """A route that reads a small JSON object, changes something in a thread, and answers with
        what `act(owner, id, body)` returns."""

        async def handle(request: Request, owner: str) -> Response:
            body = await _json_body(request)
            answer = await in_thread(act, owner, request.path_params.get("id", ""), body)
            return Response(status_code=204) if answer is None else fresh_json(answer)

        return guarded(handle)

    def _rename(self, owner: str, job_id: str, body: dict[str, Any]) -> dict[str, Any]:
        clip = self.gallery.rename(owner, job_id, read_text(body, "title"))
        return {"title": clip.title}

    def _star(self, owner: str, _: str, body: dict[str, Any]) -> None:
        self.gallery.star(owner, read_ids(body), read_flag(body, "starred"))

    def _delete(self, owner: str, _: str, body: dict[str, Any]) -> dict[str, Any] | None:
        return gallery_view.deletion(self.gallery.delete(owner, read_ids(body)))

    def _restore(self, owner: str, _: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"ids": self.gallery.restore(owner, read_ids(body))}

    def _add_collection(self, owner: str, _: str, body: dict[str, Any]) -> dict[str, Any]:
        added = self.gallery.collections.add(owner, read_text(body, "name") or "")
        clips = self.gallery.collections.put(owner, added.id, read_ids(body))
        return {"id": added.id, "name": added.name, "clips": clips}

    def _rename_collection(self, owner: str, id_: str, body: dict[str, Any]) -> None:
        self.gallery.collections.rename(owner, id_, read_text(body, "name") or "")

    def _delete_collection(self, owner: str, id_: str, _: dict[str, Any]) -> None:
        self.gallery.collections.delete(owner, id_)

    def _change_collection(self, owner: str, id_: str, body: dict[str, Any]) -> None:
        added, removed = read_ids(body, "add"), read_ids(body, "remove")
        self.gallery.collections.put(owner, id_, added)
        self.gallery.collections.take(owner, id_, removed)

    # ---- files

    async def frame(self, request: Request, owner: str) -> Response:
        """Stores a frame of a clip, sent as a picture, to begin another clip with."""
        limit = self.service.settings.max_image_bytes
        data = await Request(request.scope, limited(request.scope, request.receive, limit)).body()
        job_id = request.path_params["id"]
        stored = await in_thread(self.service.store_frame, job_id, owner, data)
        return fresh_json({"id": stored.id, "width": stored.width, "height": stored.height})

    def _select(self, owner: str, _: str, body: dict[str, Any]) -> dict[str, Any]:
        """The address of a zip, relative to the page's routes. It is signed: a browser opens it
        without our headers."""
        ids = read_ids(body)
        next(iter(self.gallery.zip(owner, ids)))  # refused here if there is nothing to send
        selection = self.gallery.select(owner, ids)
        return {"path": f"/gallery/zips/{selection}?{self.signatures.query(selection, owner)}"}

    async def by_signature(self, request: Request) -> str | None:
        """The owner of the selection, if the URL is signed for it."""
        owner, _ = await in_thread(self.gallery.selection, request.path_params["id"])
        is_signed = self.signatures.hold(request.path_params["id"], owner, request.query_params)
        return owner if is_signed else None

    async def zip(self, request: Request, owner: str) -> Response:
        """The selected clips, written while they are read."""
        selection = request.path_params["id"]
        of, ids = await in_thread(self.gallery.selection, selection)
        if of != owner:
            raise KinoraError(ErrorCode.NOT_FOUND)
        pieces = await in_thread(self.gallery.zip, owner, ids)
        name = f'attachment; filename="kinora-{selection[:8]}.zip"'
        headers = {"Content-Disposition": name, **NO_STORE, **SAFE}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)


async def _json_body(request: Request) -> dict[str, Any]:
    """Raises KinoraError: TOO_LARGE, INVALID_INPUT."""
    receive = limited(request.scope, request.receive, MAX_BODY)
    data = await Request(request.scope, receive).body()
    try:
        body = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise KinoraError(ErrorCode.INVALID_INPUT, "Send a JSON object.")
    return body
