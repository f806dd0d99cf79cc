"""What a remote worker sends to its server, its JSON in a Redis stream, and how it is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from typing_extensions import assert_never

from jobs.event_types import (
    Decoding,
    Encoding,
    Failed,
    Fallback,
    Loading,
    PreviewReady,
    StepDone,
    from_json,
    to_json,
)
from jobs.fleet.protocol import RedisProtocol, RunTicket
from jobs.job import Job, Result
from jobs.lifecycle import JobLifecycle


@dataclass(frozen=True)
class Begun:
    """The worker has taken the job."""


@dataclass(frozen=True)
class Done:
    result: Result


@dataclass(frozen=True)
class Returned:
    """The worker was stopped; another one makes the clip."""


Outcome: TypeAlias = Done | Failed | Returned
Progress: TypeAlias = Loading | Fallback | StepDone | PreviewReady | Decoding | Encoding
MessageBody: TypeAlias = Begun | Progress | Outcome

RENEWS_DEADLINE = (Begun, Loading, Fallback)
"""These restart the deadline of a run: loading does not count as the clip's time."""


@dataclass(frozen=True)
class Message:
    ticket: RunTicket
    body: MessageBody
    jpeg: bytes | None = None
    """The picture of a `PreviewReady`: it travels beside the message."""

    @property
    def is_last(self) -> bool:
        return isinstance(self.body, Outcome)


def to_fields(message: Message) -> dict[str, str]:
    """The entry of the stream."""
    data: dict[str, Any] = {}
    match message.body:
        case Begun():
            kind = "begun"
        case Done(result):
            kind, data = "done", result.model_dump()
        case Returned():
            kind = "returned"
        case event:
            kind, data = event.kind, to_json(event)
    return {"ticket": message.ticket.id, "kind": kind, "data": json.dumps(data)}


def from_fields(fields: dict[str, str]) -> MessageBody:
    """Raises KeyError, ValueError or pydantic.ValidationError for any other entry."""
    kind, data = fields["kind"], json.loads(fields["data"])
    match kind:
        case "begun":
            return Begun()
        case "done":
            return Done(Result.model_validate(data))
        case "returned":
            return Returned()
        case _:
            event = from_json(kind, data)
            if isinstance(event, Progress | Failed):
                return event
            raise ValueError(f"unknown message {kind!r}")


def store_message(
    lifecycle: JobLifecycle, fleet: RedisProtocol, job: Job, message: MessageBody
) -> bool:
    """True if this was the last message of that run. Raises ValueError for an error code that this
    version does not know."""
    match message:
        case Done(result):
            lifecycle.succeed(job, result)
        case Failed():
            lifecycle.fail(job, message.to_error())
        case Returned():
            sentence = "The worker was stopped; the clip is made by another."
            lifecycle.requeue(job, sentence, refund_attempt=True)
        case Begun():
            pass
        case PreviewReady():
            newest = fleet.preview(job.id)
            if newest:  # there may be a newer one already, and then this is it
                lifecycle.progress(job, newest)
        case Loading() | Fallback() | StepDone() | Decoding() | Encoding():
            lifecycle.progress(job, message)
        case _:
            assert_never(message)
    return isinstance(message, Outcome)
