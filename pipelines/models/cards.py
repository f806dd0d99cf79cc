"""Model cards: what a model can do, as data a person could write (`presets/models/*.yaml`).

Knows YAML and the shape of a card. Does not know how a model is loaded or run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from errors import ErrorCode, KinoraError
from pipelines.models.rules import RULES, Rules, Steps
from pipelines.request import MAX_SEED, Task

ROOT = Path(__file__).resolve().parents[2]


TYPED = {
    "prompt", "negative_prompt", "width", "height", "num_frames", "num_inference_steps",
    "guidance_scale", "image", "video", "strength", "generator",
}  # fmt: skip
"""Arguments of a pipeline's call that a card's `call` would override in silence."""


class Part(BaseModel):
    """Part of a card: unknown keys are mistakes, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Defaults(Part):
    width: int
    height: int
    num_frames: int
    fps: int
    num_inference_steps: int
    guidance_scale: float
    negative_prompt: str = ""
    strength: float | None = Field(default=None, gt=0, le=1)
    motion_bucket_id: int | None = Field(default=None, ge=1, le=255)


class CardLimits(Part):
    min_width: int = 64
    max_width: int = 1280
    min_height: int = 64
    max_height: int = 1280
    max_pixels: int | None = None
    min_frames: int = 1
    max_frames: int
    min_steps: int = 1
    max_steps: int = 100
    min_guidance: float = 1.0
    max_guidance: float = 20.0
    min_fps: int = 1
    max_fps: int = 60
    fps_choices: tuple[int, ...] = ()


class Shape(Part):
    """A named size the model is at home in, such as 16:9."""

    label: str
    width: int
    height: int


class Needs(Part):
    """`vram_gb` is what a GPU needs without offload; None: it runs on a CPU as well as anywhere."""

    vram_gb: float | None = None
    ram_gb: float
    disk_gb: float
    billions: dict[str, float] = {}
    """Parameters of each component, as `model_index.json` names them: what plans are made from."""


class Example(Part):
    prompt: str
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    image: str | None = None
    """A file name in `presets/examples`, for image-to-video."""


