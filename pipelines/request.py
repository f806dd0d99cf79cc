"""The request: the one schema behind every interface, and the declaration of each of its fields.

Names, types and the outermost bounds are here; `fit` applies the rules of a model's card.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from pipelines.field_types import (
    MAX_PROMPT,
    MAX_SEED,
    RANDOM_SEED,
    FileName,
    Text,
    Word,
    integer_as_typed,
    number_as_typed,
)
from pipelines.request_fields import Group, Kind, Refusal, RequestField, Task, declared_fields
from pipelines.windows import ClipWindow, ClipWindows

__all__ = [
    "DEFAULT_STRENGTH",
    "MAX_SEED",
    "REQUEST_FIELDS",
    "Adjustment",
    "FittedRequest",
    "Focus",
    "Format",
    "GenerationRequest",
    "Lora",
    "LoraSource",
    "PromptOrigin",
    "Quality",
    "Task",
]

ImageId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
VideoId = ImageId
LoraSource = FileName
Format = Literal["mp4", "webm", "gif"]
Quality = Literal["low", "medium", "high"]
DEFAULT_STRENGTH = 0.8


class Focus(BaseModel):
    """Where the crop sits when the picture's shape is not the clip's: 0 left or top, 1 right."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    x: float = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)
    y: float = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)

    _numbers = field_validator("x", "y", mode="before")(number_as_typed)


