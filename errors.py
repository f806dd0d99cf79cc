"""The closed list of things that can go wrong, as codes and sentences for people.

Knows codes, HTTP statuses and wording. Does not know who shows the sentence.

    KinoraError            .code .message .details .action
    + Cancelled            the person asked for it; not a failure
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

SENTENCE_END = re.compile(r"[.?!][\"'”’)\]]*\s+(?=(\S))")
NEVER_LAST = frozenset(
    ("vs", "e.g", "i.e", "approx", "ca", "cf", "incl", "excl", "resp", "mr", "mrs", "ms", "dr")
)
"""Abbreviations that a sentence does not end with: `12s requested vs. 3s left`."""
SELDOM_LAST = frozenset(
    ("etc", "max", "min", "inc", "ltd", "co", "corp", "a.m", "p.m", "no", "nos", "fig", "vol")
)
"""Abbreviations that a sentence may end with, if the next one begins with a capital letter."""


def split_sentence(text: str) -> tuple[str, str]:
    """The first sentence, and what comes after it. Nothing is lost but the space between, and
    nothing is cut within brackets, numbers, names, or after an abbreviation."""
    text = text.strip()
    for end in SENTENCE_END.finditer(text):
        first, rest = text[: end.end()].rstrip(), text[end.end() :]
        if not _is_abbreviated(text[: end.start()], end[1]) and _is_closed(first):
            return first, rest
    return text, ""


def _is_abbreviated(before: str, follows: str) -> bool:
    """Where the dot belongs to the last word, and the sentence goes on."""
    if follows.islower() or not before:
        return True
    word = before.split()[-1].lstrip("([“\"'").lower() if before.split() else ""
    is_initial = bool(re.search(r"(^|[\s.])[^\W\d_]$", before)) and before[-1].isupper()
    opens = follows.isupper() or not follows.isalnum()
    return is_initial or word in NEVER_LAST or (word in SELDOM_LAST and not opens)


def _is_closed(text: str) -> bool:
    """No bracket or quotation of the sentence is still open at its end."""
    pairs = (("(", ")"), ("[", "]"), ("“", "”"))
    return all(text.count(opens) <= text.count(closes) for opens, closes in pairs)


@dataclass(frozen=True)
class Kind:
    http_status: int
    retryable: bool
    message: str


class ErrorCode(str, Enum):
    INVALID_INPUT = "invalid_input"
    INVALID_IMAGE = "invalid_image"
    INVALID_VIDEO = "invalid_video"
    TOO_LARGE = "too_large"
    TOO_MANY_FRAMES = "too_many_frames"
    TASK_NOT_SUPPORTED = "task_not_supported"
    UNKNOWN_MODEL = "unknown_model"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_LOAD = "model_load"
    MODEL_REFUSED = "model_refused"
    OUT_OF_MEMORY = "oom"
    OUT_OF_DISK = "out_of_disk"
    DECODE = "decode"
    ENCODE = "encode"
    WORKER_LOST = "worker_lost"
    TIMEOUT = "timeout"
    QUEUE_FULL = "queue_full"
    RATE_LIMITED = "rate_limited"
    NOT_FOUND = "not_found"
    GONE = "gone"
    CONFLICT = "conflict"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONTENT_POLICY = "content_policy"
    CANCELLED = "cancelled"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


# fmt: off
KINDS: dict[ErrorCode, Kind] = {
    ErrorCode.INVALID_INPUT: Kind(422, False, "One of the settings cannot be used."),
    ErrorCode.INVALID_IMAGE: Kind(422, False, "This picture cannot be read. Use a PNG, JPEG, WebP, AVIF or HEIC."),
    ErrorCode.INVALID_VIDEO: Kind(422, False, "This clip cannot be read. Use an MP4 or WebM."),
    ErrorCode.TOO_LARGE: Kind(413, False, "This is larger than what is accepted here."),
    ErrorCode.TOO_MANY_FRAMES: Kind(422, False, "The clip is longer than this model makes. Shorten it."),
    ErrorCode.TASK_NOT_SUPPORTED: Kind(422, False, "This model cannot do that. Choose another model."),
    ErrorCode.UNKNOWN_MODEL: Kind(404, False, "There is no model of that name here."),
    ErrorCode.MODEL_NOT_FOUND: Kind(502, True, "The model could not be fetched."),
    ErrorCode.MODEL_LOAD: Kind(500, True, "The model could not be loaded."),
    ErrorCode.MODEL_REFUSED: Kind(422, False, "This model cannot be used here. Choose another model."),
    ErrorCode.OUT_OF_MEMORY: Kind(507, True, "The memory was not enough. Make the clip smaller or shorter."),
    ErrorCode.OUT_OF_DISK: Kind(507, True, "The disk is full. Delete some clips and try again."),
    ErrorCode.DECODE: Kind(500, True, "Decoding failed. What was sampled is kept."),
    ErrorCode.ENCODE: Kind(500, True, "The video file could not be written."),
    ErrorCode.WORKER_LOST: Kind(500, True, "The worker stopped in the middle of this clip. Try again."),
    ErrorCode.TIMEOUT: Kind(504, True, "This took longer than allowed here. Make the clip shorter."),
    ErrorCode.QUEUE_FULL: Kind(429, True, "Too many clips are waiting. Try again in a minute."),
    ErrorCode.RATE_LIMITED: Kind(429, True, "You are going too fast. Wait a moment."),
    ErrorCode.NOT_FOUND: Kind(404, False, "There is nothing here under that name."),
    ErrorCode.GONE: Kind(410, False, "The file of this clip is gone."),
    ErrorCode.CONFLICT: Kind(409, False, "This cannot be done in the state the clip is in."),
    ErrorCode.UNAUTHORIZED: Kind(401, False, "Say who you are: send a key as Authorization: Bearer."),
    ErrorCode.FORBIDDEN: Kind(403, False, "Pages of other sites may not ask this here."),
    ErrorCode.METHOD_NOT_ALLOWED: Kind(405, False, "This address does not take that method."),
    ErrorCode.CONTENT_POLICY: Kind(422, False, "This request is not allowed here."),
    ErrorCode.CANCELLED: Kind(409, False, "The clip was discarded."),
    ErrorCode.UNAVAILABLE: Kind(503, True, "This is not available right now. Try again soon."),
    ErrorCode.INTERNAL: Kind(500, True, "Something went wrong on our side. Try again."),
}
# fmt: on


class KinoraError(Exception):
    """A failure with a sentence a person can act on. Never carries a path or a traceback.

    `action` names a repair the page may offer as a button, as {"label": ..., "set": {field: value}}.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str | None = None,
        *,
        details: dict[str, Any] | None = None,
        action: dict[str, Any] | None = None,
    ) -> None:
        self.code = code
        self.message = message or KINDS[code].message
        self.details = details or {}
        self.action = action
        super().__init__(self.message)

    @property
    def kind(self) -> Kind:
        return KINDS[self.code]

    def as_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "error": self.code.value,
            "message": self.message,
            "details": self.details,
        }
        if self.action:
            body["action"] = self.action
        return body

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> KinoraError:
        return cls(
            ErrorCode(body["error"]),
            body["message"],
            details=body.get("details"),
            action=body.get("action"),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.as_dict(),)


class Cancelled(KinoraError):
    """The person discarded the clip."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.CANCELLED)


def _rebuild(body: dict[str, Any]) -> KinoraError:
    return (
        Cancelled() if body["error"] == ErrorCode.CANCELLED.value else KinoraError.from_dict(body)
    )
