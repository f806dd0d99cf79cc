"""A model that cannot be had: another makes the clip, and everybody is told which and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.clip_result import about
from errors import ErrorCode
from jobs.job import Job, State
from jobs.service import JobService
from jobs.store import JobStore
from jobs.workers.foreground import ForegroundExecutor
from pipelines.models.cards import load_cards
from pipelines.request import GenerationRequest
from settings import Settings
from tests import tiny


class Home:
    """One app whose clips are made in this thread."""

    def __init__(self, settings: Settings) -> None:
        self.executor = ForegroundExecutor(settings)
        cards = load_cards(settings.models_dir)
        store = JobStore(settings.database_url)
        self.service = JobService(store, self.executor, cards, settings)
        self.executor.start(self.service._lifecycle)

    def make(self, **asked: object) -> Job:
        asked = {"prompt": "a dog", "seed": 3, "num_inference_steps": 1} | asked
        job = self.service.submit(GenerationRequest.model_validate(asked), "somebody")
        self.executor.run(job.id)
        return self.service.get(job.id)


@pytest.fixture
def home(tmp_path: Path, tiny_repo: Path) -> Iterator[Home]:
    models, away = tmp_path / "cards", Path(str(tmp_path / "away"))
    small = tiny.CARD["limits"] | {"max_width": 64, "max_height": 64}  # pyright: ignore
    tiny.write_card(models, tiny_repo)
    tiny.write_card(models, away, id="big", name="Big", fallback="pocket")
    tiny.write_card(models, away, id="bigger", name="Bigger", fallback="big")
    tiny.write_card(models, away, id="alone", name="Alone")
    tiny.write_card(models, Path("a/hub"), id="hub", name="Hub", fallback="other-hub")
    tiny.write_card(models, Path("other/hub"), id="other-hub", name="Other Hub", fallback="pocket")
    tiny.write_card(models, Path("last/hub"), id="last-hub", name="Last Hub", fallback="lost-hub")
    tiny.write_card(models, Path("lost/hub"), id="lost-hub", name="Lost Hub")
    tiny.write_card(models, away, id="circle", name="Circle", fallback="other-circle")
    tiny.write_card(models, away, id="other-circle", name="Other Circle", fallback="circle")
    tiny.write_card(models, tiny_repo, id="small", name="Small", limits=small, shapes=[])
    tiny.write_card(models, away, id="large", name="Large", fallback="small")
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=tmp_path / "data",
        models_dir=models,
        previews=False,
    )
    home = Home(settings)
    yield home
    home.service.close()


def test_the_fallback_makes_the_clip_and_the_job_says_so(home: Home) -> None:
    job = home.make(model="bigger", width=96, height=64)
    assert job.state is State.SUCCEEDED, job.error
    assert job.fitted.model == "pocket"
    assert (job.fitted.width, job.fitted.height, job.fitted.seed) == (96, 64, 3)
    change = job.fitted.adjustments[0]
    assert (change.field, change.asked, change.used) == ("model", "bigger", "pocket")
    told = "The files of Bigger are not on this machine. Tiny made the clip instead."
    assert change.sentence == told

    assert job.request.model == "bigger"
    events = [e for e in home.service._events.since(job.id) if e.kind == "fallback"]
    assert [e.data for e in events] == [{"sentence": told}]
    assert told in about(job, Path("clip.mp4"))["adjustments"]
    assert about(job, Path("clip.mp4"))["model"] == "pocket"


def test_a_clip_of_the_fallback_is_not_taken_for_one_of_the_model_itself(home: Home) -> None:
    first = home.make(model="big")
    request = first.request.model_copy(update={"seed": 3})
    again = home.service.submit(request, "somebody", reuse=True)
    assert first.state is State.SUCCEEDED
    assert again.state is State.QUEUED


def test_without_a_network_only_what_is_here_is_tried(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    job = home.make(model="hub")
    assert job.state is State.SUCCEEDED, job.error
    assert job.fitted.model == "pocket"
    told = "Hub is not on this machine, and there is no network to fetch it."
    assert job.fitted.adjustments[0].sentence == f"{told} Tiny made the clip instead."
    assert not any("the fallback other-hub" in message for message in caplog.messages)

    job = home.make(model="last-hub")
    assert job.state is State.FAILED
    assert job.error
    assert job.error["details"]["fallback"] == "lost-hub"
    assert job.error["message"].endswith("Lost Hub, which stands in for it, cannot be used either.")


def test_what_the_fallback_does_not_take_is_left_out_and_that_is_said(home: Home) -> None:
    job = home.make(model="large", width=96, height=96)
    assert job.state is State.SUCCEEDED, job.error
    assert (job.fitted.model, job.fitted.width) == ("small", 64)
    assert job.fitted.adjustments[0].sentence.endswith("instead, at its own size and length.")


def test_the_fallback_gets_the_prompt_that_was_chosen_and_styled(home: Home) -> None:
    words = {"prompt": "a {red|green|blue} dog", "wildcards": True, "style": "anime"}
    accepted = home.service.fit(GenerationRequest.model_validate(words | {"seed": 3}))
    for model, size in (("big", 96), ("large", 96)):
        job = home.make(model=model, width=size, height=size, wildcard_seed=3, **words)
        assert job.state is State.SUCCEEDED, job.error
        assert job.fitted.prompt == accepted.prompt
        assert job.fitted.prompt_origin is not None
        assert job.fitted.prompt_origin.prompt == words["prompt"]
        changed = {change.field for change in job.fitted.adjustments}
        assert not changed & {"prompt", "negative_prompt", *words, "wildcard_seed"}


def test_who_forbids_a_fallback_gets_a_button_for_it(home: Home) -> None:
    job = home.make(model="big", allow_fallback=False)
    assert job.state is State.FAILED
    assert job.error
    assert job.error["error"] == ErrorCode.MODEL_NOT_FOUND.value
    assert job.error["details"]["requested"] == "big"
    assert job.error["details"]["fallback"] == "pocket"
    assert job.error["details"]["reason"] == "no_files"
    assert job.error["action"] == {"label": "Use Tiny", "set": {"model": "pocket"}}


@pytest.mark.parametrize(
    ("model", "fallback"), [("alone", None), ("circle", "other-circle"), ("other-circle", "circle")]
)
def test_where_nothing_can_stand_in_both_are_named(
    home: Home, model: str, fallback: str | None
) -> None:
    job = home.make(model=model)
    assert job.state is State.FAILED
    assert job.error
    assert job.error["error"] == ErrorCode.MODEL_NOT_FOUND.value
    details = job.error["details"]
    assert (details["requested"], details["fallback"]) == (model, fallback)
    if fallback:
        assert "which stands in for it" in job.error["message"]
