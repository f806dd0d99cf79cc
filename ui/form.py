"""The page's form as data: what its controls offer for a card, and the request that they stand for.

Built from the declaration of the request's fields. Does not know any Gradio component.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard
from pipelines.models.long_clips import can_be_long, plan_windows
from pipelines.request import REQUEST_FIELDS, GenerationRequest, Task
from pipelines.request_fields import Kind, RequestField, by_group
from pipelines.validation_errors import invalid_input
from settings import Settings

FOLLOW_PICTURE = "auto"
"""The shape of what was given: a picture, or a clip."""
LIKE_THE_CLIP = 0
"""As many frames as the given clip has."""
SECONDS_OFFERED = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60)
Choice = tuple[str, Any]

PAGE_FIELDS = {field.name: field for field in by_group(REQUEST_FIELDS.values()) if field.on_page}
"""Those with a control of their own. Width and height have one together: `shape`."""
FIRST = ("prompt", "model", "shape", "num_frames", "seed")
NAMES = (*FIRST, *(name for name in PAGE_FIELDS if name not in FIRST))


class Form:
    """The values of the controls: by the request's names, and `shape`, in the order in which Gradio
    passes them."""

    def __init__(self, *values: Any, **named: Any) -> None:
        self._values: dict[str, Any] = {name: _unset(name) for name in NAMES}
        values_by_name = dict(zip(NAMES, values)) | named  # noqa: B905  # as many as there are
        if unknown := sorted(set(values_by_name) - set(NAMES)):
            raise TypeError(f"the form has no {', '.join(unknown)}")
        self._values |= values_by_name

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and self._values == other._values

    def __repr__(self) -> str:
        return f"Form({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"

    def changed(self, **values: Any) -> Form:
        return Form(**(self._values | values))

    @classmethod
    def names(cls) -> list[str]:
        return list(NAMES)


def _unset(name: str) -> Any:
    """What stands in a control that nobody used."""
    if name == "seed":
        return ""
    if name == "shape":
        return None
    field = PAGE_FIELDS[name]
    return "" if field.choices_of else field.default


@dataclass(frozen=True)
class Offer:
    """What the controls offer for one card and task, and where they stand at first."""

    shapes: list[Choice]
    lengths: list[Choice]
    form: Form


def defaults(card: ModelCard, task: Task, settings: Settings) -> Form:
    d = card.defaults
    form = Form(**{name: _default(field, card, settings) for name, field in PAGE_FIELDS.items()})
    size = f"{settings.video_width or d.width}x{settings.video_height or d.height}"
    return form.changed(
        model=card.id,
        shape=size if task is Task.TEXT_TO_VIDEO else FOLLOW_PICTURE,
        num_frames=LIKE_THE_CLIP if task is Task.VIDEO_TO_VIDEO else form.num_frames,
    )


def _default(field: RequestField, card: ModelCard, settings: Settings) -> Any:
    """The operator's default within the card's limits, else the card's, else the field's."""
    operators = getattr(settings, field.operator_setting) if field.operator_setting else None
    if operators is not None and field.limits:
        low, high = limits_of(field, card)
        return min(max(operators, low), high)
    for value in (operators, getattr(card.defaults, field.name, None), field.usual):
        if value is not None:
            return value
    return _unset(field.name)


def limits_of(field: RequestField, card: ModelCard) -> tuple[float, float]:
    """The lowest and highest value that the card accepts, else that the request does."""
    if field.limits:
        m = card.limits
        return getattr(m, f"min_{field.limits}"), getattr(m, f"max_{field.limits}")
    return (
        -math.inf if field.low is None else field.low,
        math.inf if field.high is None else field.high,
    )


def is_offered(field: RequestField, card: ModelCard, task: Task) -> bool:
    """Whether the tab shows a control for it: the task has a use for it, and the card takes it."""
    if field.choices_of and not getattr(card.rules, field.choices_of):
        return False
    return task in field.tasks and bool(not field.rule or getattr(card.rules, field.rule))


def choices_of(field: RequestField, card: ModelCard) -> list[Choice]:
    if field.choices_of:
        names = getattr(card.rules, field.choices_of)
        return [("The model's own", ""), *((name, name) for name in names)]
    return field.labelled_choices


def offer(card: ModelCard, task: Task, settings: Settings, form: Form | None = None) -> Offer:
    """With `form`: its shape and length are among the choices even if the card lists others."""
    form = form or defaults(card, task, settings)
    fps = form.fps or card.defaults.fps
    return Offer(
        shapes=_shapes(card, task, form.shape),
        lengths=lengths(card, fps, settings.max_video_duration_s, form.num_frames, task),
        form=form,
    )


def only_supported(form: Form, card: ModelCard, task: Task) -> Form:
    """The form without what this card has no use for: its control is not seen then, but keeps its
    value for the next model."""
    left_out = {
        name: _unset(name)
        for name, field in PAGE_FIELDS.items()
        if not is_offered(field, card, task) or not _is_choice(field, getattr(form, name), card)
    }
    return form.changed(**left_out)


def _is_choice(field: RequestField, value: Any, card: ModelCard) -> bool:
    return not field.choices_of or not value or value in getattr(card.rules, field.choices_of)


def adapt_to(
    form: Form, before: ModelCard | None, card: ModelCard, task: Task, settings: Settings
) -> Form:
    """The form for another card: what the person chose is kept where it still fits, what stood at
    the old card's defaults stands at the new one's."""
    new = defaults(card, task, settings)
    old = defaults(before, task, settings) if before else new

    def kept(field: RequestField) -> Any:
        value, default = getattr(form, field.name), getattr(new, field.name)
        unset = (None, "") if field.is_number else (None,)
        if value in (*unset, getattr(old, field.name)):
            return default
        if field.is_number:
            low, high = limits_of(field, card)
            return value if low <= value <= high else default
        return value if _is_choice(field, value, card) else default

    special = ("model", "seed", "num_frames")
    values = {name: kept(field) for name, field in PAGE_FIELDS.items() if name not in special}
    if card.limits.fps_choices and values["fps"] not in card.limits.fps_choices:
        values["fps"] = new.fps
    fps = values["fps"] or card.defaults.fps
    return form.changed(
        **values,
        model=card.id,
        shape=_moved_shape(form, old, new, card, task),
        num_frames=_moved_frames(form, old, new, card, fps, settings),
    )


def _moved_shape(form: Form, old: Form, new: Form, card: ModelCard, task: Task) -> str | None:
    """The same size if the card offers it, else its size of the most similar shape."""
    offered = [value for _, value in _shapes(card, task, None)]
    if form.shape in (None, old.shape):
        return new.shape
    if form.shape in offered:
        return form.shape
    sizes = [value for value in offered if value != FOLLOW_PICTURE]
    aspect = _aspect(form.shape)
    return min(sizes, key=lambda size: abs(math.log(_aspect(size) / aspect)), default=new.shape)


def _aspect(shape: str | None) -> float:
    width, height = _size(shape)
    return (width or 1) / (height or 1)


def _moved_frames(
    form: Form, old: Form, new: Form, card: ModelCard, fps: int, settings: Settings
) -> int | None:
    """As many seconds as were chosen, if the model makes so many."""
    if not form.num_frames or form.num_frames == old.num_frames:
        return new.num_frames
    seconds = form.num_frames / (form.fps or fps)
    task = Task.VIDEO_TO_VIDEO if new.num_frames == LIKE_THE_CLIP else Task.TEXT_TO_VIDEO
    counts = [n for _, n in lengths(card, fps, settings.max_video_duration_s, task=task) if n]
    return min(counts, key=lambda n: abs(n / fps - seconds), default=new.num_frames)


def lengths(
    card: ModelCard,
    fps: int,
    longest_s: float,
    also: int | None = None,
    task: Task = Task.TEXT_TO_VIDEO,
) -> list[Choice]:
    """Frame counts the model makes, each with the seconds it lasts as its label."""
    rule, m = card.rules.frames, card.limits
    most = min(m.max_frames, int(longest_s * fps))
    counts = {rule.nearest(s * fps, m.min_frames, most) for s in SECONDS_OFFERED}
    counts |= {rule.nearest(card.defaults.num_frames, m.min_frames, most)}
    counts |= {rule.nearest(most, m.min_frames, most)}
    long = _long_counts(card, fps, longest_s, task)
    counts |= long
    if also:
        counts.add(int(also))
    by_label: dict[str, int] = {}
    for count in sorted(counts):
        label = seconds_label(count / fps)
        if count > m.max_frames and (parts := count_parts(count, card)):
            label = f"{label} · {parts} parts"
        if label not in by_label or count in (also, card.defaults.num_frames):
            by_label[label] = count
    like_it: list[Choice] = (
        [("Like the clip", LIKE_THE_CLIP)] if task is Task.VIDEO_TO_VIDEO else []
    )
    return [*like_it, *by_label.items()]


def _long_counts(card: ModelCard, fps: int, longest_s: float, task: Task) -> set[int]:
    """Lengths that the model makes in parts, up to the longest allowed."""
    if not can_be_long(card, task):
        return set()
    counts = {round(s * fps) for s in (*SECONDS_OFFERED, longest_s) if s <= longest_s}
    slack = card.rules.frames.of / 2  # nothing is gained by a second part for so little
    return {n for n in counts if n > card.limits.max_frames + slack and count_parts(n, card)}


def count_parts(num_frames: int, card: ModelCard) -> int:
    """How many windows a clip is made in; 0 if it cannot be divided."""
    defaults, limits = card.defaults, card.limits
    windows = plan_windows(num_frames, card.rules, defaults.num_frames, limits.min_frames)
    return windows.count if windows else 0


def seconds_label(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _shapes(card: ModelCard, task: Task, also: str | None) -> list[Choice]:
    d = card.defaults
    choices: list[Choice] = [
        (f"{s.label} · {s.width}×{s.height}", f"{s.width}x{s.height}") for s in card.shapes
    ]
    known = {value for _, value in choices}
    for size in (f"{d.width}x{d.height}", also):
        if size and size != FOLLOW_PICTURE and size not in known:
            choices.append((size.replace("x", "×"), size))
            known.add(size)
    if task is Task.IMAGE_TO_VIDEO:
        choices.insert(0, ("Like the picture", FOLLOW_PICTURE))
    elif task is Task.VIDEO_TO_VIDEO:
        choices.insert(0, ("Like the clip", FOLLOW_PICTURE))
    return choices


def to_request(
    form: Form, upload: Mapping[str, Any] | None = None, task: Task = Task.IMAGE_TO_VIDEO
) -> GenerationRequest:
    """The request that the controls stand for. `upload` is the stage's picture, or its clip in
    video to video: {"id", "focus": {"x", "y"}}. Raises KinoraError(INVALID_INPUT)."""
    upload = upload or {}
    width, height = _size(form.shape)
    source = "video" if task is Task.VIDEO_TO_VIDEO else "image"
    values: dict[str, Any] = {
        name: _sent(field, getattr(form, name))
        for name, field in PAGE_FIELDS.items()
        if task in field.tasks
    }
    values |= {"width": width, "height": height, source: upload.get("id")}
    values |= {"focus": upload.get("focus")}
    try:
        return GenerationRequest.model_validate(
            {name: value for name, value in values.items() if value is not None}
        )
    except ValidationError as error:
        raise invalid_input(error) from error


def _sent(field: RequestField, value: Any) -> Any:
    """A control's value as the request has it; None where it is left out."""
    if field.kind is Kind.LORAS and isinstance(value, list | tuple):
        return [row for row in value if not _is_blank_row(row)]
    if isinstance(value, str) and not value.strip() and field.is_optional:
        return value if field.empty_is_a_value else None
    if field.name == "num_frames" and value == LIKE_THE_CLIP:
        return None
    return value


