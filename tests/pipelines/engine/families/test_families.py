"""Every family, every task: one table of checks over the tiny pipelines of `tests/zoo`.

`make models-matrix` prints it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from errors import Cancelled
from jobs.event_types import StepDone, WorkerEvent
from jobs.job import Job, Result, State, new_id
from jobs.workers.run import run_job
from media.encode import encode
from media.images import store_picture
from media.videos import load_frames, store_video
from pipelines.engine.decode import decode
from pipelines.engine.denoise import Sampled, SampledLatents, Step, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded, class_name
from pipelines.engine.manager import PipelineManager
from pipelines.engine.preview import draw_strip
from pipelines.models.cards import Defaults, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.models.prompt_length import note_truncation
from pipelines.preview import Preview
from pipelines.request import Adjustment, FittedRequest, GenerationRequest, Task
from settings import Settings
from tests.media.reading import read
from tests.media.test_sound import hear
from tests.zoo import Specimen, specimens, write_card

IN_HALF = ("ltx-0.9.1", "ltx-2-timestep", "wan-2.1-t2v", "skyreels-v2-t2v")
"""Few: a CPU without bfloat16 takes ten seconds for each."""
ALL = {specimen.name: specimen for specimen in specimens()}


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


class Person:
    """Presses a button after so many steps."""

    def __init__(self, discard_at: int = 99, finish_at: int = 99) -> None:
        self.discard_at, self.finish_at, self.steps = discard_at, finish_at, 0

    def cancelled(self) -> bool:
        return self.steps >= self.discard_at

    def finish_now(self) -> bool:
        return self.steps >= self.finish_at


@dataclass
class Home:
    """One specimen on the disk, and a manager that has it."""

    specimen: Specimen
    repo: Path
    settings: Settings

    @cached_property
    def manager(self) -> PipelineManager:
        return PipelineManager(load_cards(self.settings.models_dir), self.settings)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Home]:
    return {}


def home_of(name: str, homes: dict[str, Home], factory: pytest.TempPathFactory) -> Home:
    if name not in homes:
        folder = factory.mktemp(name)
        torch.manual_seed(0)
        ALL[name].build(folder / "repo")
        write_card(ALL[name], folder / "cards", folder / "repo")
        settings = Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue]
            data_dir=folder / "data",
            models_dir=folder / "cards",
            torch_dtype="float32",
        )
        homes[name] = Home(ALL[name], folder / "repo", settings)
    return homes[name]


@dataclass
class Case:
    """One specimen at one task: what it made, each thing made once and only if asked for."""

    home: Home
    task: Task
    with_last: bool
    folder: Path
    steps: list[Step] = field(default_factory=list)
    previews: list[Preview] = field(default_factory=list)
    events: list[WorkerEvent] = field(default_factory=list)

    @cached_property
    def loaded(self) -> Loaded:
        return self.home.manager.get(self.home.specimen.name, self.task)

    @cached_property
    def fitted(self) -> FittedRequest:
        card = self.loaded.card
        size = card.defaults.width, card.defaults.height
        asked: dict[str, Any] = {"prompt": "a dog in the snow", "seed": 3}
        if card.rules.negative_prompt:
            asked["negative_prompt"] = "dull"
        if self.task is Task.IMAGE_TO_VIDEO:
            asked["image"] = store_picture(picture(*size), self.pictures).id
        if self.with_last:
            asked["last_image"] = store_picture(picture(*size, 1), self.pictures).id
        if self.task is Task.VIDEO_TO_VIDEO:
            asked["video"] = self.given_clip(card.defaults)
        return fit(GenerationRequest.model_validate(asked), card, Limits())

    @cached_property
    def inputs(self) -> Inputs:
        fitted = self.fitted
        size = fitted.width, fitted.height
        video: tuple[Image.Image, ...] = ()
        if fitted.video:
            video = load_frames(
                fitted.video,
                self.pictures,
                fps=fitted.fps,
                num_frames=fitted.num_frames,
                width=fitted.width,
                height=fitted.height,
            )
        return Inputs(
            image=picture(*size) if self.task is Task.IMAGE_TO_VIDEO else None,
            last_image=picture(*size, 1) if self.with_last else None,
            video=video,
        )

    def given_clip(self, shape: Defaults) -> str:
        """A clip of the card's own shape, given as a person gives one."""
        frames = [picture(shape.width, shape.height, n / 8) for n in range(shape.num_frames)]
        self.pictures.mkdir(parents=True, exist_ok=True)
        encoded = encode(
            np.stack([np.asarray(frame) for frame in frames]),
            self.folder / "given.mp4",
            fps=shape.fps,
            format="mp4",
            quality="high",
        )
        return store_video(encoded.path, self.pictures).id

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @cached_property
    def sampled(self) -> Sampled:
        def on_step(step: Step) -> None:
            self.steps.append(step)
            if step.index == 2 and self.loaded.family.shows_previews:
                # steps this quick would overtake the drawing of the first preview
                drawn = time.monotonic() + 10
                while not self.previews and time.monotonic() < drawn:
                    time.sleep(0.001)

        on_preview = self.previews.append
        return denoise(self.loaded, self.fitted, self.inputs, Person(), on_step, on_preview)

    @cached_property
    def frames(self) -> np.ndarray:
        return decode(self.loaded, self.sampled, self.fitted)

    @cached_property
    def plain(self) -> tuple[Any, int]:
        """What diffusers alone returns from the same files, and how many steps it took."""
        specimen, steps = self.home.specimen, []
        name = class_name(self.loaded.card, self.loaded.family, self.task)
        dtype: Any = self.loaded.dtype
        if dtype != torch.float32 and self.loaded.family.float32:
            kept = dict.fromkeys(self.loaded.family.float32, torch.float32)
            dtype = {"default": dtype} | kept
        pipe = specimen.load(getattr(diffusers, name), self.home.repo, dtype)
        pipe.set_progress_bar_config(disable=True)
        arguments = specimen.plain(pipe, self.fitted, self.inputs)  # may choose a scheduler
        count_steps(pipe.scheduler, steps)
        output = pipe(
            **arguments,
            generator=torch.Generator().manual_seed(self.fitted.seed),
            output_type="np",
        )
        return output, specimen.steps or len(steps)

    @cached_property
    def plain_frames(self) -> np.ndarray:
        frames = (np.asarray(self.plain[0].frames[0]) * 255).round().astype(np.uint8)
        return frames[self.home.specimen.given if self.task is Task.VIDEO_TO_VIDEO else 0 :]

    def run(self, person: Person, name: str) -> Result:
        """The way of a job."""

        def emit(event: WorkerEvent) -> None:
            self.events.append(event)
            person.steps += isinstance(event, StepDone)

        self.events.clear()
        job = Job(
            id=new_id(),
            owner="visitor",
            state=State.RUNNING,
            request=self.fitted.as_request(),
            fitted=self.fitted,
            created_at=0.0,
        )
        folder, settings = self.folder / name, self.home.settings
        return run_job(job, self.home.manager, emit, person, folder, self.pictures, settings)

    def steps_told(self) -> list[int]:
        return [each.index for each in self.events if isinstance(each, StepDone)]


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


