"""Films: several shots in one request, made one by one and joined. See docs/films.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api import film_views, request_body
from api.core import ApiContext, IdentifiedCaller, JobId
from api.film_views import FilmEstimate, FilmList, FilmView
from api.idempotency import idempotency_key_of
from errors import ErrorCode, KinoraError
from jobs.film import MAX_SHOTS, FilmState
from jobs.film_requests import read_change, read_film, read_redo
from pipelines.validation_errors import unusable
from web import sse
from web.addresses import address
from web.errors import ERRORS, NO_STORE, SAFE
from web.identity import ANYONE, Caller

if TYPE_CHECKING:
    from jobs.service import JobService

PAUSE_S = 0.5
"""Between two states of a film."""
Number = Annotated[int, "The place of a shot, from 1"]


class Films:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service: JobService = core.service

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/films", responses=ERRORS)

        def add(path: str, handler: Any, method: str = "GET", **more: Any) -> None:
            name = f"films_{handler.__name__}"
            router.add_api_route(path, handler, methods=[method], operation_id=name, **more)

        accepted = {"status_code": 202, "response_model": FilmView}
        stream = {200: {"content": {"text/event-stream": {}}, "description": "Whole states."}}
        add("", self.create, "POST", **accepted)
        add("", self.list, response_model=FilmList)
        add("/estimate", self.estimate, "POST", response_model=FilmEstimate)
        add("/{film_id}", self.one, response_model=FilmView)
        add("/{film_id}", self.change, "PATCH", **accepted)
        add("/{film_id}", self.delete, "DELETE", status_code=204)
        add("/{film_id}/shots/{number}/redo", self.redo, "POST", **accepted)
        add("/{film_id}/cancel", self.cancel, "POST", response_model=FilmView)
        add("/{film_id}/resume", self.resume, "POST", **accepted)
        add("/{film_id}/events", self.events, response_class=Response, response_model=None,
            responses={**ERRORS, **stream})  # fmt: skip
        return router

    # ---- submit

    async def create(
        self,
        request: Request,
        caller: IdentifiedCaller,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """Submit a film: `shots`, each with a `prompt` and how it follows the one before (`cut`:
        continue, hard, crossfade), and settings that hold for all. Each shot becomes a clip of its
        own, and at the end they are joined. All shots are accepted or none."""
        body = await self._body(request)
        key = body.pop("idempotency_key", None)
        film = read_film(body)
        once = idempotency_key_of(request, key, film.model_dump_json(exclude_defaults=True))

        def submit() -> Response:
            with self.core.counted_clips(caller, len(film.shots)) as limits:
                state = self.service.submit_film(film, caller.owner, idempotency_key=once)
            return self._accepted(state, caller, limits)

        return await in_thread(submit)

    async def estimate(self, request: Request, caller: IdentifiedCaller) -> Response:
        """What a film would take and what its shots would be. Makes nothing; the body is that of a
        film."""
        film = read_film(await self._body(request))

        def estimate() -> Response:
            planned, estimates = self.service.plan_film(film, caller.owner)
            return _json(film_views.estimate_view(planned, estimates))

        return await in_thread(estimate)

    # ---- read

    async def list(
        self,
        caller: IdentifiedCaller,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        before: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    ) -> Response:
        """Your films, newest first."""
        owner = caller.named()

        def read() -> Response:
            found = self.service.films(owner, limit, before)
            last = found[-1].film.created_at if len(found) == limit else None
            shown = [film_views.summary(each) for each in found]
            return _json(FilmList(films=shown, next=last))

        return await in_thread(read)

    async def one(self, film_id: JobId, caller: IdentifiedCaller) -> Response:
        """A film with all of its shots; each can be played as soon as it is there."""
        return await in_thread(lambda: self._view(self._find(film_id, caller)))

    async def events(self, film_id: JobId, caller: IdentifiedCaller) -> Response:
        """Follow a film as server-sent events: each is the whole state, so any may be missed.
        Connect again if a shot is made again after the last event."""
        await in_thread(self._find, film_id, caller)

        async def read() -> tuple[str, bool]:
            def now() -> dict[str, Any]:
                found = film_views.view(self.service, self.service.find_film(film_id))
                return found.model_dump(mode="json")

            film = await in_thread(now)
            return json.dumps(film), film["state"] != "working"

        changes = self.service.afilm_changes(film_id, 1.0)
        return sse.EventStream(sse.states(changes, read, event="state", pause_s=PAUSE_S))

    # ---- change

    async def redo(
        self,
        film_id: JobId,
        number: Number,
        request: Request,
        caller: IdentifiedCaller,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """Make one shot again: with another seed, or with the `prompt`, `seed`, `duration_s`,
        `image` or `cut` of the body. All others stay, and the film is joined again."""
        body = await self._body(request)
        key = body.pop("idempotency_key", None)
        wanted = read_redo(number, body)
        once = idempotency_key_of(request, key, wanted.model_dump_json(exclude_unset=True))
        return await self._remake(
            film_id,
            caller,
            lambda: self.service.redo_shot(film_id, number, wanted, idempotency_key=once),
        )

    async def change(self, film_id: JobId, request: Request, caller: IdentifiedCaller) -> Response:
        """Reorder, add, remove and change shots: `shots` lists all of them in order, those that
        there are by their `id`, and new ones without. Only what is new, or has another prompt,
        picture, length or seed, is made. Shots that are not listed leave the film; their clips
        stay."""
        wanted = read_change(await self._body(request))

        def new_clips() -> int:
            known = {shot.id: shot for shot in self._find(film_id, caller).film.shots}
            return sum(each.id not in known for each in wanted.shots or ())

        count = await in_thread(new_clips)
        return await self._remake(
            film_id, caller, lambda: self.service.change_film(film_id, wanted), count
        )

    async def resume(self, film_id: JobId, caller: IdentifiedCaller) -> Response:
        """Make what failed, was discarded or is gone."""
        return await self._remake(film_id, caller, lambda: self.service.resume_film(film_id))

    async def cancel(self, film_id: JobId, caller: IdentifiedCaller) -> Response:
        """Discard what is not finished. The finished shots stay."""

        def cancel() -> Response:
            self._find(film_id, caller)
            return self._view(self.service.cancel_film(film_id))

        return await in_thread(cancel)

    async def delete(self, film_id: JobId, caller: IdentifiedCaller) -> Response:
        """Discard what is not finished and remove the film. Its clips stay: delete them one by
        one."""

        def delete() -> Response:
            self._find(film_id, caller)
            self.service.delete_film(film_id)
            return Response(status_code=204)

        return await in_thread(delete)

    # ---- helpers

    async def _remake(
        self, film_id: str, caller: Caller, change: Callable[[], FilmState], clips: int = 1
    ) -> Response:
        def submit() -> Response:
            self._find(film_id, caller)
            if not clips:
                return self._accepted(change(), caller, {})
            with self.core.counted_clips(caller, clips) as limits:
                state = change()
            return self._accepted(state, caller, limits)

        return await in_thread(submit)

    def _accepted(self, state: FilmState, caller: Caller, limits: dict[str, str]) -> Response:
        self.core.use_quota(list(state.jobs.values()), caller)
        location = {"Location": address(f"/api/films/{state.film.id}")}
        return _json(film_views.view(self.service, state), 202, location | limits)

    def _view(self, state: FilmState) -> Response:
        return _json(film_views.view(self.service, state))

    def _find(self, film_id: str, caller: Caller) -> FilmState:
        """Raises KinoraError(NOT_FOUND) if the caller may not see it."""
        state = self.service.find_film(film_id)
        owner = state.film.owner
        if owner != caller.owner and not owner.startswith(ANYONE):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such film here.")
        self.core.use_quota(list(state.jobs.values()), caller)
        return state

    async def _body(self, request: Request) -> request_body.Body:
        """With the pictures of the shots stored: data: URIs in JSON, and files of a form, which a
        shot names as `@field`."""
        request_body.refuse_settings_in_query(request)
        body = await request_body.read_body(request, MAX_SHOTS + 2)
        caller = request.app.state.callers.identify(request)
        files = {name: body.pop(name) for name, value in list(body.items())
                 if isinstance(value, UploadFile)}  # fmt: skip
        if isinstance(body.get("shots"), str):
            try:
                body["shots"] = json.loads(body["shots"])
            except (ValueError, RecursionError):
                raise unusable("shots", "it must be a JSON list") from None
        listed = body["shots"] if isinstance(body.get("shots"), list) else []
        for each in [*listed, body]:
            if isinstance(each, dict) and each.get("image") is not None:
                image = each["image"]
                if isinstance(image, str) and image.startswith("@"):
                    image = files.get(image[1:], image)
                each["image"] = await request_body.store_picture_field(
                    "image", image, self.service, caller
                )
        if "image" in files:
            stored = await request_body.store_picture_field(
                "image", files["image"], self.service, caller
            )
            body.setdefault("image", stored)
        return request_body.parse_structured(body)


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {**NO_STORE, **SAFE, **(headers or {})}
    return JSONResponse(body.model_dump(mode="json"), status, headers=headers)
