"""The page's routes for storyboards: films that are planned, made, changed and discarded."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from errors import ErrorCode, KinoraError
from jobs.film import FilmState
from jobs.film_requests import read_change, read_film, read_redo
from ui import film_view, job_view
from ui.route_helpers import PREFIX, fresh_json, guarded, in_thread, read_json
from ui.signatures import Signatures
from web import sse

if TYPE_CHECKING:
    from jobs.service import JobService

MAX_BODY = 200_000
"""Bytes: twenty prompts and the settings."""
RETRY_MS = 1500
PAUSE_S, TICK_S = 0.4, 1.0
"""Between two states at least, and between two reads at most: no event says that a shot got a
job."""
Act = Callable[[str, str, dict[str, Any], int], FilmState | None]
"""What is done with a film: its id, the owner, the body, the number of a shot."""


class FilmRoutes:
    def __init__(
        self, service: JobService, view: film_view.ViewJob, signatures: Signatures
    ) -> None:
        """`view` is that of a job on the page."""
        self.service = service
        self.view = view
        self.signatures = signatures

    def routes(self) -> list[Route]:
        here, one = f"{PREFIX}/films", f"{PREFIX}/films/{{id:str}}"
        act = self._act
        return [
            Route(here, guarded(self.create), methods=["POST"]),
            Route(f"{here}/estimate", guarded(self.estimate), methods=["POST"]),
            Route(one, guarded(self.film)),
            Route(f"{one}/live", guarded(self.live, self.by_signature)),
            Route(one, act(self._change), methods=["PATCH"]),
            Route(one, act(self._delete), methods=["DELETE"]),
            Route(f"{one}/shots/{{number:int}}/redo", act(self._redo), methods=["POST"]),
            Route(f"{one}/discard", act(self._discard), methods=["POST"]),
            Route(f"{one}/resume", act(self._resume), methods=["POST"]),
        ]

    async def create(self, request: Request, owner: str) -> Response:
        film = read_film(await read_json(request, MAX_BODY))
        return self._json(await in_thread(self.service.submit_film, film, owner))

    async def estimate(self, request: Request, owner: str) -> Response:
        """How long all shots would take, as a sentence, and what each would be."""
        film = read_film(await read_json(request, MAX_BODY))

        def plan() -> dict[str, Any]:
            planned, estimates = self.service.plan_film(film, owner)
            length_s = sum(each.duration_s for each in planned.fitted)
            took = job_view.seconds(sum(each.seconds for each in estimates))
            first = planned.fitted[0]
            width, height = first.made_size
            return {
                "line": f"About {took} · {length_s:.1f} s, {width}×{height}",
                "width": width,
                "height": height,
                "seconds": [round(each.duration_s, 2) for each in planned.fitted],
            }

        return fresh_json(await in_thread(plan))

    async def film(self, request: Request, owner: str) -> Response:
        film_id = request.path_params["id"]
        return self._json(await in_thread(self.service.find_film, film_id, owner))

    async def by_signature(self, request: Request) -> str | None:
        """The film's owner, if the URL is signed for it."""
        if "sign" not in request.query_params:
            return None
        film = (await in_thread(self.service.find_film, request.path_params["id"])).film
        is_signed = self.signatures.hold(film.id, film.owner, request.query_params)
        return film.owner if is_signed else None

    async def live(self, request: Request, owner: str) -> Response:
        """Server-sent events: each message is the whole state. Connect again if a shot is made
        again after the last one."""
        film_id = request.path_params["id"]
        await in_thread(self.service.find_film, film_id, owner)

        def read() -> tuple[str, bool]:
            shown = self._view(self.service.find_film(film_id, owner))
            return json.dumps(shown), shown["state"] != "working"

        changes = self.service.afilm_changes(film_id, TICK_S)
        states = sse.states(changes, partial(in_thread, read), pause_s=PAUSE_S)
        return sse.EventStream(states, retry_ms=RETRY_MS)

    def _act(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request, owner: str) -> Response:
            body = await read_json(request, MAX_BODY)
            film_id, number = request.path_params["id"], request.path_params.get("number", 0)

            def checked() -> FilmState | None:
                self.service.find_film(film_id, owner)
                return act(film_id, owner, body, number)

            state = await in_thread(checked)
            return self._json(state) if state else Response(status_code=204)

        return guarded(handle)

    def _change(self, film_id: str, _owner: str, body: dict[str, Any], _n: int) -> FilmState:
        return self.service.change_film(film_id, read_change(body))

    def _redo(self, film_id: str, _owner: str, body: dict[str, Any], number: int) -> FilmState:
        return self.service.redo_shot(film_id, number, read_redo(number, body))

    def _discard(self, film_id: str, _owner: str, _body: dict[str, Any], _n: int) -> FilmState:
        return self.service.cancel_film(film_id)

    def _resume(self, film_id: str, _owner: str, _body: dict[str, Any], _n: int) -> FilmState:
        return self.service.resume_film(film_id)

    def _delete(self, film_id: str, _owner: str, _body: dict[str, Any], _n: int) -> None:
        self.service.delete_film(film_id)

    def _json(self, state: FilmState | None) -> Response:
        if state is None:
            raise KinoraError(ErrorCode.NOT_FOUND)
        return fresh_json(self._view(state))

    def _view(self, state: FilmState) -> dict[str, Any]:
        film, cards = state.film, self.service.cards
        signed = {"signed": self.signatures.query(film.id, film.owner)}
        return film_view.view(state, self.view, cards) | signed
