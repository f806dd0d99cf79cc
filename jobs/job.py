"""A job, its states, and the one table of legal moves between them.

Knows no storage and no worker.
"""

from __future__ import annotations

import secrets
from enum import Enum
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from errors import ErrorCode, KinoraError
from pipelines.request import Adjustment, FittedRequest, GenerationRequest

Asked = Literal["discard", "finish"]


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
    # back to the queue: the worker or the server was lost and nothing of the clip was written yet
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.QUEUED}),
    State.SUCCEEDED: frozenset(),
    # once more, where what was sampled is kept
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset(),
}


def check_move(before: State, after: State) -> None:
    if after not in MOVES[before]:
        sentence = f"A clip that is {before.value} cannot become {after.value}."
        raise KinoraError(ErrorCode.CONFLICT, sentence)


class Gone(BaseModel):
    """Why the files of a finished clip are not there any more, and since when."""

    model_config = ConfigDict(frozen=True)
    why: Literal["age", "space"]
    at: float

    @property
    def sentence(self) -> str:
        return WHY[self.why]


WHY = {
    "age": "This clip is gone: clips are kept here for a limited time only.",
    "space": "This clip is gone: it made room for newer ones.",
}


class Result(BaseModel):
    """What a finished job left behind. Names are relative to the job's artifact folder."""

    model_config = ConfigDict(frozen=True)
    clip: str
    poster: str
    last_frame: str
    width: int
    height: int
    num_frames: int
    fps: int
    size_bytes: int
    finished_early: bool = False
    steps_done: int | None = None
    reused: bool = False
    """The files were there already: the same request had been made before."""
    seconds: dict[str, float] = {}
    """Wall seconds by phase: load, encode_prompt, denoise, decode, encode, total."""
    step_s: float | None = None
    """The pace: the median of the steps, without the first where there are others."""
    cold: bool = False
    """The first clip since the model was loaded, which is slower."""
    peak_gb: float | None = None
    """The most memory it took, on the GPU if it was made there."""
    adjustments: tuple[Adjustment, ...] = ()
    """What had to be done in another way because the memory was short."""
    machine: str | None = None
    """Where it was made; None: where the server is."""
    gone: Gone | None = None
    """The files were removed since; all else here is history."""


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
    asked: Asked | None = None
    """What the person asked of it while it runs: to discard it, or to finish with what is there."""
    result: Result | None = None
    error: dict[str, Any] | None = None
    batch: str | None = None
    """The batch it was handed in with."""
    parent: str | None = None
    """The clip it is a variation of."""


class IdempotencyKey(NamedTuple):
    """A caller's own name for a request: within a day it is accepted once, however often it comes.

    `fingerprint` tells whether it is really the same request."""

    key: str
    fingerprint: str


def new_id() -> str:
    """128 random bits: nobody can guess somebody else's clip."""
    return secrets.token_hex(16)
