"""A clip's settings on a fresh service: the same clip again, and a sentence for each difference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from PIL import Image

from app import executor_for
from errors import KinoraError
from jobs.restored_settings import RestoredSettings, restore
from jobs.service import JobService
from jobs.store import JobStore
from media.metadata import settings_json
from media.written_settings import WrittenSettings, find_settings
from pipelines.models.cards import ModelCard, load_cards
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import ROOT, Settings
from tests.finished import add_finished_clip
from tests.media.reading import read
from web.restore_tools import RestoreTools

ME, OTHER = "visitor:me", "visitor:other"
CARDS = load_cards(ROOT / "presets" / "models")


def service_of(folder: Path, cards: dict[str, ModelCard]) -> JobService:
    here = Settings(_env_file=None, data_dir=folder)  # pyright: ignore[reportCallIssue]
    return JobService(JobStore(here.database_url), executor_for(here), cards, here)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobService]:
    """With all cards that Kinora comes with; its worker never starts."""
    service = service_of(tmp_path_factory.mktemp("fresh") / "data", CARDS)
    yield service
    service.close()


@pytest.fixture(scope="module")
def picture(fresh: JobService, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("picture") / "a.png"
    Image.new("RGB", (320, 200), "#d06040").save(path)
    return fresh.store_picture(path.read_bytes(), ME).id


@pytest.fixture(scope="module")
def clip(fresh: JobService) -> str:
    return fresh.store_finished_clip(add_finished_clip(fresh, ME).id, ME).id


def restored(service: JobService, written: str, owner: str = ME) -> RestoredSettings:
    found = find_settings({"comment": written})
    assert found is not None
    return restore(found, service, owner)


def again(service: JobService, found: RestoredSettings) -> FittedRequest:
    return service.fit(GenerationRequest.model_validate(found.settings), ME)


def without_adjustments(fitted: FittedRequest) -> dict[str, Any]:
    return fitted.model_dump(exclude={"adjustments", "prompt_origin"})


EVERY_TASK = [(card.id, task) for card in CARDS.values() for task in card.tasks]


@pytest.mark.parametrize(
    ("model", "task"), EVERY_TASK, ids=[f"{m}-{t.value}" for m, t in EVERY_TASK]
)
def test_the_same_clip_is_made_of_what_was_written(
    fresh: JobService, picture: str, clip: str, model: str, task: Task
) -> None:
    """For every model and task: what the worker gets is equal, to the last field."""
    values: dict[str, Any] = {"prompt": "a {red|blue} dog", "model": model, "seed": 11}
    if not CARDS[model].rules.prompt:
        del values["prompt"]
    values |= {Task.IMAGE_TO_VIDEO: {"image": picture, "focus": {"x": 0.2, "y": 0.9}},
               Task.VIDEO_TO_VIDEO: {"video": clip}}.get(task, {})  # fmt: skip
    made = fresh.fit(GenerationRequest.model_validate(values), ME)
    found = restored(fresh, settings_json(made, revision=CARDS[model].revision))
    assert (found.found, found.task, found.settings["model"]) == ("kinora", task, model)
    assert without_adjustments(again(fresh, found)) == without_adjustments(made)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_whatever_was_set_comes_back(fresh: JobService, data: st.DataObject) -> None:
    card = data.draw(st.sampled_from([c for c in CARDS.values() if Task.TEXT_TO_VIDEO in c.tasks]))
    letters = st.characters(exclude_categories=["Cc", "Cs"])
    text = st.text(letters, min_size=1, max_size=60).filter(str.strip)
    values: dict[str, Any] = {
        "prompt": data.draw(text),
        "seed": data.draw(st.integers(0, 2**32 - 1)),
        "model": card.id,
        "format": data.draw(st.sampled_from(["mp4", "webm"])),
        "quality": data.draw(st.sampled_from(["low", "medium", "high"])),
        "num_inference_steps": data.draw(st.none() | st.integers(1, 60)),
        "guidance_scale": data.draw(st.none() | st.floats(1, 9)),
    }
    if card.rules.negative_prompt:
        values["negative_prompt"] = data.draw(st.none() | text)
    values = {name: value for name, value in values.items() if value is not None}
    try:
        made = fresh.fit(GenerationRequest.model_validate(values), ME)
    except KinoraError:  # beyond a limit of this model
        reject()
    found = restored(fresh, settings_json(made))
    assert without_adjustments(again(fresh, found)) == without_adjustments(made)


def test_a_picture_is_found_by_its_owner_only(fresh: JobService, picture: str) -> None:
    request = GenerationRequest(prompt="a dog", image=picture, model="pocket", seed=1)
    written = settings_json(fresh.fit(request, ME))
    assert restored(fresh, written).settings["image"] == picture
    missing = restored(fresh, written, OTHER)
    assert "image" not in missing.settings
    assert missing.task is Task.IMAGE_TO_VIDEO
    assert any("choose it again" in note for note in missing.notes)


def test_each_difference_is_a_sentence(fresh: JobService) -> None:
    card = CARDS["pocket"]
    made = fresh.fit(GenerationRequest(prompt="a dog", model="pocket", seed=1), ME)
    plain = json.loads(settings_json(made))

    def notes(**changes: Any) -> list[str]:
        more = changes.pop("more", {})
        written = {**plain, **more, "settings": {**plain["settings"], **changes}}
        return restored(fresh, json.dumps(written)).notes

    assert notes() == []
    assert "not installed here" in notes(model="owner/some-model")[0]
    too_many = card.limits.max_frames * 4 + 1
    assert notes(num_frames=too_many), "a lower limit"
    assert notes(num_inference_steps=card.limits.max_steps + 1), "a lower limit"
    assert notes(guidance_scale="high") == ["Guidance could not be read."]
    assert notes(more={"schema": 99})[0].startswith("It was made by a newer version")
    steps = plain["settings"]["num_inference_steps"]
    assert notes(more={"steps_done": steps}) == []
    assert "finished early" in notes(more={"steps_done": steps - 1})[0]
    unknown = restored(fresh, json.dumps({**plain, "settings": {"prompt": "a dog", "secret": 1}}))
    assert unknown.settings == {"prompt": "a dog"}


def test_another_revision_is_said(tmp_path: Path) -> None:
    card = CARDS["ltx-video"].model_copy(update={"revision": "a" * 40})
    service = service_of(tmp_path / "data", {card.id: card})
    try:
        made = service.fit(GenerationRequest(prompt="a dog", model=card.id, seed=1), ME)
        same, other = (
            restored(service, settings_json(made, revision=letter * 40)).notes for letter in "ab"
        )
        assert (same, len(other)) == ([], 1)
        assert "another revision" in other[0]
    finally:
        service.close()


def test_another_programs_clip_says_so_and_keeps_what_has_a_meaning(fresh: JobService) -> None:
    values = {"prompt": "a fox", "seed": 2**63, "num_inference_steps": 30, "width": 128}
    found = restore(WrittenSettings("comfyui", values), fresh, ME)
    assert found.settings == {"prompt": "a fox", "num_inference_steps": 30, "width": 128}
    assert found.notes[:2] == [
        "Made with ComfyUI: only what has a meaning here was read.",
        "Seed could not be read.",
    ]
    assert found.task is None
    named = restore(WrittenSettings("wan2gp", {"prompt": "a"}, model="t2v<b>" * 40), fresh, ME)
    assert "is not installed here" in named.notes[1]
    assert len(named.notes[1]) < 250


HOSTILE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50) | st.lists(
    st.integers()
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FittedRequest.model_fields)), HOSTILE))
def test_hostile_values_are_left_out_and_raise_nothing(
    fresh: JobService, values: dict[str, Any]
) -> None:
    written = json.dumps({"made_by": "Kinora", "settings": values})
    found = restored(fresh, written, OTHER)
    GenerationRequest.model_validate(found.settings)
    assert all(len(note) < 700 for note in found.notes)


def test_a_link_brings_the_settings_that_its_maker_shows(fresh: JobService) -> None:
    job = add_finished_clip(fresh, ME, prompt="a secret dog", seed=77, model="pocket")
    tools = RestoreTools(fresh)
    share = fresh.shares.put(job.id, ME, {"hide_prompt": True})
    found = tools.read_link(f"https://example.org/x/c/{share.id}?a=b", OTHER)
    assert found.settings["seed"] == 77 and "prompt" not in found.settings
    assert "does not show the prompt" in found.notes[0]
    own = tools.read_link(f"/kinora/jobs/{job.id}/clip?until=1", ME)
    assert without_adjustments(again(fresh, own)) == without_adjustments(job.fitted)


@pytest.mark.slow
def test_the_same_frames_come_out_for_another_visitor(tmp_path: Path, service: JobService) -> None:
    """With a real worker: the file that one visitor made is read for another one."""
    drawn = tmp_path / "a.png"
    Image.new("RGB", (80, 60), "#3060d0").save(drawn)
    tools = RestoreTools(service)
    for form, has_picture in (("mp4", False), ("webm", True)):
        values: dict[str, Any] = {"prompt": "a dog", "seed": 5, "format": form}
        if has_picture:
            values["image"] = service.store_picture(drawn.read_bytes(), ME).id
            service.store_picture(drawn.read_bytes(), OTHER)
        first = service.submit(GenerationRequest.model_validate(values), ME)
        assert [e.kind for e in service.watch(first.id)][-1] == "succeeded"
        found = tools.read_file(service.clip_path(first.id), OTHER)
        assert (found.found, found.notes) == ("kinora", [])
        second = service.submit(GenerationRequest.model_validate(found.settings), OTHER)
        assert [e.kind for e in service.watch(second.id)][-1] == "succeeded"
        one, other = (read(service.clip_path(job.id)) for job in (first, second))
        assert np.array_equal(one.frames, other.frames)
