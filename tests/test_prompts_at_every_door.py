"""Styles and wildcards make the same final prompt at every door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.request import PromptOrigin
from tests.doors import Doors, Outcome

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


def test_the_estimate_shows_the_final_prompt(doors: Doors) -> None:
    used = doors._post("/api/estimate", json=TYPED).json()["used"]
    assert used["prompt"].startswith("a blue sea turtle, film noir")
