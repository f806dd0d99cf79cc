"""What a person may ask for: the one schema behind every door.

Knows names, types and the outermost bounds. Does not know any model: `fit` applies a card's rules.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from pipelines.field_types import (
    MAX_PROMPT,
    MAX_SEED,
    RANDOM_SEED,
    FileName,
    Text,
    Word,
    number,
    whole,
)

__all__ = [
    "MAX_SEED",
    "Adjustment",
    "FittedRequest",
    "Focus",
    "Format",
    "GenerationRequest",
    "Lora",
    "LoraSource",
    "Quality",
    "Task",
]

ImageId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
VideoId = ImageId
LoraSource = FileName
Format = Literal["mp4", "webm", "gif"]
Quality = Literal["low", "medium", "high"]


class Task(str, Enum):
    TEXT_TO_VIDEO = "t2v"
    IMAGE_TO_VIDEO = "i2v"
    VIDEO_TO_VIDEO = "v2v"


class Focus(BaseModel):
    """Where the crop sits when the picture's shape is not the clip's: 0 left or top, 1 right."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    x: float = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)
    y: float = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)

    _numbers = field_validator("x", "y", mode="before")(number)


class Lora(BaseModel):
    """An adapter: a Hub id (`owner/name`, or `owner/name/file.safetensors`) or a file in the LoRA
    folder; and how strongly it is applied."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: LoraSource
    weight: float = Field(default=1.0, ge=-4, le=4, allow_inf_nan=False)

    _numbers = field_validator("weight", mode="before")(number)


class GenerationRequest(BaseModel):
    """One clip, as asked for. `None` means: what the model's card says, or for the seed: pick one,
    as does a seed of -1. Texts are kept as they were typed, spaces and line breaks included.

    `image`, `last_image`, `video` and `continue_from` are the SHA-256 of a picture or clip stored
    through `media`; never a path or a URL.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Text = Field(default="", max_length=MAX_PROMPT)
    negative_prompt: Text | None = Field(default=None, max_length=MAX_PROMPT)
    """Empty: none at all, where `None` is the card's own."""
    image: ImageId | None = None
    focus: Focus = Focus(x=0.5, y=0.5)
    last_image: ImageId | None = None
    """The picture the clip ends on, where the model can."""
    video: VideoId | None = None
    """A clip to work over: video to video."""
    continue_from: VideoId | None = None
    """A clip to go on from: it comes first in the file, and what is made starts from its last
    frame, or from `image`. `duration_s` is what is added; `num_frames` is what is sampled, and the
    first of those repeat the end of the clip."""
    strength: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    """Video to video: how far from the given clip, 1 leaves nothing of it."""
    motion_bucket_id: int | None = Field(default=None, ge=1, le=255)
    """SVD: how much should move."""
    sampler: Word | None = Field(default=None, max_length=40)
    loras: tuple[Lora, ...] = Field(default=(), max_length=8)
    upscale: bool = False
    """Twice the width and height that are asked for, made by a second small model."""
    model: Word | None = Field(default=None, max_length=200)
    seed: int | None = Field(default=None, ge=RANDOM_SEED, le=MAX_SEED)
    """-1 is a random one, as none is."""
    num_inference_steps: int | None = Field(default=None, ge=1, le=200)
    guidance_scale: float | None = Field(default=None, ge=0, le=30, allow_inf_nan=False)
    width: int | None = Field(default=None, ge=16, le=8192)
    height: int | None = Field(default=None, ge=16, le=8192)
    num_frames: int | None = Field(default=None, ge=1, le=10_000)
    duration_s: float | None = Field(default=None, gt=0, le=600, allow_inf_nan=False)
    fps: int | None = Field(default=None, ge=1, le=120)
    format: Format = "mp4"
    quality: Quality = "medium"
    allow_fallback: bool = True
    """Whether another model may make the clip where this one cannot be had."""

    _wholes = field_validator(
        "seed", "motion_bucket_id", "num_inference_steps", "width", "height", "num_frames", "fps",
        mode="before",
    )(whole)  # fmt: skip
    _numbers = field_validator("strength", "guidance_scale", "duration_s", mode="before")(number)

    @field_validator("seed", mode="after")
    @classmethod
    def _random_is_none(cls, seed: int | None) -> int | None:
        return None if seed == RANDOM_SEED else seed

    @property
    def task(self) -> Task:
        if self.video:
            return Task.VIDEO_TO_VIDEO
        starts = self.image or self.continue_from
        return Task.IMAGE_TO_VIDEO if starts else Task.TEXT_TO_VIDEO


class Adjustment(BaseModel):
    """One change `fit` made, and why, as a sentence for people."""

    model_config = ConfigDict(frozen=True)
    field: str
    asked: float | str | None
    used: float | str
    sentence: str


class FittedRequest(BaseModel):
    """One clip, exactly as it will be made: every field is set and legal for the model's card."""

    model_config = ConfigDict(frozen=True)

    task: Task
    model: str
    prompt: str
    negative_prompt: str
    image: ImageId | None
    focus: Focus
    last_image: ImageId | None = None
    video: VideoId | None = None
    continue_from: VideoId | None = None
    lead_frames: int = 0
    """How many frames of the clip that is gone on from come first, at this clip's pace."""
    overlap: int = 0
    """How many of the sampled frames repeat that clip's end, and are left out of the file."""
    strength: float | None = None
    motion_bucket_id: int | None = None
    sampler: str | None = None
    loras: tuple[Lora, ...] = ()
    upscale: bool = False
    seed: int
    num_inference_steps: int
    guidance_scale: float
    width: int
    height: int
    num_frames: int
    fps: int
    format: Format
    quality: Quality
    allow_fallback: bool = True
    adjustments: tuple[Adjustment, ...] = ()

    @property
    def made_frames(self) -> int:
        """Frames of the file. `num_frames` is what is sampled."""
        return self.lead_frames + self.num_frames - self.overlap

    @property
    def duration_s(self) -> float:
        return self.made_frames / self.fps

    @property
    def made_size(self) -> tuple[int, int]:
        """Width and height of the file. `width` and `height` are what is sampled."""
        times = 2 if self.upscale else 1
        return self.width * times, self.height * times

    def as_request(self) -> GenerationRequest:
        """The request that gives exactly this clip again."""
        return GenerationRequest(
            **{
                name: getattr(self, name)
                for name in GenerationRequest.model_fields
                if name != "duration_s"
            }
        )
