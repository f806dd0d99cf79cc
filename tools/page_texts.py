"""Finds the texts in our JavaScript: what a person can read in templates, attributes and strings.

A text is a template in which `{}` stands for each value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

READ_ATTRIBUTES = ("aria-label", "title", "placeholder", "alt", "label")
ATTRIBUTE = re.compile(rf'(?:^|\s)(?:{"|".join(READ_ATTRIBUTES)})="([^"]*)"')
NO_TEXT = re.compile(
    r"^(?:[A-Z][a-z]+[A-Z]\w*|[A-Z]+|Arrow\w+|Escape|Enter|Tab|Home|End|Space|Delete|Backspace"
    r"|PageUp|PageDown|Shift|Control|Meta|Kinora|Content-Type|X-Kinora|X-Kinora-Visitor|Files|Notification|English|Last-Event-ID)$"
)
"""Strings that only look like texts: names of keys, methods, headers."""
BEFORE = 200
"""Letters before a place that say what it is."""
TAG = re.compile(r"<[^<>]*>", re.DOTALL)


@dataclass(frozen=True)
class _Literal:
    """`pieces` between the values; `is_html` for a template of elements."""

    pieces: list[str]
    is_html: bool


def find_texts(source: str) -> list[str]:
    """The texts of a module, in their order, each once."""
    found: dict[str, None] = {}
    for literal in _literals(source):
        texts = _of_html(literal.pieces) if literal.is_html else ["{}".join(literal.pieces)]
        for text in texts:
            clean = " ".join(text.split())
            is_read = literal.is_html and re.search(r"[A-Za-z]{2}", clean) and clean != "Kinora"
            if is_read or _reads_as_text(clean):
                found.setdefault(clean)
    return list(found)


def _reads_as_text(text: str) -> bool:
    letters = text.replace("{}", "")
    starts = re.match(r"[A-Z“]", text) or (text.startswith("{}") and re.search(r" [a-z]{2}", text))
    return bool(starts and re.search(r"[a-z]{2}", letters) and not NO_TEXT.match(text))


def _of_html(pieces: list[str]) -> list[str]:
    """Texts between tags, and those of attributes. A tag may hold values."""
    marked = "\x00".join(pieces)
    texts = [found.replace("\x00", "{}") for found in ATTRIBUTE.findall(marked)]
    marked = re.sub(r"=>", "", marked)
    texts += [
        piece.replace("\x00", "{}").strip() for piece in TAG.sub("\x01", marked).split("\x01")
    ]
    return [text for text in texts if text.strip("{} \n")]


def _literals(source: str) -> list[_Literal]:
    found: list[_Literal] = []
    _scan(source, 0, found, until="")
    return found


def _scan(source: str, at: int, found: list[_Literal], until: str) -> int:
    """Reads code up to the brace that closes a value, or to the end; returns where it stopped."""
    depth = 0
    while at < len(source):
        letter = source[at]
        if source.startswith("//", at):
            end = source.find("\n", at)
            at = len(source) if end < 0 else end
        elif source.startswith("/*", at):
            at = source.index("*/", at) + 2
        elif letter == "/" and _starts_regex(source, at):
            at = re.compile(r"/(?:\\.|\[(?:\\.|[^\]])*\]|[^/\\\n])+/\w*").match(source, at).end()  # type: ignore[union-attr]
        elif letter in "\"'":
            end = re.compile(rf"{letter}((?:\\.|[^{letter}\\])*){letter}").match(source, at)
            if end is None:
                raise ValueError(f"no end: {source[at : at + 80]}")
            if not source[max(0, at - BEFORE) : at].rstrip().endswith(("from", "import")):
                found.append(_Literal([end[1]], is_html=False))
            at = end.end()
        elif letter == "`":
            at = _template(source, at, found)
        elif letter == "{":
            depth, at = depth + 1, at + 1
        elif letter == "}":
            if depth == 0 and until:
                return at
            depth, at = depth - 1, at + 1
        else:
            at += 1
    return at


def _template(source: str, at: int, found: list[_Literal]) -> int:
    is_html = source.endswith("html", 0, at)
    pieces, at, start = [], at + 1, at + 1
    where = len(found)
    while source[at] != "`":
        if source.startswith("${", at):
            pieces.append(source[start:at])
            at = start = _scan(source, at + 2, found, until="}") + 1
        else:
            at += 2 if source[at] == "\\" else 1
    pieces.append(source[start:at])
    found.insert(where, _Literal(pieces, is_html))
    return at + 1


def _starts_regex(source: str, at: int) -> bool:
    before = source[max(0, at - BEFORE) : at].rstrip()
    return before.endswith(("(", ",", "=", ":", "[", "!", "&", "|", "?", "{", "}", ";", "return"))
