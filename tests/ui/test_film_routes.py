"""The page's routes for storyboards, around a service whose worker never starts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app import executor_for
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from pipelines.request import GenerationRequest, Task
from settings import Settings
from ui import film_view
from ui.film_routes import FilmRoutes
from ui.routes import PageRoutes
from web.identity import COOKIE, VisitorCookie

ME, STRANGER = "a" * 32, "b" * 32
HERE = "/kinora/films"
SHOTS = [{"prompt": "a dog"}, {"prompt": "it jumps", "cut": "continue"}]


@pytest.fixture
def service(tiny_settings: Settings, tiny_cards: dict[str, ModelCard]) -> Iterator[JobService]:
    store = JobStore(tiny_settings.database_url)
    idle = JobService(store, executor_for(tiny_settings), tiny_cards, tiny_settings)
    yield idle
    idle.close()


@pytest.fixture
def site(service: JobService, tiny_settings: Settings) -> Starlette:
    page = PageRoutes(service, tiny_settings)
    routes = FilmRoutes(service, page.view, page.signatures).routes()
    return Starlette(routes=routes, middleware=[Middleware(VisitorCookie)])


@pytest.fixture
def me(site: Starlette) -> Iterator[TestClient]:
    with TestClient(site, cookies={COOKIE: ME}, headers={"X-Kinora": "1"}) as client:
        yield client


def test_a_film_is_followed_as_events_with_a_signed_address(
    me: TestClient, site: Starlette, service: JobService
) -> None:
    film = me.post(HERE, json={"shots": SHOTS, "model": "pocket"}).json()
    assert film["state"] == "working"
    me.post(f"{HERE}/{film['id']}/discard", json={})
    anybody = TestClient(site, cookies={COOKIE: STRANGER}, headers={"X-Kinora": "1"})
    live = f"{HERE}/{film['id']}/live"
    assert anybody.get(live).status_code == 404
    assert anybody.get(f"{live}?until=9999999999&sign=0").status_code == 404
    events = anybody.get(f"{live}?{film['signed']}").text
    states = [line[6:] for line in events.splitlines() if line.startswith("data: ")]
    assert json.loads(states[0])["state"] == "cancelled"
    assert "event: end" in events


def test_a_start_from_a_picture_is_offered_for_models_that_take_one(
    me: TestClient, tiny_cards: dict[str, ModelCard]
) -> None:
    film = me.post(HERE, json={"shots": SHOTS, "model": "pocket"}).json()
    assert film["takes_image"] is True
    only_text = tiny_cards["pocket"].model_copy(update={"tasks": (Task.TEXT_TO_VIDEO,)})
    asked = GenerationRequest(prompt="A dog runs. It jumps.", model="pocket")
    assert film_view.board_of(asked, tiny_cards)["takes_image"] is True
    assert film_view.board_of(asked, {"pocket": only_text})["takes_image"] is False
    unnamed = asked.model_copy(update={"model": None})
    both = {"pocket": only_text, "other": tiny_cards["pocket"]}
    assert film_view.board_of(unnamed, both)["takes_image"] is True
    assert film_view.board_of(unnamed, {"pocket": only_text})["takes_image"] is False
