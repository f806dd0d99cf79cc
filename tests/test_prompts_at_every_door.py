"""Styles and wildcards make the same final prompt at every door."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from errors import KinoraError
from pipelines.request import PromptOrigin, Task
from tests.doors import SECRET, Doors, Outcome, _request
from ui import job_view
from ui.handlers import exact_request
from ui.model_picker import Models
from ui.prompt_routes import PromptRoutes
from web.identity import COOKIE, Callers, VisitorCookie
from web.limits import Window, WindowsHere
from web.prompt_tools import SAVES_PER_MINUTE, PromptTools

DOORS = ("rest", "form", "openai", "batch", "requests", "client", "tool")
TYPED: dict[str, Any] = {
    "prompt": "a {red|green|blue} __animal__",
    "style": "Film noir",
    "wildcards": True,
    "wildcard_seed": 5,
    "seed": 3,
}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    opened = Doors(tmp_path_factory.mktemp("doors"))
    yield opened
    opened.close()


def sent(doors: Doors, door: str, **typed: Any) -> Outcome:
    return getattr(doors, door)(TYPED | typed)


@pytest.mark.parametrize("door", DOORS)
def test_the_same_words_become_the_same_prompt(doors: Doors, door: str) -> None:
    job = sent(doors, door).job
    assert job is not None
    assert job.fitted.prompt == (
        "a blue sea turtle, film noir, black and white, hard shadows, low key lighting, "
        "venetian blinds, 1940s"
    )
    assert job.fitted.prompt_origin == PromptOrigin(
        prompt=TYPED["prompt"], style="film-noir", wildcard_seed=5
    )
    assert job.request.prompt == TYPED["prompt"], "what was given stays as it was"


@pytest.mark.parametrize("door", (*DOORS, "command"))
def test_a_fault_gets_its_sentence(doors: Doors, door: str) -> None:
    wrong = sent(doors, door, style="anima")
    assert wrong.sentence == "There is no style “anima”. Did you mean “anime”?"
    open_brace = sent(doors, door, prompt="a {red cat")
    assert "The “{” in column 3 has no “}” after it." in open_brace.sentence


def test_a_batch_of_one_prompt_differs_and_can_be_made_again(doors: Doors) -> None:
    body = {"prompts": ["a {red|green|blue|white} __animal__"] * 4, "wildcards": True,
            "wildcard_seed": 70, "seed": 1}  # fmt: skip

    def prompts() -> list[str]:
        answer = doors._post("/api/batches", json=body)
        return [job["settings"]["prompt"] for job in answer.json()["jobs"]]

    first = prompts()
    assert len(set(first)) > 1
    assert prompts() == first


def test_the_job_shows_where_its_prompt_came_from(doors: Doors) -> None:
    job = doors._post("/api/generate", json=TYPED).json()
    assert job["settings"]["prompt"].startswith("a blue sea turtle, film noir")
    assert "prompt_origin" not in job["settings"], "the settings can be sent again"
    assert job["prompt_origin"]["prompt"] == TYPED["prompt"]
    plain = doors._post("/api/generate", json={"prompt": "a dog"}).json()
    assert plain["prompt_origin"] is None


def test_the_page_makes_the_same_clip_again(doors: Doors) -> None:
    job = sent(doors, "rest").job
    assert job is not None
    again = doors.service.submit(exact_request(job), "visitor:again")
    assert again.fitted == job.fitted.model_copy(update={"prompt_origin": None})
    assert job_view.view(job, job_view.Progress())["prompt_origin"]["style"] == "film-noir"


def test_the_estimate_shows_the_final_prompt(doors: Doors) -> None:
    used = doors._post("/api/estimate", json=TYPED).json()["used"]
    assert used["prompt"].startswith("a blue sea turtle, film noir")


# -- what helps to write prompts -------------------------------------------------------------------

MINE = {"name": "Mine", "prompt": "{prompt}, of mine", "negative_prompt": "yours"}


@pytest.fixture
def me(doors: Doors) -> Iterator[TestClient]:
    """A program with a secret of its own."""
    doors.http.headers["Authorization"] = f"Bearer {SECRET}-{time.time_ns()}"
    yield doors.http
    del doors.http.headers["Authorization"]


@pytest.fixture(scope="module")
def page(doors: Doors) -> Iterator[TestClient]:
    """The page's own routes, for a visitor."""
    tools = PromptTools(doors.service, WindowsHere())
    routes = PromptRoutes(tools, Callers(doors.settings)).routes()
    site = Starlette(routes=routes, middleware=[Middleware(VisitorCookie)])
    with TestClient(site, cookies={COOKIE: "a" * 32}, headers={"X-Kinora": "1"}) as client:
        yield client