def count_steps(scheduler: Any, steps: list[int]) -> None:
    """Its own alone: LTX-2 steps a copy of it for the sound."""
    kind = type(scheduler)

    class Counted(kind):
        @wraps(kind.step)  # pipelines read its signature: does it take a generator?
        def step(self, *args: Any, **kwargs: Any) -> Any:
            if self is scheduler:
                steps.append(1)
            return super().step(*args, **kwargs)

    scheduler.__class__ = Counted


def picture(width: int, height: int, phase: float = 0.0) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red, green = 255 * x / width, 255 * y / height
    blue = 255 * (0.5 + 0.5 * np.sin(x / 5 + 3 * phase))
    return Image.fromarray(np.stack([red, green, blue], -1).round().astype(np.uint8))


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


def differences(a: np.ndarray, b: np.ndarray) -> int:
    return int((a != b).sum())


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


def unpack_latents(case: Case) -> torch.Tensor:
    """Those that were decoded; of a pipeline that decodes by itself, what it returns undecoded."""
    if isinstance(case.sampled, SampledLatents):
        return case.sampled.latents
    pipe, family = case.loaded.pipe, case.loaded.family
    output = pipe(
        **family.call_arguments(case.loaded.card, case.fitted, case.inputs),
        generator=torch.Generator().manual_seed(case.fitted.seed),
        output_type="latent",
    )
    return family.unpack_x0(pipe, output.frames, case.fitted, {})


def distance(one: Preview, other: Preview) -> float:
    """Mean difference of two strips, of 255."""
    a, b = (np.asarray(Image.open(io.BytesIO(p.jpeg))).astype(float) for p in (one, other))
    return float(np.abs(a - b).mean())


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
