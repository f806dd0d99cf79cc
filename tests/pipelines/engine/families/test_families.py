"""Every family, every task: one table of checks over the tiny pipelines of `tests/zoo`.

`make models-matrix` prints it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from errors import Cancelled
from pipelines.engine.decode import decode
from pipelines.engine.denoise import SampledLatents, denoise
from pipelines.engine.preview import draw_strip
from pipelines.models.prompt_length import note_truncation
from pipelines.request import Adjustment, Task
from tests.media.reading import read
from tests.media.test_sound import hear
from tests.pipelines.engine.families.case import (
    ALL,
    Case,
    Home,
    Person,
    differences,
    distance,
    home_of,
    unpack_latents,
)

IN_HALF = ("ltx-0.9.1", "ltx-2-timestep", "wan-2.1-t2v", "skyreels-v2-t2v")
"""Few: a CPU without bfloat16 takes ten seconds for each."""


def cases() -> Iterator[Any]:
    """(specimen, task, with a last picture)"""
    from pipelines.models.rules import RULES

    for name, specimen in ALL.items():
        takes = specimen.card.get("takes", {})
        marks = [pytest.mark.slow] if specimen.slow else []
        for task in specimen.card["tasks"]:
            yield pytest.param((name, task, False), id=f"{name}-{task}", marks=marks)
            last = takes.get("last_image", RULES[specimen.card["family"]].last_image)
            if task == "i2v" and last:
                yield pytest.param((name, task, True), id=f"{name}-flf", marks=marks)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Home]:
    return {}


@pytest.fixture(scope="module", params=cases())
def case(
    request: pytest.FixtureRequest,
    homes: dict[str, Home],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Case]:
    name, task, with_last = request.param
    with ALL[name].packages():
        home = home_of(name, homes, tmp_path_factory)
        yield Case(home, Task(task), with_last, tmp_path_factory.mktemp("case"))


def test_frames_equal_a_plain_call_bit_for_bit(case: Case) -> None:
    fitted = case.fitted
    assert case.frames.shape == (fitted.num_frames, fitted.height, fitted.width, 3)
    assert case.frames.std() > 0
    assert differences(case.frames, case.plain_frames) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, id=f"{n}-t2v") for n in IN_HALF])
def test_in_half_precision_frames_equal_a_plain_call_too(
    name: str, homes: dict[str, Home], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As models run on a GPU: here every missing or needless cast shows."""
    home = home_of(name, homes, tmp_path_factory)
    half = home.settings.model_copy(update={"torch_dtype": "bfloat16", "previews": False})
    task = Task(home.specimen.card["tasks"][0])
    case = Case(Home(home.specimen, home.repo, half), task, False, tmp_path_factory.mktemp("half"))
    assert case.loaded.dtype == torch.bfloat16
    assert differences(case.frames, case.plain_frames) == 0


def test_every_step_is_counted_once(case: Case) -> None:
    assert case.sampled.steps_done == case.plain[1] > 1
    total = case.plain[1]
    assert [(s.index, s.total) for s in case.steps] == [(n, total) for n in range(1, total + 1)]


def test_previews_run_from_the_first_step_to_the_clip(case: Case) -> None:
    """The last one is what the calibrated map makes of the latents that were decoded."""
    assert case.sampled and bool(case.previews) is case.loaded.family.shows_previews
    if not case.previews:
        return
    assert [case.previews[0].index, case.previews[-1].index] == [1, case.sampled.steps_done]
    shown, preview_map = case.previews[-1], case.loaded.preview_map
    assert preview_map is not None
    seconds = case.fitted.num_frames / case.fitted.fps
    latents = unpack_latents(case)[0].float().cpu().numpy()
    of_the_clip = draw_strip(shown.index, preview_map.pictures(latents), seconds)
    assert distance(shown, of_the_clip) < 1
    assert case.previews[0].frames < shown.frames or distance(case.previews[0], of_the_clip) > 1


def test_the_clip_sounds_like_a_plain_call(case: Case) -> None:
    """To the bit before it is encoded; afterwards as long as the clip."""
    if not case.loaded.card.rules.sound or case.loaded.card.call.get("sample_audio") is False:
        pytest.skip("this model makes no sound")
    sound, plain = case.sampled.sound, torch.as_tensor(case.plain[0].audio[0]).float().numpy()
    assert sound is not None
    assert np.array_equal(sound.samples, np.atleast_2d(plain))
    result = case.run(Person(finish_at=1), "sounding")
    heard = hear(case.folder / "sounding" / result.clip)
    assert heard is not None
    assert heard.lasts_s == pytest.approx(case.fitted.duration_s, abs=0.025)
    assert np.abs(heard.samples).max() > 0