Ask = Callable[..., Any]


@pytest.fixture(params=["program", "page"])
def ask(request: pytest.FixtureRequest, me: TestClient, page: TestClient) -> Ask:
    """One request at either door: the same paths, bodies and answers."""
    client, root = (me, "/api") if request.param == "program" else (page, "/kinora")

    def ask(method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = client.request(method, f"{root}{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    return ask


def test_the_final_prompt_is_shown_and_can_be_had_again(ask: Ask) -> None:
    body = {"prompt": TYPED["prompt"], "wildcards": True, "style": "anime", "model": "wan"}
    shown = ask("POST", "/prompt", body)
    assert shown["prompt"].endswith("vivid colours")
    assert shown["style"] == "anime"
    again = ask("POST", "/prompt", body | {"wildcard_seed": shown["wildcard_seed"]})
    assert again == shown
    fault = ask("POST", "/prompt", {"prompt": "a {b", "wildcards": True}, status=422)
    assert fault["details"] == {"field": "prompt", "column": 3}


def test_the_lists_of_wildcards_are_offered(ask: Ask) -> None:
    offer = ask("GET", "/prompt")
    assert offer["improve"] is False
    (animal,) = [each for each in offer["wildcards"] if each["name"] == "animal"]
    assert animal["examples"] == ["dog", "cat", "horse", "fox", "owl"]


def test_a_short_prompt_is_completed(ask: Ask) -> None:
    found = ask("POST", "/prompt/suggestions", {"prompt": "a cat", "model": "wan"})
    assert len(found["suggestions"]) == 4
    assert list(found["missing"]) == ["action", "place", "camera", "light"]
    ask("POST", "/prompt/suggestions", {"prompt": "a cat", "colour": 1}, status=422)
    ask("POST", "/prompt/suggestions", {"prompt": 3}, status=422)


def test_where_no_language_model_is_set_there_is_no_door_to_it(
    ask: Ask, doors: Doors, me: TestClient
) -> None:
    assert ask("POST", "/prompt/improve", {"prompt": "a cat"}, status=404)["error"] == "not_found"
    assert "/api/prompt/improve" not in me.get("/api/openapi.json").json()["paths"]
    assert "improve_prompt" not in doors.endpoints


def test_a_style_of_ones_own_is_saved_used_shared_and_deleted(ask: Ask) -> None:
    assert ask("PUT", "/styles/mine", MINE)["own"] is True
    listed = ask("GET", "/styles?model=wan")["styles"]
    assert (listed[0]["id"], listed[0]["own"], listed[1]["own"]) == ("mine", True, False)
    shown = ask("POST", "/prompt", {"prompt": "a cat", "style": "mine", "model": "wan"})
    assert (shown["prompt"], shown["negative_prompt"][-5:]) == ("a cat, of mine", "yours")
    ask("PUT", "/styles/anime", MINE, status=409)
    ask("PUT", "/styles/mine", MINE | {"prompt": "x"}, status=422)
    ask("DELETE", "/styles/mine", status=204)
    ask("DELETE", "/styles/mine", status=404)
    ask("POST", "/prompt", {"prompt": "a cat", "style": "mine"}, status=422)


def test_styles_go_through_a_file(me: TestClient, page: TestClient) -> None:
    me.put("/api/styles/mine", json=MINE)
    file = me.get("/api/styles/export")
    assert file.headers["content-type"].startswith("application/yaml")
    assert "attachment" in file.headers["content-disposition"]
    taken = page.post("/kinora/styles/import", content=file.content)
    assert [style["id"] for style in taken.json()["styles"]] == ["mine"]
    assert page.get("/kinora/styles/export").content == file.content
    form = me.post("/api/styles/import", files={"file": file.content})
    assert form.status_code == 200
    wrong = page.post("/kinora/styles/import", content=b"[" * 200_000)
    assert (wrong.status_code, wrong.json()["error"]) == (422, "invalid_input")


def test_a_look_is_saved_shown_and_deleted(ask: Ask) -> None:
    settings = {"prompt": "a cat", "style": "anime", "seed": 4}
    saved = ask("PUT", "/looks/Evening%20light", {"settings": settings})
    assert saved["name"] == "Evening light"
    assert ask("GET", "/looks")["looks"] == [saved]
    assert ask("GET", "/looks/Evening%20light") == saved
    assert ask("PUT", "/looks/copy", saved)["settings"] == settings, "as it was shared"
    ask("PUT", "/looks/bad", {"settings": {"seed": "x"}}, status=422)
    for name in ("copy", "Evening%20light"):
        ask("DELETE", f"/looks/{name}", status=204)
    ask("GET", "/looks/copy", status=404)


def test_who_has_no_name_saves_nothing(doors: Doors) -> None:
    for method, path in (("GET", "/looks"), ("PUT", "/looks/a"), ("PUT", "/styles/a"),
                         ("POST", "/styles/import"), ("GET", "/styles/export")):  # fmt: skip
        assert doors.http.request(method, f"/api{path}").status_code == 401, path
    assert doors.http.get("/api/styles").status_code == 200


def test_tools_show_styles_prompts_and_suggestions(doors: Doors) -> None:
    def call(name: str, *arguments: Any) -> Any:
        return doors.endpoints[name].fn(*arguments, gr.Request(_request()))

    assert call("styles", "wan")[0]["id"] == "cinematic"
    made = call("final_prompt", TYPED["prompt"], None, "film noir", True, 5, "wan")
    assert made["prompt"].startswith("a blue sea turtle, film noir")
    assert len(call("suggest_prompts", "a cat", "wan")["suggestions"]) == 4
    with pytest.raises(gr.Error, match="Did you mean “anime”"):
        call("final_prompt", "a cat", None, "anima", False, None, None)


def test_tools_save_apply_and_estimate_what_is_ones_own(doors: Doors) -> None:
    request = gr.Request(_request())

    def call(name: str, *arguments: Any, **named: Any) -> Any:
        return doors.endpoints[name].fn(*arguments, request=request, **named)

    saved = call("save_look", "Evening", {"prompt": "a cat", "style": "mine", "seed": 4})
    assert call("looks") == [saved]
    with pytest.raises(gr.Error, match="There is no style “mine”"):
        call("make_clip_from_look", "Evening")
    headers = {"Authorization": f"Bearer {SECRET}"}
    assert doors.http.put("/api/styles/mine", json=MINE, headers=headers).status_code == 200
    for prompt, expected in ((None, "a cat, of mine"), ("a cow", "a cow, of mine")):
        state = call("make_clip_from_look", "Evening", prompt)
        assert (state["used"]["prompt"], state["used"]["seed"]) == (expected, 4)
    used = call("estimate", "a {hen|hen}", style="mine", wildcards=True)["used"]
    assert used["prompt"] == "a hen, of mine"
    doors.http.delete("/api/styles/mine", headers=headers)
    call("delete_look", "Evening")
    assert call("looks") == []


def test_the_command_line_lists_the_styles(doors: Doors) -> None:
    rows = json.loads(doors.run("styles", "--json").output)
    assert len(rows) >= 24
    assert set(rows[0]) == {"id", "name", "example", "prompt", "negative_prompt"}


def test_the_page_gets_the_negative_prompt_of_the_model(doors: Doors) -> None:
    models = Models(doors.service.cards, doors.settings)
    wan = doors.service.cards["wan"]
    facts = models.facts(wan, Task.TEXT_TO_VIDEO)
    assert facts["negative_prompt"] == wan.defaults.negative_prompt
    distilled = doors.service.cards["distilled"]
    assert models.facts(distilled, Task.TEXT_TO_VIDEO)["negative_prompt"] == ""


def test_saving_is_limited_by_the_minute(doors: Doors) -> None:
    windows = WindowsHere()
    tools = PromptTools(doors.service, windows)
    windows.take("save:me", SAVES_PER_MINUTE - 1, [Window(60, SAVES_PER_MINUTE)])
    tools.save_look("somebody", "a", {"settings": {}}, "me")
    with pytest.raises(KinoraError, match=r"At most 60 times a minute. Try again in"):
        tools.save_look("somebody else", "a", {"settings": {}}, "me")
