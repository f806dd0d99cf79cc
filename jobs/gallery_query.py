"""What a page of the gallery is requested by: order, filters, words, and where it begins."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from enum import Enum

from errors import ErrorCode, KinoraError
from jobs.job import Job
from pipelines.request import Task

MAX_PAGE = 500
MAX_SEARCH = 200
WORD = re.compile(r'"([^"]*)"|(\S+)')
SETTING = re.compile(r"([^\W\d_]+):(\S+)")
SIZE = re.compile(r"(\d{1,5})[x×](\d{1,5})")


class Sort(str, Enum):
    NEWEST = "newest"
    OLDEST = "oldest"
    LONGEST = "longest"
    SHORTEST = "shortest"
    MODEL = "model"


class ClipStatus(str, Enum):
    """Which clips are wanted, by how far they are."""

    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class Position:
    """The last clip of the page before: what it is sorted by, when it was accepted, its id."""

    key: float | str | None
    created_at: float
    job_id: str

    def encode(self) -> str:
        content = json.dumps([self.key, self.created_at, self.job_id])
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class GalleryQuery:
    sort: Sort = Sort.NEWEST
    search: str = ""
    task: Task | None = None
    model: str | None = None
    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    since: float | None = None
    """Unix seconds; accepted then or later."""
    until: float | None = None
    """Accepted before."""
    starred: bool = False
    status: ClipStatus | None = None
    collection: str | None = None
    after: Position | None = None

    @property
    def words(self) -> list[str]:
        """What all have to be found. `seed:7` is that setting; quotes keep words together."""
        found = []
        for quoted, plain in WORD.findall(self.search):
            setting = SETTING.fullmatch(plain)
            found.append(f"{setting[1]} {setting[2]};" if setting else quoted or plain)
        return [word for word in found if word]


@dataclass(frozen=True)
class GalleryClip:
    """A job with what its owner has made of it in the gallery."""

    job: Job
    title: str | None = None
    starred: bool = False
    collections: tuple[str, ...] = ()
    """The ids of the collections that it is in."""


@dataclass(frozen=True)
class GalleryPage:
    clips: tuple[GalleryClip, ...]
    next: str | None
    """The cursor of the next page; None at the end."""
    total: int | None = None
    """How many there are on all pages; of the first page only."""


@dataclass(frozen=True)
class Storage:
    """What the owner's clips take, and what the limits of this server are."""

    clips: int
    bytes: int
    limit_bytes: int | None
    """For the clips of everyone together."""
    used_share: float | None
    """How much of that limit is used, 0 to 1."""
    keep_days: float | None
    oldest_goes_at: float | None
    """When the oldest clip is removed by age, in Unix seconds."""


@dataclass(frozen=True)
class Facets:
    """What there is to filter by, with the number of clips."""

    models: dict[str, int] = field(default_factory=dict)
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)


def parse_position(cursor: str | None) -> Position | None:
    """Raises KinoraError(INVALID_INPUT)."""
    if not cursor:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key, created_at, job_id = json.loads(base64.b64decode(padded, altchars=b"-_"))
        if isinstance(key, bool) or not isinstance(key, float | int | str | None):
            raise TypeError
        if not isinstance(job_id, str) or not isinstance(created_at, float | int):
            raise TypeError
        if not is_storable(job_id) or (isinstance(key, str) and not is_storable(key)):
            raise TypeError
        return Position(key, float(created_at), job_id)
    except (binascii.Error, ValueError, TypeError, UnicodeError, OverflowError):
        raise invalid("cursor", "“cursor” is the “next” of a page before.") from None


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`128x96`. Raises KinoraError(INVALID_INPUT)."""
    if not text:
        return None
    found = SIZE.fullmatch(text)
    if found is None:
        raise invalid("size", "“size” is a width and a height, such as 128x96.")
    return int(found[1]), int(found[2])


def check_query(query: GalleryQuery) -> None:
    """Raises KinoraError(INVALID_INPUT)."""
    if len(query.search) > MAX_SEARCH or not is_storable(query.search):
        raise invalid("search", f"Search for at most {MAX_SEARCH} plain letters.")
    after = query.after
    if after is None:
        return
    by_number = query.sort in (Sort.LONGEST, Sort.SHORTEST)
    by_text = query.sort is Sort.MODEL
    has_number = isinstance(after.key, float | int)
    if by_number != has_number or by_text != isinstance(after.key, str):
        raise invalid("cursor", "“cursor” is of a page in another order.")


def is_storable(text: str) -> bool:
    """Whether every database takes the text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def invalid(name: str, sentence: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": name})