class ModelCard(Part):
    id: str = Field(pattern=r"^([a-z0-9][a-z0-9._-]*|[A-Za-z0-9][\w.-]*/[\w.-]+(@[0-9a-f]{40})?)$")
    """A word of small letters; for a pasted model the name it was pasted by."""
    name: str
    family: str
    repo: str
    """A Hub id, or a folder: relative to the repository root or to the card, or absolute."""
    revision: str | None = None
    variant: str | None = None
    dtype: str | None = None
    """float32, bfloat16 or float16 where the model insists; else the machine decides."""
    tasks: tuple[Task, ...] = Field(min_length=1)
    license: str
    about: str
    knows: dict[str, tuple[str, ...]] = {}
    defaults: Defaults
    limits: CardLimits
    shapes: tuple[Shape, ...] = ()
    needs: Needs
    frames: Steps | None = None
    size: Steps | None = None
    takes: dict[Literal["prompt", "negative_prompt", "guidance", "last_image", "lead"], bool] = {}
    """Where this checkpoint differs from its family: a distilled one takes no guidance."""
    classes: dict[Task, str] = {}
    """The diffusers class for a task, where this checkpoint's differs from its family's."""
    scheduler: dict[str, float | int | bool | str] = {}
    """Its `class` and settings, where they differ from what the repository has."""
    parts: dict[str, str] = {}
    """Components that come from a repository of their own, such as AnimateDiff's motion adapter."""
    latent_upsampler: str | None = None
    """Written like a part, but fetched only for the first clip that is to be enlarged."""
    call: dict[str, float | int | bool | str] = {}
    """Further arguments of the pipeline's call, such as decode_timestep."""
    gated: bool = False
    """Its terms must be accepted on the Hub, and a token set."""
    usual: bool = False
    """Used where no model is chosen, and the settings name none."""
    fallback: str | None = None
    """The card to use instead where this model cannot be had."""
    examples: tuple[Example, ...] = ()
    folder: Path | None = Field(default=None, exclude=True)
    """Where the card was read from; set by `load_cards`."""

    @property
    def rules(self) -> Rules:
        given = {k: v for k, v in (("frames", self.frames), ("size", self.size)) if v is not None}
        upscale = self.latent_upsampler is not None
        return RULES[self.family].model_copy(update=given | dict(self.takes) | {"upscale": upscale})

    @property
    def local_path(self) -> Path | None:
        """The folder with the weights, if the card names a folder that is there."""
        bases = [ROOT] + ([self.folder] if self.folder else [])
        for base in bases:
            path = (base / self.repo).resolve()
            if (path / "model_index.json").is_file():
                return path
        return None

    @property
    def is_local(self) -> bool:
        """True if `repo` can only mean a folder, be it there or not."""
        return self.repo.startswith((".", "/", "presets/")) or self.local_path is not None

    @model_validator(mode="after")
    def _is_consistent(self) -> ModelCard:
        if self.family not in RULES:
            raise ValueError(f"family {self.family!r} is not one of {sorted(RULES)}")
        if self.latent_upsampler and not RULES[self.family].upscale:
            raise ValueError(f"family {self.family!r} has no use for a latent_upsampler")
        typed = sorted(set(self.call) & TYPED)
        if typed:
            raise ValueError(
                f"call: {typed[0]} is what a person asks for; use defaults, limits or takes"
            )
        rules, d, m = self.rules, self.defaults, self.limits
        for what, width, height in [
            ("defaults", d.width, d.height),
            *((s.label, s.width, s.height) for s in self.shapes),
        ]:
            if not (rules.size.allows(width) and rules.size.allows(height)):
                raise ValueError(f"{what}: {width}x{height} is not a multiple of {rules.size.of}")
            if not (
                m.min_width <= width <= m.max_width and m.min_height <= height <= m.max_height
            ) or (m.max_pixels is not None and width * height > m.max_pixels):
                raise ValueError(f"{what}: {width}x{height} is outside the card's own limits")
        for low, value, high, what in [
            (m.min_frames, d.num_frames, m.max_frames, "num_frames"),
            (m.min_steps, d.num_inference_steps, m.max_steps, "num_inference_steps"),
            (m.min_guidance, d.guidance_scale, m.max_guidance, "guidance_scale"),
            (m.min_fps, d.fps, m.max_fps, "fps"),
        ]:
            if not low <= value <= high:
                raise ValueError(f"defaults: {what} {value} is not within {low} to {high}")
        for count in (m.min_frames, d.num_frames, m.max_frames):
            if not rules.frames.allows(count):
                raise ValueError(f"{count} frames breaks the rule {rules.frames}")
        for length in (m.min_width, m.max_width, m.min_height, m.max_height):
            if not rules.size.allows(length):
                raise ValueError(f"limit {length} is not a multiple of {rules.size.of}")
        if m.fps_choices and d.fps not in m.fps_choices:
            raise ValueError(f"defaults: fps {d.fps} is not one of {m.fps_choices}")
        return self


def of_repository(repo: str, cards: Iterable[ModelCard]) -> ModelCard | None:
    """The card for a repository as it is, rather than one that takes other parts with it."""
    return min((c for c in cards if c.repo == repo), key=lambda c: len(c.parts), default=None)


def load_cards(folder: Path) -> dict[str, ModelCard]:
    """Every card in a folder, by id, in the order of their file names."""
    cards: dict[str, ModelCard] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
            card = ModelCard.model_validate(data).model_copy(update={"folder": folder.resolve()})
        except (yaml.YAMLError, ValidationError) as error:
            raise KinoraError(
                ErrorCode.INVALID_INPUT, f"The model card {path.name} cannot be used: {error}"
            ) from error
        if card.id in cards:
            raise KinoraError(
                ErrorCode.INVALID_INPUT, f"Two model cards are called {card.id}; rename one."
            )
        cards[card.id] = card
    if not cards:
        raise KinoraError(ErrorCode.INVALID_INPUT, "There is no model card in the models folder.")
    return cards
