"""The gallery for programs: look through clips, star, name, collect, delete, download many."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api import request_body, schemas
from api.core import ApiContext, IdentifiedCaller, JobId
from jobs.gallery_query import ClipStatus, GalleryClip, Sort
from pipelines.request import Task
from web.errors import ERRORS, NO_STORE, SAFE
from web.gallery_requests import read_flag, read_ids, read_query, read_text

if TYPE_CHECKING:
    from jobs.gallery import Gallery
    from jobs.service import JobService

Relation = Literal[
    "parent", "variation", "draft", "continued_from", "edited_from", "picture_from",
    "continued_to", "edited_to", "picture_to", "edit_of", "edit", "shot",
]  # fmt: skip


class GalleryItem(schemas.JobView):
    """One clip, with what you have made of it."""

    title: str | None = None
    starred: bool = False
    collections: list[str] = Field(default=[], description="The ids of your collections it is in.")


class GalleryList(BaseModel):
    """`next` is the `cursor` of the next page."""

    clips: list[GalleryItem]
    next: str | None = None
    total: int | None = Field(default=None, description="On all pages; of the first page only.")


class RelativeClip(BaseModel):
    relation: Relation = Field(description="What it is to the clip that was requested.")
    clip: GalleryItem


class ClipFamily(BaseModel):
    family: list[RelativeClip]


class CollectionView(BaseModel):
    id: str
    name: str
    clips: int


class CollectionList(BaseModel):
    collections: list[CollectionView]


class ClipStorage(BaseModel):
    """What your clips take. Times are Unix seconds."""

    clips: int
    bytes: int
    limit_bytes: int | None = Field(description="For everyone's clips; then the oldest go.")
    used_share: float | None = Field(description="How much of that is used, 0 to 1.")
    keep_days: float | None
    oldest_goes_at: float | None = Field(description="When your oldest clip goes by age.")


class DeletedClips(BaseModel):
    deleted: list[str]
    unfinished: list[str] = Field(description="Not deleted: they are still being made.")
    undo_until: float = Field(description="Until then, `restore` brings them back.")


class ChangedClips(BaseModel):
    changed: int


class RestoredClips(BaseModel):
    restored: list[str]


class ClipGallery:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service: JobService = core.service
        self.gallery: Gallery = core.service.gallery

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api", responses=ERRORS)

        def add(path: str, handler: Any, method: str = "GET", **more: Any) -> None:
            more.setdefault("operation_id", f"gallery_{handler.__name__}")
            router.add_api_route(path, handler, methods=[method], **more)

        zipped = {200: {"content": {"application/zip": {}}, "description": "The file."}}
        add("/clips", self.list, response_model=GalleryList)
        add("/clips/storage", self.storage, response_model=ClipStorage)
        add("/clips/star", self.star, "POST", response_model=ChangedClips)
        add("/clips/delete", self.delete, "POST", response_model=DeletedClips)
        add("/clips/restore", self.restore, "POST", response_model=RestoredClips)
        add("/clips/zip", self.zip, "POST", response_class=Response, response_model=None,
            responses={**ERRORS, **zipped})  # fmt: skip
        add("/clips/{job_id}", self.rename, "PATCH", response_model=GalleryItem)
        add("/clips/{job_id}/family", self.family, response_model=ClipFamily)
        add("/collections", self.collections, response_model=CollectionList)
        add("/collections", self.collect, "POST", status_code=201, response_model=CollectionView)
        add("/collections/{collection_id}", self.collection_rename, "PATCH", status_code=204)
        add("/collections/{collection_id}", self.collection_delete, "DELETE", status_code=204)
        add("/collections/{collection_id}/clips", self.collection_change, "POST",
            response_model=ChangedClips)  # fmt: skip
        return router

    # ---- look through

    async def list(
        self,
        request: Request,
        caller: IdentifiedCaller,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=1000)] = None,
        sort: Sort = Sort.NEWEST,
        search: Annotated[str | None, Query(max_length=200)] = None,
        task: Task | None = None,
        model: Annotated[str | None, Query(max_length=300)] = None,
        size: Annotated[str | None, Query(max_length=12)] = None,
        since: Annotated[float | None, Query(allow_inf_nan=False)] = None,
        until: Annotated[float | None, Query(allow_inf_nan=False)] = None,
        starred: bool = False,
        status: ClipStatus | None = None,
        collection: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """Your clips: sorted, searched and filtered. `search` looks for all of its words in
        prompts, titles and settings; `seed:7` finds that setting. `size` is `128x96`; `since` and
        `until` are Unix seconds."""
        owner, query = caller.named(), read_query(request.query_params)

        def read() -> GalleryList:
            page = self.gallery.page(owner, query, limit)
            self.core.use_quota([clip.job for clip in page.clips], caller)
            return GalleryList(clips=self._items(page.clips), next=page.next, total=page.total)

        return _json(await in_thread(read))

    async def storage(self, caller: IdentifiedCaller) -> Response:
        """What your clips take, what the limits are, and when the oldest goes."""
        found = await in_thread(self.gallery.storage, caller.named())
        return _json(ClipStorage.model_validate(vars(found)))

    async def family(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """The clips around one: what it was made from, what was made from it, its other drafts."""
        owner = caller.named()

        def read() -> ClipFamily:
            family = self.gallery.family(owner, job_id)
            items = self._items([each.clip for each in family])
            return ClipFamily(
                family=[
                    RelativeClip.model_validate({"relation": each.relation, "clip": item})
                    for each, item in zip(family, items, strict=True)
                ]
            )

        return _json(await in_thread(read))

    # ---- change

    async def rename(self, job_id: JobId, request: Request, caller: IdentifiedCaller) -> Response:
        """Give a clip a `title`, or take it away with null; star it with `starred`."""
        owner, body = caller.named(), await request_body.read_body(request)

        def change() -> GalleryItem:
            if "title" in body:
                self.gallery.rename(owner, job_id, read_text(body, "title"))
            if "starred" in body:
                self.gallery.star(owner, [job_id], read_flag(body, "starred"))
            return self._items([self.gallery.clip(owner, job_id)])[0]

        return _json(await in_thread(change))

    async def star(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Star the clips of `ids`; with `"starred": false`, take the stars away."""
        owner, body = caller.named(), await request_body.read_body(request)
        ids, starred = read_ids(body), read_flag(body, "starred")
        return _json(ChangedClips(changed=await in_thread(self.gallery.star, owner, ids, starred)))

    async def delete(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Delete the clips of `ids`: hidden at once, removed with all their files in ten seconds.
        Those that are still being made stay."""
        owner, ids = caller.named(), read_ids(await request_body.read_body(request))
        found = await in_thread(self.gallery.delete, owner, ids)
        return _json(DeletedClips.model_validate(found._asdict()))

    async def restore(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Undo a deletion within ten seconds; afterwards the response is 410."""
        owner, ids = caller.named(), read_ids(await request_body.read_body(request))
        return _json(RestoredClips(restored=await in_thread(self.gallery.restore, owner, ids)))

    async def zip(self, request: Request, caller: IdentifiedCaller) -> Response:
        """A zip of the finished clips of `ids`, written while it is read, with a `clips.json` of
        what made them."""
        owner, ids = caller.named(), read_ids(await request_body.read_body(request))
        pieces = await in_thread(self.gallery.zip, owner, ids)
        headers = {"Content-Disposition": 'attachment; filename="kinora.zip"', **NO_STORE, **SAFE}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)

    # ---- collections

    async def collections(self, caller: IdentifiedCaller) -> Response:
        """Your collections, by name."""
        found = await in_thread(self.gallery.collections.list, caller.named())
        views = [CollectionView(id=each.id, name=each.name, clips=each.clips) for each in found]
        return _json(CollectionList(collections=views))

    async def collect(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Begin a collection with a `name` and the clips of `ids`, or without any."""
        owner, body = caller.named(), await request_body.read_body(request)
        name, ids = read_text(body, "name") or "", read_ids(body)

        def add() -> CollectionView:
            added = self.gallery.collections.add(owner, name)
            clips = self.gallery.collections.put(owner, added.id, ids)
            return CollectionView(id=added.id, name=added.name, clips=clips)

        return _json(await in_thread(add), 201)

    async def collection_rename(
        self, collection_id: str, request: Request, caller: IdentifiedCaller
    ) -> Response:
        """Give a collection another `name`."""
        owner, body = caller.named(), await request_body.read_body(request)
        name = read_text(body, "name") or ""
        await in_thread(self.gallery.collections.rename, owner, collection_id, name)
        return Response(status_code=204)

    async def collection_delete(self, collection_id: str, caller: IdentifiedCaller) -> Response:
        """Delete a collection. Its clips stay."""
        await in_thread(self.gallery.collections.delete, caller.named(), collection_id)
        return Response(status_code=204)

    async def collection_change(
        self, collection_id: str, request: Request, caller: IdentifiedCaller
    ) -> Response:
        """Put the clips of `add` into a collection, and take those of `remove` out of it."""
        owner, body = caller.named(), await request_body.read_body(request)
        added, removed = read_ids(body, "add"), read_ids(body, "remove")

        def change() -> ChangedClips:
            collections = self.gallery.collections
            changed = collections.put(owner, collection_id, added)
            return ChangedClips(changed=changed + collections.take(owner, collection_id, removed))

        return _json(await in_thread(change))

    def _items(self, clips: Sequence[GalleryClip]) -> builtins.list[GalleryItem]:
        return [
            GalleryItem(
                **schemas.job_view(self.service, clip.job).model_dump(),
                title=clip.title,
                starred=clip.starred,
                collections=[*clip.collections],
            )
            for clip in clips
        ]


def _json(body: BaseModel, status: int = 200) -> Response:
    return Response(body.model_dump_json(), status, {**NO_STORE, **SAFE}, "application/json")
