"""One specimen of the zoo at one task, for the tests of families: what it makes, a plain call."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

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
from pipelines.models.cards import Defaults, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.preview import Preview
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import Settings
from tests.zoo import Specimen, specimens, write_card

ALL = {specimen.name: specimen for specimen in specimens()}


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


def home_of(which: str | Specimen, homes: dict[str, Home], factory: pytest.TempPathFactory) -> Home:
    specimen = ALL[which] if isinstance(which, str) else which
    name = specimen.name
    if name not in homes:
        folder = factory.mktemp(name)
        torch.manual_seed(0)
        specimen.build(folder / "repo")
        write_card(specimen, folder / "cards", folder / "repo")
        settings = Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue]
            data_dir=folder / "data",
            models_dir=folder / "cards",
            torch_dtype="float32",
        )
        homes[name] = Home(specimen, folder / "repo", settings)
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


def differences(a: np.ndarray, b: np.ndarray) -> int:
    return int((a != b).sum())


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