class Lora(BaseModel):
    """An adapter: a Hub id (`owner/name`, or `owner/name/file.safetensors`) or a file in the LoRA
    folder; and how strongly it is applied."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: Annotated[
        LoraSource,
        Refusal(
            "“{value}” cannot be the name of a LoRA. Name a file of the LoRA folder, or an id such "
            "as owner/name."
        ),
    ]
    weight: Annotated[float, Refusal("The weight of a LoRA must be a number between -4 and 4.")] = (
        Field(default=1.0, ge=-4, le=4, allow_inf_nan=False)
    )

    _numbers = field_validator("weight", mode="before")(number_as_typed)


class GenerationRequest(BaseModel):
    """One clip, as asked for. `None` means: what the model's card says, or for the seed: pick one,
    as does a seed of -1. Texts are kept as they were typed, spaces and line breaks included.

    `image`, `last_image`, `video` and `continue_from` are the SHA-256 of a picture or clip stored
    through `media`; never a path or a URL.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Annotated[Text, RequestField(
        "Prompt", "What should happen in the clip.", Group.PROMPT, rule="prompt",
        required_for=(Task.TEXT_TO_VIDEO, Task.VIDEO_TO_VIDEO), option="prompt", in_make_clip=True,
        kept_by_fallback=True,
    )] = Field(default="", max_length=MAX_PROMPT)  # fmt: skip
    negative_prompt: Annotated[Text | None, RequestField(
        "Negative prompt", "What should not appear in the clip.", Group.PROMPT,
        unset="the model's own", rule="negative_prompt", empty_is_a_value=True,
        option="--negative", option_before="seed", in_make_clip=True, kept_by_edits=True,
        kept_by_fallback=True,
    )] = Field(default=None, max_length=MAX_PROMPT)  # fmt: skip
    style: Annotated[Word | None, RequestField(
        "Style", "A style for the prompt, such as film-noir or watercolour.",
        Group.LATER, unset="the prompt as it is", rule="prompt", in_make_clip=True,
        option_before="seed",
    )] = Field(default=None, max_length=60)  # fmt: skip
    wildcards: Annotated[bool, RequestField(
        "Wildcards", "Choose from {red|blue} and __animal__ in the prompt.", Group.LATER,
        # no underscores here: Gradio makes bold letters of them, also in backticks
        hint="Choose from `{red|blue}`, or from a list: its name between double underscores.",
        rule="prompt", in_make_clip=True, option_before="seed",
    )] = False  # fmt: skip
    wildcard_seed: Annotated[int | None, RequestField(
        "Wildcard seed", "The same wildcard seed makes the same choices.", Group.LATER,
        unset="the clip's seed", rule="prompt", in_make_clip=True,
        option_before="seed",
    )] = Field(default=None, ge=RANDOM_SEED, le=MAX_SEED)  # fmt: skip
    image: Annotated[ImageId | None, RequestField(
        "Picture", "A picture that the clip starts from.", Group.SOURCE, kind=Kind.PICTURE,
        tasks=(Task.IMAGE_TO_VIDEO,), required_for=(Task.IMAGE_TO_VIDEO,), on_page=False,
        kept_by_fallback=True,
    )] = None  # fmt: skip
    focus: Annotated[Focus, RequestField(
        "Focus",
        "Which part of the picture or clip is kept where it is cropped, each from 0 to 1.",
        Group.FROM_PICTURE, tasks=(Task.IMAGE_TO_VIDEO, Task.VIDEO_TO_VIDEO), on_page=False,
        option=None, is_reported=False, kept_by_fallback=True,
    )] = Focus(x=0.5, y=0.5)  # fmt: skip
    last_image: Annotated[ImageId | None, RequestField(
        "Last picture", "A picture that the clip ends on, where the model can.",
        Group.FROM_PICTURE, kind=Kind.PICTURE, tasks=(Task.IMAGE_TO_VIDEO,), rule="last_image",
        option_before="video",
    )] = None  # fmt: skip
    video: Annotated[VideoId | None, RequestField(
        "Clip", "A clip to work over.", Group.SOURCE, kind=Kind.CLIP, tasks=(Task.VIDEO_TO_VIDEO,),
        required_for=(Task.VIDEO_TO_VIDEO,), on_page=False,
    )] = None  # fmt: skip
    continue_from: Annotated[VideoId | None, RequestField(
        "Clip to continue", "A clip to continue: it comes first in the file.", Group.SOURCE,
        kind=Kind.CLIP, tasks=(), on_page=False, option=None,
    )] = None  # fmt: skip
    """The new part starts from the clip's last frame, or from `image`. `duration_s` is what is
    added; `num_frames` is what is sampled, and the first of those repeat the end of the clip."""
    strength: Annotated[float | None, RequestField(
        "Strength", "How far from the given clip: 1 leaves nothing of it.", Group.FROM_CLIP,
        tasks=(Task.VIDEO_TO_VIDEO,), rule="strength", step=0.05, usual=DEFAULT_STRENGTH,
    )] = Field(default=None, gt=0, le=1, allow_inf_nan=False)  # fmt: skip
    motion_bucket_id: Annotated[int | None, RequestField(
        "Motion", "How much should move, from 1 to 255.", Group.FROM_PICTURE,
        hint="How much should move.", tasks=(Task.IMAGE_TO_VIDEO,), rule="motion", usual=127,
        short="motion", option_before="sampler",
    )] = Field(default=None, ge=1, le=255)  # fmt: skip
    sampler: Annotated[Word | None, RequestField(
        "Sampler", "How the steps are taken; `models` lists the choices.", Group.EXTRAS,
        hint="How the steps are taken. The model's own is a safe choice.", unset="the model's own",
        choices_of="samplers", kept_by_edits=True,
    )] = Field(default=None, max_length=40)  # fmt: skip
    loras: Annotated[tuple[Lora, ...], RequestField(
        "LoRA", "A LoRA: a file's name, or owner/name. May be given several times.", Group.EXTRAS,
        rule="lora", option="--lora", metavar="NAME[:WEIGHT]", kept_by_edits=True,
    )] = Field(default=(), max_length=8)  # fmt: skip
    upscale: Annotated[bool, RequestField(
        "Twice as large", "Double the width and height with a second, small model.", Group.EXTRAS,
        rule="upscale",
    )] = False  # fmt: skip
    model: Annotated[Word | None, RequestField(
        "Model", "The model's id; `models` lists them.", Group.MODEL, unset="the default model",
        in_make_clip=True, affects_time=True,
    )] = Field(default=None, max_length=200)  # fmt: skip
    seed: Annotated[int | None, RequestField(
        "Seed", "The same seed and settings give the same clip; -1 is a new seed each time.",
        Group.MODEL, unset="a new seed each time", in_make_clip=True,
        refusal=Refusal(
            f"The seed is a whole number from 0 to {MAX_SEED}, or empty for a new one each time.",
            {"label": "Use a random seed", "set": {"seed": None}},
        ),
    )] = Field(default=None, ge=RANDOM_SEED, le=MAX_SEED)  # fmt: skip
    num_inference_steps: Annotated[int | None, RequestField(
        "Steps", "Sampling steps: more are finer and slower.", Group.SAMPLING,
        hint="More steps: finer and slower.", unset="the model's own", rule="steps", limits="steps",
        operator_setting="video_inference_steps", short="steps", in_make_clip=True,
        affects_time=True, kept_by_edits=True,
    )] = Field(default=None, ge=1, le=200)  # fmt: skip
    guidance_scale: Annotated[float | None, RequestField(
        "Guidance", "How closely to follow the prompt. Too high looks harsh.", Group.SAMPLING,
        unset="the model's own", rule="guidance", limits="guidance", step=0.1, short="guidance",
        in_make_clip=True, kept_by_edits=True,
    )] = Field(default=None, ge=0, le=30, allow_inf_nan=False)  # fmt: skip
    width: Annotated[int | None, RequestField(
        "Width", "The clip's width.", Group.SIZE, unit="pixels", unset="the model's own",
        on_page=False, in_make_clip=True, affects_time=True,
    )] = Field(default=None, ge=16, le=8192)  # fmt: skip
    height: Annotated[int | None, RequestField(
        "Height", "The clip's height.", Group.SIZE, unit="pixels", unset="the model's own",
        on_page=False, in_make_clip=True, affects_time=True,
    )] = Field(default=None, ge=16, le=8192)  # fmt: skip
    num_frames: Annotated[int | None, RequestField(
        "Frames", "How many frames to make; or give the duration.", Group.LENGTH,
        operator_setting="video_frames", short="frames", affects_time=True,
    )] = Field(default=None, ge=1, le=10_000)  # fmt: skip
    duration_s: Annotated[float | None, RequestField(
        "Duration", "The clip's length.", Group.LENGTH, unit="seconds", unset="the model's own",
        on_page=False, option="--duration", in_make_clip=True, affects_time=True,
    )] = Field(default=None, gt=0, le=600, allow_inf_nan=False)  # fmt: skip
    fps: Annotated[int | None, RequestField(
        "Frames per second", "Frames per second: more play the same frames faster.", Group.LENGTH,
        hint="Higher plays the same frames faster.", limits="fps",
        operator_setting="video_frame_rate", affects_time=True,
    )] = Field(default=None, ge=1, le=120)  # fmt: skip
    format: Annotated[Format, RequestField(
        "Format", "mp4, webm or gif.", Group.FILE, hint="MP4 plays everywhere.",
        choice_labels=("MP4", "WebM", "GIF"), kept_by_edits=True, kept_by_fallback=True,
    )] = "mp4"  # fmt: skip
    quality: Annotated[Quality, RequestField(
        "File quality", "low, medium or high; higher makes a larger file.", Group.FILE,
        hint="Higher makes a larger file.", operator_setting="video_quality_preset",
        kept_by_edits=True, kept_by_fallback=True,
    )] = "medium"  # fmt: skip
    allow_fallback: Annotated[bool, RequestField(
        "Fallback", "Use another model where this one cannot be had.", Group.FALLBACK,
        on_page=False, option="--fallback", is_reported=False, kept_by_edits=True,
        kept_by_fallback=True,
    )] = True  # fmt: skip

    @field_validator("*", mode="before")
    @classmethod
    def _as_typed(cls, value: Any, info: ValidationInfo) -> Any:
        match REQUEST_FIELDS[info.field_name or ""].kind:
            case Kind.INTEGER:
                return integer_as_typed(value)
            case Kind.NUMBER:
                return number_as_typed(value)
            case _:
                return value

    @field_validator("seed", "wildcard_seed", mode="after")
    @classmethod
    def _random_is_none(cls, seed: int | None) -> int | None:
        return None if seed == RANDOM_SEED else seed

    @property
    def task(self) -> Task:
        if self.video:
            return Task.VIDEO_TO_VIDEO
        starts = self.image or self.continue_from
        return Task.IMAGE_TO_VIDEO if starts else Task.TEXT_TO_VIDEO


