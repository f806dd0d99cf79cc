"""Job, its states and the table of allowed moves between them; Event, Result."""

from __future__ import annotations

import secrets
from enum import Enum
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from errors import ErrorCode, KinoraError
from media.operations.edit_request import EditRequest
from pipelines.request import Adjustment, FittedRequest, GenerationRequest

WorkerStop = Literal["discard", "finish"]
StopRequest = Literal[WorkerStop, "redo_part"]
"""`redo_part` discards the present window of a long clip, which is queued again with the others."""

MARK = "mark"
"""The field of the adjustment that a clip with a visible mark has."""
WATERMARK = "watermark"
"""That of a clip on a server that hides a watermark in frames."""


class State(str, Enum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELLED}),
    # queued again: the worker or the server was lost before the clip was finished
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.QUEUED}),
    State.SUCCEEDED: frozenset(),
    # queued again, to decode the stored latents
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset(),
}


def for_worker(what: StopRequest) -> WorkerStop:
    """What a worker has to do about a request: for `redo_part` it discards what it makes, and the
    job is queued again (`JobLifecycle.fail`)."""
    return "discard" if what == "redo_part" else what


def check_move(before: State, after: State) -> None:
    """Raises KinoraError(CONFLICT) for a move that is not in the table."""
    if after not in MOVES[before]:
        sentence = f"A clip that is {before.value} cannot become {after.value}."
        raise KinoraError(ErrorCode.CONFLICT, sentence)


class Gone(BaseModel):
    """Why the files of a finished clip were removed, and when."""

    model_config = ConfigDict(frozen=True)
    why: Literal["age", "space", "removed"]
    at: float

    @property
    def sentence(self) -> str:
        return WHY[self.why]


WHY = {
    "age": "This clip is gone: clips are kept here for a limited time only.",
    "space": "This clip is gone: it made room for newer ones.",
    "removed": "This clip was removed by the people who run this site.",
}


class Provenance(BaseModel):
    """Whether a clip was signed with Content Credentials."""

    model_config = ConfigDict(frozen=True)
    signed: bool
    sidecar: str | None = None
    """The file with the credentials, for a container that has no place for them."""
    self_made: bool = False
    """The certificate is a self-made one."""
    problem: str | None = None
    """Why it is not signed, as a sentence."""


class Result(BaseModel):
    """The clip of a job that has succeeded. File names are relative to the job's folder."""

    model_config = ConfigDict(frozen=True)
    clip: str
    poster: str
    last_frame: str
    width: int
    height: int
    num_frames: int
    fps: int
    rate: str | None = None
    """The frames per second as a fraction, `30000/1001`, where they are no whole number."""
    size_bytes: int
    generated: bool = True
    """False for an edit of clips none of which says that a model made it."""
    unsigned_size_bytes: int | None = None
    """Of the clip before it was signed: until the signed file has replaced it, that is its size."""
    provenance: Provenance | None = None
    """None for clips of earlier versions, and where signing is off."""
    finished_early: bool = False
    parts: int | None = None
    """Of a long clip: how many windows it was made in."""
    steps_done: int | None = None
    reused: bool = False
    """The files are those of an earlier job with the same recipe."""
    seconds: dict[str, float] = {}
    """Wall seconds by phase: load, encode_prompt, denoise, decode, encode, total."""
    step_s: float | None = None
    """Seconds per step: the median, without the first step where there are others."""
    cold: bool = False
    """It was the first clip after the model was loaded, which is slower."""
    peak_gb: float | None = None
    """Peak memory, of the GPU if it ran there."""
    adjustments: tuple[Adjustment, ...] = ()
    """What the worker changed because memory was short."""
    machine: str | None = None
    """The machine that made it; None: the server's."""
    gone: Gone | None = None
    """Set when the files were removed; the other fields stay as they were."""

    @property
    def duration_s(self) -> float:
        return float(self.num_frames / Fraction(self.rate or self.fps))


class Job(BaseModel):
    """One accepted request. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True)
    id: str
    owner: str
    state: State
    request: GenerationRequest
    fitted: FittedRequest
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    attempts: int = 0
    asked: StopRequest | None = None
    """The stop request of a running job: discard it, or finish with the steps done so far."""
    result: Result | None = None
    error: dict[str, Any] | None = None
    batch: str | None = None
    """The batch it was submitted in."""
    parent: str | None = None
    """The job whose clip it is a variation of."""
    full_request: GenerationRequest | None = None
    """What a draft is a draft of: the request of the full clip, with the draft's seed."""
    edit: EditRequest | None = None
    """Set for an edit. Then `request` made its first clip, and `fitted` is that with the size, the
    length and the rate of what comes out."""

    @property
    def edit_clips(self) -> tuple[str, ...]:
        """The jobs whose clips an edit is made of."""
        clips = self.edit.clips if self.edit else ()
        return tuple(dict.fromkeys(name for name in clips if is_job_id(name)))

    @property
    def edit_uploads(self) -> tuple[str, ...]:
        """The uploaded clips and files that an edit is made of."""
        if self.edit is None:
            return ()
        clips = [name for name in self.edit.clips if not is_job_id(name)]
        files = [needed.id for each in self.edit.operations for needed in each.needed_files()]
        return tuple(dict.fromkeys([*clips, *files]))


class IdempotencyKey(NamedTuple):
    """A client's name for a request: for a day, repeating the request creates no second job.

    `fingerprint` is a hash of the request: another request with the same key is an error."""

    key: str
    fingerprint: str


def new_id() -> str:
    """128 random bits: another job's id cannot be guessed."""
    return secrets.token_hex(16)


def is_job_id(name: str) -> bool:
    """True for what `new_id` returns, in contrast to the id of an upload."""
    return len(name) == 32
