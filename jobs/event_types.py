"""The events of a job, and their JSON: in the database, in Redis and on the wire.

A kind and the keys of its JSON never change their names. What another version wrote stays readable:
unknown keys are kept, missing keys stay missing, and an unknown kind becomes `UnknownEvent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from types import NoneType
from typing import Annotated, Any, ClassVar, TypeAlias, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator, PlainSerializer, ValidationError

from errors import Cancelled, ErrorCode, KinoraError
from pipelines.models.loading import LoadProgress
from pipelines.preview import Preview
from pipelines.request import FittedRequest

OPTIONAL: dict[str, Any] = {"optional": True}
"""Marks a field that is left out of the JSON where it is None; other fields are always written."""


@dataclass(frozen=True, kw_only=True)
class _Body:
    kind: ClassVar[str]
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """Keys that this version does not know. They are written as they were read."""
    absent: frozenset[str] = frozenset()
    """Fields that are not written: an older version did not have them."""


@dataclass(frozen=True)
class Queued(_Body):
    kind = "queued"
    model: str = ""


@dataclass(frozen=True)
class Started(_Body):
    kind = "started"
    attempt: int = 1


@dataclass(frozen=True)
class WaitingForGpu(_Body):
    """ZeroGPU only: the job's turn has come, and ZeroGPU queues it."""

    kind = "waiting_for_gpu"
    reason: str | None = None
    """`concurrency` where all GPUs that this Space may use are in use."""


@dataclass(frozen=True)
class Loading(_Body):
    """May also come before `Started`: what the worker loads before it can take its first job."""

    kind = "loading"
    phase: str = ""
    fraction: float | None = None
    """0 to 1 over all phases."""
    bytes_done: int | None = field(default=None, metadata=OPTIONAL)
    bytes_total: int | None = field(default=None, metadata=OPTIONAL)

    @classmethod
    def of(cls, progress: LoadProgress) -> Loading:
        return cls(progress.phase, progress.fraction, progress.bytes_done, progress.bytes_total)


@dataclass(frozen=True)
class Fallback(_Body):
    """Another model makes the clip."""

    kind = "fallback"
    sentence: str = ""
    fitted: FittedRequest | None = field(default=None, metadata=OPTIONAL)
    """The settings for that model, from the worker to the job's row; not stored in the event."""


@dataclass(frozen=True)
class StepDone(_Body):
    kind = "step"
    index: int = 0
    total: int = 0
    eta_s: float | None = None
    """Seconds until the clip is there; from the worker, until sampling is done."""
    part: int | None = field(default=None, metadata=OPTIONAL)
    """Of a long clip: the window that is sampled, from 1; steps are counted over all of them."""
    parts: int | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class PreviewReady(_Body):
    """There is a new preview. Its JPEG is not in the event: see `EventLog.latest_preview`."""

    kind = "preview"
    step: int = 0
    frames: int = 1
    width: int = 0
    height: int = 0
    fps: float = 0.0
    number: int = 0

    @classmethod
    def of(cls, preview: Preview) -> PreviewReady:
        p = preview
        return cls(p.index, p.frames, p.width, p.height, p.fps, p.number)

    def with_jpeg(self, jpeg: bytes) -> Preview:
        return Preview(self.step, jpeg, self.frames, self.width, self.height, self.fps, self.number)


@dataclass(frozen=True)
class Decoding(_Body):
    kind = "decoding"


@dataclass(frozen=True)
class Encoding(_Body):
    kind = "encoding"


@dataclass(frozen=True)
class Requeued(_Body):
    kind = "requeued"
    message: str = ""


@dataclass(frozen=True)
class Succeeded(_Body):
    kind = "succeeded"
    seconds: Mapping[str, float] | None = field(default=None, metadata=OPTIONAL)
    """By phase; None where the clip was there already."""
    finished_early: bool | None = field(default=None, metadata=OPTIONAL)
    reused: bool | None = field(default=None, metadata=OPTIONAL)
    signed: bool | None = field(default=None, metadata=OPTIONAL)
    """With Content Credentials; None where signing is off."""


@dataclass(frozen=True)
class Failed(_Body):
    kind = "failed"
    error: str = ErrorCode.INTERNAL.value
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    action: Mapping[str, Any] | None = field(default=None, metadata=OPTIONAL)

    @classmethod
    def of(cls, error: KinoraError) -> Failed:
        return cls(error.code.value, error.message, error.details, error.action or None)

    def to_error(self) -> KinoraError:
        """Raises ValueError for an error code that this version does not know."""
        if self.error == ErrorCode.CANCELLED.value:
            return Cancelled()
        action = dict(self.action) if self.action else None
        return KinoraError(
            ErrorCode(self.error), self.message, details=dict(self.details), action=action
        )


