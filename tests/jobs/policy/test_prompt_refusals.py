"""Prompts are refused before anything is queued, by every interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from errors import ErrorCode, KinoraError
from jobs.policy.own_filter import ContentFilter
from jobs.policy.policy_event import PolicyEvent
from jobs.service import JobService
from pipelines.request import GenerationRequest
from settings import Settings
from tests.jobs.conftest import build_service
from web.metrics import Metrics

ME = "visitor:me"
Build = Callable[..., JobService]


class NoClowns(ContentFilter):
    def check_prompt(self, prompt: str) -> str | None:
        if "broken" in prompt:
            raise RuntimeError("the filter is out of order")
        return "This server makes no clips of clowns." if "clown" in prompt else None


@pytest.fixture
def build(tiny_settings: Settings) -> Iterator[Build]:
    """A service that was not started: it accepts jobs and makes none."""
    with ExitStack() as stack:

        def make(**changes: object) -> JobService:
            service = build_service(tiny_settings.model_copy(update=changes))
            stack.callback(service.close)
            return service

        yield make


def submit(service: JobService, prompt: str, **more: object) -> KinoraError | None:
    request = GenerationRequest.model_validate({"prompt": prompt} | more)
    before = len(service.list(ME))
    try:
        service.submit(request, ME)
    except KinoraError as error:
        assert error.code is ErrorCode.CONTENT_POLICY, error
        assert len(service.list(ME)) == before, "nothing is queued"
        return error
    return None


def test_at_home_nothing_is_refused_and_on_a_space_it_is(build: Build) -> None:
    assert submit(build(), "a nude woman") is None
    error = submit(build(space_id="me/kinora"), "a nude woman")
    assert error is not None
    assert error.details["category"] == "sexual"
    assert submit(build(space_id="me/kinora", prompt_filter=False), "a nude woman") is None


def test_a_refusal_says_what_was_found_what_to_change_and_whom_to_write_to(build: Build) -> None:
    service = build(
        prompt_filter=True, terms_url="https://example.org/terms", contact="help@example.org"
    )
    error = submit(service, "a N.U.D.E woman in the snow")
    assert error is not None
    assert error.message == (
        "This server does not make sexual content. The prompt says “N.U.D.E”. Dress the people in "
        "the scene, or show something else. Terms: https://example.org/terms "
        "Questions: help@example.org"
    )
    assert error.details["terms_url"] == "https://example.org/terms"
    assert error.details["contact"] == "help@example.org"


def test_the_words_about_minors_are_not_repeated(build: Build) -> None:
    error = submit(build(prompt_filter=True), "child sexual abuse material")
    assert error is not None
    assert error.details["category"] == "minors"
    assert "“" not in error.message


def test_each_category_is_a_setting(build: Build) -> None:
    service = build(prompt_filter=True, prompt_filter_categories=("gore",))
    assert submit(service, "a nude woman") is None
    assert submit(service, "a decapitated man") is not None
    with pytest.raises(KinoraError, match="unknown category: sexy"):
        build(prompt_filter=True, prompt_filter_categories=("sexy",))


def test_the_prompt_counts_after_its_wildcards_and_its_style(build: Build) -> None:
    service = build(prompt_filter=True)
    assert submit(service, "a {nude|nude} woman", wildcards=True) is not None
    assert submit(service, "a {dressed|dressed} woman", wildcards=True) is None
    service.styles.save(ME, "bare", {"name": "Bare", "prompt": "{prompt}, nude"})
    assert submit(service, "a dog", style="bare") is not None
    assert submit(service, "a dog") is None


def test_what_a_clip_should_be_without_may_be_named(build: Build) -> None:
    service = build(prompt_filter=True)
    assert submit(service, "a woman", negative_prompt="nudity, gore, nsfw") is None


def test_one_refused_prompt_refuses_its_batch(build: Build) -> None:
    service = build(prompt_filter=True)
    requests = [GenerationRequest(prompt=prompt) for prompt in ("a dog", "a nude woman")]
    with pytest.raises(KinoraError) as refused:
        service.submit_batch(requests, ME)
    assert refused.value.code is ErrorCode.CONTENT_POLICY
    assert service.list(ME) == []


def test_listeners_and_metrics_get_every_refusal_and_may_fail(build: Build) -> None:
    service = build(prompt_filter=True)
    metrics = Metrics(service)
    events: list[PolicyEvent] = []

    def fail(_: PolicyEvent) -> None:
        raise RuntimeError("the disk of the log is full")

    service.policy.subscribe(fail)
    service.policy.subscribe(events.append)
    assert submit(service, "a nude woman") is not None
    (event,) = events
    assert (event.stage, event.category, event.rule) == ("prompt", "sexual", "nude")
    assert (event.owner, event.prompt, event.job_id) == (ME, "a nude woman", None)
    counted = 'kinora_policy_refusals_total{category="sexual",stage="prompt"} 1.0'
    assert counted in metrics.text().decode()


def test_an_operators_own_filter_refuses_too_and_fails_closed(build: Build) -> None:
    service = build(content_filter=f"{__name__}:NoClowns")
    error = submit(service, "a clown")
    assert error is not None
    assert error.message == "This server makes no clips of clowns."
    assert error.details["category"] == "own"
    assert submit(service, "a dog") is None
    with pytest.raises(KinoraError) as failed:
        service.submit(GenerationRequest(prompt="a broken chair"), ME)
    assert failed.value.code is ErrorCode.UNAVAILABLE
    assert len(service.list(ME)) == 1


@pytest.mark.parametrize("path", ["nowhere:Rules", f"{__name__}:Missing", f"{__name__}:Path"])
def test_a_filter_that_is_none_is_refused_at_the_start(build: Build, path: str) -> None:
    with pytest.raises(KinoraError, match="KINORA_CONTENT_FILTER"):
        build(content_filter=path)


@pytest.mark.parametrize(
    ("name", "value", "is_good"),
    [
        ("CONTACT", "help@example.org", True),
        ("CONTACT", "mailto:help@example.org", True),
        ("CONTACT", "https://example.org/contact", True),
        ("CONTACT", "javascript:alert(1)", False),
        ("CONTACT", "a@b.org?subject=x", False),
        ("TERMS_URL", "https://example.org/terms?lang=en#top", True),
        ("TERMS_URL", "javascript:alert(1)", False),
        ("TERMS_URL", "https://user:secret@example.org", False),
        ("KINORA_CONTENT_FILTER", "house.rules:Filter", True),
        ("KINORA_CONTENT_FILTER", "house rules", False),
    ],
)
def test_the_settings_are_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, is_good: bool
) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setenv(name, value)
    if is_good:
        assert Settings.load()
    else:
        with pytest.raises(KinoraError, match=name):
            Settings.load()
