"""Error codes, with their HTTP statuses and default messages.

`KinoraError` is the only exception whose message users see. Its subclass `Cancelled` is not a
failure: the user discarded the clip.
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
"""Abbreviations that never end a sentence: `12s requested vs. 3s left`."""
SELDOM_LAST = frozenset(
    ("etc", "max", "min", "inc", "ltd", "co", "corp", "a.m", "p.m", "no", "nos", "fig", "vol")
)
"""Abbreviations that end a sentence if the next word is capitalized."""


def split_sentence(text: str) -> tuple[str, str]:
    """Splits off the first sentence. Only the space between the two parts is dropped. Does not
    split within brackets, numbers or names, nor after an abbreviation."""
    text = text.strip()
    for end in SENTENCE_END.finditer(text):
        first, rest = text[: end.end()].rstrip(), text[end.end() :]
        if not _is_abbreviation(text[: end.start()], end[1]) and _is_balanced(first):
            return first, rest
    return text, ""


def _is_abbreviation(before: str, next_letter: str) -> bool:
    """Whether the dot belongs to the last word of `before` and the sentence continues."""
    if next_letter.islower() or not before:
        return True
    word = before.split()[-1].lstrip("([“\"'").lower() if before.split() else ""
    is_initial = bool(re.search(r"(^|[\s.])[^\W\d_]$", before)) and before[-1].isupper()
    may_start = next_letter.isupper() or not next_letter.isalnum()
    return is_initial or word in NEVER_LAST or (word in SELDOM_LAST and not may_start)


def _is_balanced(text: str) -> bool:
    """Whether every bracket and quotation is closed."""
    pairs = (("(", ")"), ("[", "]"), ("“", "”"))
    return all(text.count(opening) <= text.count(closing) for opening, closing in pairs)


def megabytes(size: float) -> str:
    """A number of bytes in MB of 1,000,000, as settings count them: "500", "1.5", "0.025". One form
    for all sizes, because translations look for the word MB behind it."""
    mb = size / 1_000_000
    return f"{mb:.{1 if mb >= 1 else 3}f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class ErrorKind:
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
KINDS: dict[ErrorCode, ErrorKind] = {
    ErrorCode.INVALID_INPUT: ErrorKind(422, False, "One of the values is invalid."),
    ErrorCode.INVALID_IMAGE: ErrorKind(422, False, "This picture cannot be read. Use a PNG, JPEG, WebP, AVIF or HEIC."),
    ErrorCode.INVALID_VIDEO: ErrorKind(422, False, "This clip cannot be read. Use an MP4 or WebM."),
    ErrorCode.TOO_LARGE: ErrorKind(413, False, "The upload is too large."),
    ErrorCode.TOO_MANY_FRAMES: ErrorKind(422, False, "The clip is too long for this model. Make it shorter."),
    ErrorCode.TASK_NOT_SUPPORTED: ErrorKind(422, False, "This model does not support that task. Choose another model."),
    ErrorCode.UNKNOWN_MODEL: ErrorKind(404, False, "There is no model with that name."),
    ErrorCode.MODEL_NOT_FOUND: ErrorKind(502, True, "The model could not be downloaded."),
    ErrorCode.MODEL_LOAD: ErrorKind(500, True, "The model could not be loaded."),
    ErrorCode.MODEL_REFUSED: ErrorKind(422, False, "This model cannot be used here. Choose another model."),
    ErrorCode.OUT_OF_MEMORY: ErrorKind(507, True, "Not enough memory. Make the clip smaller or shorter."),
    ErrorCode.OUT_OF_DISK: ErrorKind(507, True, "The disk is full. Delete some clips and try again."),
    ErrorCode.DECODE: ErrorKind(500, True, "Decoding failed. The sampled latents are kept, so it can be retried."),
    ErrorCode.ENCODE: ErrorKind(500, True, "The video file could not be written."),
    ErrorCode.WORKER_LOST: ErrorKind(500, True, "The worker stopped in the middle of this clip. Try again."),
    ErrorCode.TIMEOUT: ErrorKind(504, True, "The time limit was exceeded. Make the clip shorter."),
    ErrorCode.QUEUE_FULL: ErrorKind(429, True, "Too many clips are waiting. Try again in a minute."),
    ErrorCode.RATE_LIMITED: ErrorKind(429, True, "Too many requests. Try again in a moment."),
    ErrorCode.NOT_FOUND: ErrorKind(404, False, "Not found."),
    ErrorCode.GONE: ErrorKind(410, False, "The file of this clip was removed."),
    ErrorCode.CONFLICT: ErrorKind(409, False, "The clip's state does not allow this."),
    ErrorCode.UNAUTHORIZED: ErrorKind(401, False, "Authentication required: send a key as Authorization: Bearer."),
    ErrorCode.FORBIDDEN: ErrorKind(403, False, "Requests from pages of other sites are not allowed."),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorKind(405, False, "Method not allowed."),
    ErrorCode.CONTENT_POLICY: ErrorKind(422, False, "This request is not allowed here."),
    ErrorCode.CANCELLED: ErrorKind(409, False, "The clip was discarded."),
    ErrorCode.UNAVAILABLE: ErrorKind(503, True, "This is not available right now. Try again soon."),
    ErrorCode.INTERNAL: ErrorKind(500, True, "Something went wrong on our side. Try again."),
}
# fmt: on


class KinoraError(Exception):
    """A failure with a message that a user can act on. Never contains a path or a traceback.

    `action` is a fix that the page may offer as a button: {"label": ..., "set": {field: value}}.
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
    def kind(self) -> ErrorKind:
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
    """The user discarded the clip."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.CANCELLED)


def _rebuild(body: dict[str, Any]) -> KinoraError:
    return (
        Cancelled() if body["error"] == ErrorCode.CANCELLED.value else KinoraError.from_dict(body)
    )