@dataclass(frozen=True)
class JobCancelled(_Body):
    kind = "cancelled"


@dataclass(frozen=True)
class UnknownEvent:
    """Written by another version of Kinora: passed on as it is."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


Known: TypeAlias = (
    Queued | Started | WaitingForGpu | Loading | Fallback | StepDone | PreviewReady
    | Decoding | Encoding | Requeued | Succeeded | Failed | JobCancelled
)  # fmt: skip
EventBody: TypeAlias = Known | UnknownEvent
WorkerEvent: TypeAlias = Loading | Fallback | StepDone | Preview | Decoding | Encoding
"""What a worker emits while it makes a clip."""

TERMINAL_KINDS = frozenset(body.kind for body in (Succeeded, Failed, JobCancelled))


@dataclass(frozen=True)
class Event:
    """One numbered entry of a job's log; `n` counts from 1 within the job, without gaps."""

    job_id: str
    n: int
    at: float
    body: EventBody

    @property
    def kind(self) -> str:
        return self.body.kind

    @property
    def data(self) -> dict[str, Any]:
        return to_json(self.body)


# -- JSON ----------------------------------------------------------------------------------------


def to_json(body: EventBody) -> dict[str, Any]:
    """The values of the body, without its kind. `json.dumps` can write them."""
    if isinstance(body, UnknownEvent):
        return dict(body.data)
    found: dict[str, Any] = {}
    for each in _fields(type(body)):
        value = getattr(body, each.name)
        if each.name in body.absent or (each.is_optional and value is None):
            continue
        found[each.name] = (
            value.model_dump(mode="json") if isinstance(value, FittedRequest) else value
        )
    return {**found, **body.unknown}


def from_json(kind: str, data: Mapping[str, Any]) -> EventBody:
    """Never fails: what this version cannot read is an `UnknownEvent`."""
    body = _BY_KIND.get(kind)
    if body is None:
        return UnknownEvent(kind, data)
    values: dict[str, Any] = {}
    absent: set[str] = set()
    unknown = dict(data)
    for each in _fields(body):
        if each.name not in data:
            if not each.is_optional:
                absent.add(each.name)
            continue
        value = data[each.name]
        if value is None and each.is_optional:
            continue  # not what we write, so it is kept among the unknown keys
        if each.types == (FittedRequest,):
            try:
                value = FittedRequest.model_validate(value)
            except ValidationError:
                return UnknownEvent(kind, data)
        if not isinstance(value, each.types):
            return UnknownEvent(kind, data)
        values[each.name] = value
        del unknown[each.name]
    return body(**values, unknown=unknown, absent=frozenset(absent))


@dataclass(frozen=True)
class _Field:
    name: str
    types: tuple[type, ...]
    is_optional: bool


@cache
def _fields(body: type[_Body]) -> tuple[_Field, ...]:
    hints, inherited = get_type_hints(body), {each.name for each in fields(_Body)}
    found: list[_Field] = []
    for each in fields(body):
        if each.name not in inherited:
            is_optional = bool(each.metadata.get("optional"))
            found.append(_Field(each.name, _types(hints[each.name], is_optional), is_optional))
    return tuple(found)


def _types(hint: Any, is_optional: bool) -> tuple[type, ...]:
    """What `isinstance` takes: `float | None` -> float, int, None."""
    parts = get_args(hint) if NoneType in get_args(hint) else (hint,)
    types = [get_origin(part) or part for part in parts]
    if int in types or float in types:
        types += [int, float]  # JSON has one kind of number
    return tuple(each for each in types if not (is_optional and each is NoneType))


_BY_KIND: dict[str, type[Known]] = {body.kind: body for body in get_args(Known)}


def _read_loading(value: Any) -> Any:
    """None for what another version wrote and this one cannot read."""
    if not isinstance(value, dict):
        return value
    body = from_json("loading", value)
    return body if isinstance(body, Loading) else None


LoadingJson = Annotated[
    Loading | None, BeforeValidator(_read_loading), PlainSerializer(lambda x: x and to_json(x))
]
"""A field of a pydantic model whose JSON is that of a loading event."""