REQUEST_FIELDS = declared_fields(GenerationRequest)
"""By name, in the order of the request."""


class Adjustment(BaseModel):
    """One change `fit` made, and why, as a sentence for people."""

    model_config = ConfigDict(frozen=True)
    field: str
    asked: float | str | None
    used: float | str
    sentence: str


class PromptOrigin(BaseModel):
    """What a prompt was before its wildcards were chosen and its style was applied."""

    model_config = ConfigDict(frozen=True)
    prompt: str
    negative_prompt: str | None = None
    style: str | None = None
    wildcard_seed: int | None = None
    """Set where wildcards were chosen: with it, the same ones are chosen again."""


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
    """How many frames of the continued clip come first, at this clip's frame rate."""
    overlap: int = 0
    """How many of the sampled frames repeat that clip's end and are left out of the file."""
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
    prompt_origin: PromptOrigin | None = None
    """Set where `prompt` is not as it was given."""
    windows: ClipWindows | None = Field(default=None, exclude_if=lambda windows: windows is None)
    """Set where the model does not make the clip at once: `num_frames` is then the whole clip.
    Others are written as they were before there were windows."""
    adjustments: tuple[Adjustment, ...] = ()

    @property
    def parts(self) -> int:
        """How many windows it is made in."""
        return self.windows.count if self.windows else 1

    def divide(self) -> tuple[ClipWindow, ...]:
        """The windows; none of a clip that is made at once."""
        return self.windows.divide(self.num_frames) if self.windows else ()

    @property
    def sampled_frames(self) -> int:
        """The most frames that are sampled at once."""
        return self.windows.longest if self.windows else self.num_frames

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
        """The request that gives exactly this clip again: its prompt is the final one."""
        return GenerationRequest(
            **{
                name: getattr(self, name)
                for name in GenerationRequest.model_fields
                if name in type(self).model_fields
            }
        )
