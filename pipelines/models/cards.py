"""Model cards: YAML files that describe what a model can do (`presets/models/*.yaml`)."""

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

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where PyYAML comes with libyaml. A hundred cards are read at every start."""


REQUEST_ARGUMENTS = {
    "prompt", "negative_prompt", "width", "height", "num_frames", "num_inference_steps",
    "guidance_scale", "image", "video", "strength", "generator",
}  # fmt: skip
"""Arguments of a pipeline's call that come from the request, so a card's `call` must not set
them."""


class CardSection(BaseModel):
    """Base of a card's sections: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Defaults(CardSection):
    width: int
    height: int
    num_frames: int
    fps: int
    num_inference_steps: int
    guidance_scale: float
    negative_prompt: str = ""
    strength: float | None = Field(default=None, gt=0, le=1)
    motion_bucket_id: int | None = Field(default=None, ge=1, le=255)


class CardLimits(CardSection):
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


class NamedSize(CardSection):
    """A size that the model was trained for, with a label such as 16:9."""

    label: str
    width: int
    height: int


class Needs(CardSection):
    """`vram_gb`: GPU memory without offload; None for models that also run on a CPU."""

    vram_gb: float | None = None
    ram_gb: float
    disk_gb: float
    billions: dict[str, float] = {}
    """Parameters of each component, by its name in `model_index.json`; plans are made from them."""


class DraftRules(CardSection):
    """What a draft of a clip is; what is left out is decided in `pipelines/models/drafts.py`."""

    steps: int | None = Field(default=None, ge=1)
    scale: float | None = Field(default=None, gt=0, le=1)
    """Of width and height. At 1 a draft shows the composition of the full clip."""


class Example(CardSection):
    prompt: str
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    image: str | None = None
    """A file name in `presets/examples`, for image-to-video."""


class ModelCard(CardSection):
    id: str = Field(pattern=r"^([a-z0-9][a-z0-9._-]*|[A-Za-z0-9][\w.-]*/[\w.-]+(@[0-9a-f]{40})?)$")
    """Lower case; for a pasted model the Hub id it was pasted as."""
    name: str
    family: str
    repo: str
    """A Hub id, or a folder: relative to the repository root or to the card, or absolute."""
    revision: str | None = None
    variant: str | None = None
    dtype: str | None = None
    """float32, bfloat16 or float16 if the model works in no other; else the plan chooses."""
    tasks: tuple[Task, ...] = Field(min_length=1)
    license: str
    about: str
    knows: dict[str, tuple[str, ...]] = {}
    defaults: Defaults
    limits: CardLimits
    shapes: tuple[NamedSize, ...] = ()
    drafts: DraftRules = DraftRules()
    needs: Needs
    frames: Steps | None = None
    size: Steps | None = None
    takes: dict[
        Literal["prompt", "negative_prompt", "guidance", "last_image", "lead", "strength", "steps"],
        bool,
    ] = {}
    """Inputs where this checkpoint differs from its family: a distilled one takes no guidance."""
    classes: dict[Task, str] = {}
    """The diffusers pipeline class of a task, where it differs from the family's."""
    scheduler: dict[str, float | int | bool | str] = {}
    """The scheduler's `class` and settings, where they differ from the repository's."""
    parts: dict[str, str] = {}
    """Components with a repository of their own, such as AnimateDiff's motion adapter:
    `owner/name[/folder][@revision]`, or a folder."""
    latent_upsampler: str | None = None
    """Written like a part, but downloaded only for the first upscaled clip."""
    call: dict[str, float | int | bool | str] = {}
    """Further arguments of the pipeline's call, such as decode_timestep."""
    gated: bool = False
    """Its terms must be accepted on the Hub, and a token set."""
    usual: bool = False
    """The default model where the settings name none."""
    fallback: str | None = None
    """Id of the card to use if this model cannot be loaded."""
    examples: tuple[Example, ...] = ()
    shows_styles: bool = True
    """False for a model that knows too few words for a style to change its pictures."""
    folder: Path | None = Field(default=None, exclude=True)
    """Where the card was read from; set by `load_cards`."""

    @property
    def rules(self) -> Rules:
        """The family's rules, changed by what the card overrides."""
        own = {k: v for k, v in (("frames", self.frames), ("size", self.size)) if v is not None}
        upscale = self.latent_upsampler is not None
        return RULES[self.family].model_copy(update=own | dict(self.takes) | {"upscale": upscale})

    @property
    def can_show_styles(self) -> bool:
        """Whether thumbnails of the styles can be made with it."""
        return self.shows_styles and self.rules.prompt and Task.TEXT_TO_VIDEO in self.tasks

    @property
    def local_path(self) -> Path | None:
        """The folder with the weights, if the card names a folder that exists."""
        bases = [ROOT] + ([self.folder] if self.folder else [])
        for base in bases:
            path = (base / self.repo).resolve()
            if (path / "model_index.json").is_file():
                return path
        return None

    @property
    def is_local(self) -> bool:
        """Whether `repo` can only mean a folder, existing or not."""
        return self.repo.startswith((".", "/", "presets/")) or self.local_path is not None

    @model_validator(mode="after")
    def _is_consistent(self) -> ModelCard:
        if self.family not in RULES:
            raise ValueError(f"family {self.family!r} is not one of {sorted(RULES)}")
        if self.latent_upsampler and not RULES[self.family].upscale:
            raise ValueError(f"family {self.family!r} has no use for a latent_upsampler")
        typed = sorted(set(self.call) & REQUEST_ARGUMENTS)
        if typed:
            raise ValueError(
                f"call: {typed[0]} comes from the request; use defaults, limits or takes"
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


def find_by_repository(repo: str, cards: Iterable[ModelCard]) -> ModelCard | None:
    """The card for a repository; of several, the one that replaces the fewest of its components,
    does the most tasks, and otherwise differs least from its family."""

    def differences(card: ModelCard) -> tuple[int, ...]:
        return len(card.parts), -len(card.tasks), len(card.classes), len(card.takes)

    return min((card for card in cards if card.repo == repo), key=differences, default=None)


def load_cards(folder: Path) -> dict[str, ModelCard]:
    """Every card in a folder, by id, in the order of the file names.

    Raises KinoraError(INVALID_INPUT) for an invalid card, a repeated id and an empty folder."""
    cards: dict[str, ModelCard] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            data: Any = yaml.load(path.read_text(encoding="utf-8"), _LOADER)  # noqa: S506  # it is safe
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
