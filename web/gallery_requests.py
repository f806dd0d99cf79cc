"""Reads what callers send to the gallery, for the page and the API."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

from jobs.gallery import MAX_IDS
from jobs.gallery_query import (
    ClipStatus,
    GalleryQuery,
    Sort,
    invalid,
    is_storable,
    parse_position,
    parse_size,
)
from pipelines.request import Task

Choice = TypeVar("Choice", bound=Enum)
QUERY = (
    *("sort", "search", "task", "model", "size", "since", "until", "starred", "status"),
    *("collection", "cursor", "limit"),
)
"""The names of the query string."""
USUAL_PAGE = 60


def read_query(query: Mapping[str, str]) -> GalleryQuery:
    """Empty values are as none. Raises KinoraError(INVALID_INPUT), which names the field."""
    sent = {name: value for name, value in query.items() if value != ""}
    unknown = next((name for name in sent if name not in QUERY), None)
    if unknown:
        raise invalid(unknown, f"There is no “{unknown}” here: use {', '.join(QUERY)}.")
    for name in ("model", "collection"):
        if not is_storable(sent.get(name, "")):
            raise invalid(name, f"“{name}” names nothing that is here.")
    return GalleryQuery(
        sort=_choice(Sort, sent, "sort") or Sort.NEWEST,
        search=sent.get("search", ""),
        task=_choice(Task, sent, "task"),
        model=sent.get("model"),
        size=parse_size(sent.get("size")),
        since=_seconds(sent, "since"),
        until=_seconds(sent, "until"),
        starred=_flag(sent, "starred"),
        status=_choice(ClipStatus, sent, "status"),
        collection=sent.get("collection"),
        after=parse_position(sent.get("cursor")),
    )


def read_limit(query: Mapping[str, str]) -> int:
    """Raises KinoraError(INVALID_INPUT)."""
    text = query.get("limit") or str(USUAL_PAGE)
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= 200):
        raise invalid("limit", "“limit” is 1 to 200.")
    return int(text)


def read_ids(body: Mapping[str, Any], name: str = "ids") -> list[str]:
    """Without repetitions, in their order. Raises KinoraError(INVALID_INPUT)."""
    ids = body.get(name, [])
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise invalid(name, f"“{name}” is a list of the ids of clips.")
    if len(ids) > MAX_IDS or not all(is_storable(each) and len(each) <= 64 for each in ids):
        raise invalid(name, f"“{name}” has at most {MAX_IDS} ids of clips.")
    return list(dict.fromkeys(ids))


def read_text(body: Mapping[str, Any], name: str) -> str | None:
    """Raises KinoraError(INVALID_INPUT)."""
    text = body.get(name)
    if text is not None and not isinstance(text, str):
        raise invalid(name, f"“{name}” is a text.")
    return text


def read_flag(body: Mapping[str, Any], name: str) -> bool:
    """Raises KinoraError(INVALID_INPUT)."""
    value = body.get(name, True)
    if not isinstance(value, bool):
        raise invalid(name, f"“{name}” is true or false.")
    return value


def _choice(kind: type[Choice], sent: Mapping[str, str], name: str) -> Choice | None:
    if name not in sent:
        return None
    try:
        return kind(sent[name])
    except ValueError:
        offered = ", ".join(str(each.value) for each in kind)
        raise invalid(name, f"“{name}” is one of {offered}.") from None


def _seconds(sent: Mapping[str, str], name: str) -> float | None:
    if name not in sent:
        return None
    try:
        value = float(sent[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise invalid(name, f"“{name}” is a time in Unix seconds.")
    return value


def _flag(sent: Mapping[str, str], name: str) -> bool:
    value = sent.get(name, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise invalid(name, f"“{name}” is true or false.")
    return value in ("true", "1")