def test_cancel_is_heard_within_one_step(case: Case) -> None:
    person = Person(discard_at=1)
    with pytest.raises(Cancelled):
        case.run(person, "cancelled")
    assert case.steps_told() == [1]
    assert not (case.folder / "cancelled" / "result.json").exists()


def test_after_a_cancel_a_job_makes_what_a_fresh_process_makes(case: Case) -> None:
    with suppress(Cancelled):
        case.run(Person(discard_at=1), "before")
    result = case.run(Person(), "whole")
    assert case.steps_told() == list(range(1, case.plain[1] + 1))
    clip = read(case.folder / "whole" / result.clip)
    assert clip.frames.shape == case.plain_frames.shape
    last = np.asarray(Image.open(case.folder / "whole" / result.last_frame))
    assert differences(last, case.plain_frames[-1]) == 0


def test_short_of_memory_the_clip_is_as_long_and_as_large(case: Case) -> None:
    """Tiles and chunks, on latents large enough to be cut."""
    loaded, sampled, cells = case.loaded, case.sampled, 12
    left_out = loaded.card.family == "allegro" or case.home.specimen.first_window
    if not isinstance(sampled, SampledLatents) or left_out:
        pytest.skip("decodes by itself, only in tiles, or as the one-window specimen")
    shape = sampled.latents.shape
    side = cells * loaded.family.spatial_compression(loaded.pipe)
    fitted = case.fitted.model_copy(update={"width": side, "height": side})
    latents = torch.randn(*shape[:3], cells, cells, generator=torch.Generator().manual_seed(0))
    noise = None if sampled.noise is None else torch.zeros_like(latents)
    sampled = replace(sampled, latents=latents, noise=noise)
    whole, *others = (decode(loaded, sampled, fitted, tiles=tiles).shape for tiles in (0, 2, 4))
    assert whole == (fitted.num_frames, side, side, 3)
    assert set(others) == {whole}


def test_finish_now_gives_a_playable_clip(case: Case) -> None:
    result = case.run(Person(finish_at=1), "early")
    assert result.finished_early
    assert result.steps_done == 1
    clip = read(case.folder / "early" / result.clip)
    made = case.home.specimen.first_window or len(case.plain_frames)
    assert clip.frames.shape == (made, *case.plain_frames.shape[1:])
    assert not np.array_equal(clip.frames[-1], case.plain_frames[-1])


class AfterTheWords(Person):
    """Ends the clip with its first step: by then the words have been read."""

    def finish_now(self) -> bool:
        return True


def sampled_from(case: Case, prompt: str, told: list[Adjustment]) -> torch.Tensor:
    fitted = case.fitted.model_copy(update={"prompt": prompt})
    ending = AfterTheWords()
    sampled = denoise(
        case.loaded, fitted, case.inputs, ending, lambda _step: None, on_change=told.append
    )
    return sampled.latents if isinstance(sampled, SampledLatents) else torch.tensor(sampled.frames)


FIRST_OF_A_FAMILY = {s.card["family"]: s for s in reversed(ALL.values())}
WITHOUT_WORDS = ("svd", "kandinsky5")
"""The latter cuts by decoding, which its tiny tokenizer cannot: see test_unread."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param((s.name, s.card["tasks"][0], False), id=family)
        for family, s in FIRST_OF_A_FAMILY.items()
        if family not in WITHOUT_WORDS
    ],
    indirect=True,
)
def test_words_that_are_not_read_are_named(case: Case) -> None:
    """What is named may be anything; what is not named makes a difference."""
    card = case.loaded.card
    words = [f"{'abcdefghijklmnopqrstuvwxyz'[n % 26]}{n}" for n in range(480)]
    told: list[Adjustment] = []
    plain = sampled_from(case, " ".join(words), told)
    (change,) = {each.sentence: each for each in told if each.field == "prompt"}.values()
    read = str(change.used).split()
    assert words[: len(read)] == read
    assert 0 < len(read) < len(words)
    assert words[len(read)] in change.sentence

    first, *unread = words[len(read) :]  # the first may be read in part
    others = [*read, first, *(f"other{n}" for n, _ in enumerate(unread))]
    assert torch.equal(sampled_from(case, " ".join(others), []), plain)
    others = [*read[:-1], "z" * len(read[-1]), *words[len(read) :]]
    assert not torch.equal(sampled_from(case, " ".join(others), []), plain)

    # counted before the worker, where that can be: the same
    fitted = case.fitted.model_copy(update={"prompt": " ".join(words), "adjustments": ()})
    before = [c for c in note_truncation(fitted, card).adjustments if c.field == "prompt"]
    assert before == ([change] if card.rules.prompt_tokens else [])