def _is_blank_row(row: Any) -> bool:
    """Whether nobody filled in the name."""
    return isinstance(row, Mapping) and not str(row.get("source") or "").strip()


def from_request(
    request: GenerationRequest, card: ModelCard, settings: Settings, task: Task | None = None
) -> Form:
    """The form whose `to_request` is this request. `task` is the tab's, for a request without its
    picture or clip."""
    plain = defaults(card, task or request.task, settings)
    values: dict[str, Any] = {
        name: value for name in PAGE_FIELDS if (value := getattr(request, name)) is not None
    }
    if request.width and request.height:
        values["shape"] = f"{request.width}x{request.height}"
    return plain.changed(
        **values
        | {
            "model": card.id,
            "seed": "" if request.seed is None else str(request.seed),
            "loras": tuple(lora.model_dump() for lora in request.loras),
        }
    )


def _size(shape: str | None) -> tuple[int | None, int | None]:
    if not shape or shape == FOLLOW_PICTURE:
        return None, None
    try:
        width, height = (int(part) for part in str(shape).split("x"))
    except ValueError:
        raise KinoraError(ErrorCode.INVALID_INPUT, "Choose a shape from the list.") from None
    return width, height


def apply_repair(form: Form, changes: Mapping[str, Any]) -> Form:
    """The form after an error's repair, in the request's names ({"num_frames": 97})."""
    width, height = _size(form.shape)
    width, height = changes.get("width", width), changes.get("height", height)
    values = {name: changes[name] for name in NAMES if name in changes and name != "prompt"}
    if "width" in changes or "height" in changes:
        side = width or height
        values["shape"] = f"{width or side}x{height or side}"
    if "seed" in values:
        values["seed"] = "" if values["seed"] is None else str(values["seed"])
    return form.changed(**values)
