"""Wildcards in a prompt: `{red|green}`, `{2$$a|b|c}`, `__animal__`, and `\\{` for a plain brace.

The same text, lists and seed give the same prompt on every machine and in every version of Python:
only `Random.random` is used, whose sequence Python guarantees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from random import Random
from typing import Protocol

MAX_DEPTH = 16
"""Of braces in braces, and of lists that name lists."""
MAX_PARTS = 5000
"""Parts that one prompt may be put together from: a list that names a list twice, which names one
twice ..., doubles them with each."""
ESCAPED = "\\{}|_$"
"""Characters that a backslash makes plain. Before any other, a backslash is a backslash."""
NAME = re.compile(r"__([^\W_](?:[\w\-/]*?[^\W_])??)__")
"""Letters of any script, digits, `-`, `_` and `/`: no dots, so no way out of a folder."""
COUNT = re.compile(r"\s*(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?\$\$")


class WildcardError(ValueError):
    """A sentence, and the column of the text (from 1) that it is about."""

    def __init__(self, sentence: str, column: int) -> None:
        super().__init__(sentence)
        self.sentence, self.column = sentence, column


class Lists(Protocol):
    """The lists that `__name__` stands for."""

    def names(self) -> Sequence[str]: ...

    def get(self, name: str) -> Lines | None:
        """The parsed lines of the list, or None if there is none of that name. Raises
        WildcardError for a line that cannot be read."""
        ...


@dataclass(frozen=True)
class Reference:
    """`__name__`: a line of a list."""

    name: str
    column: int


@dataclass(frozen=True)
class Variants:
    """`{low-high$$separator$$a|b|c}`: so many different ones of the options."""

    options: tuple[Sequence[Part], ...]
    low: int = 1
    high: int = 1
    separator: str = ", "


Part = str | Reference | Variants
Lines = Sequence[Sequence[Part]]


def expand(text: str, lists: Lists, seed: int) -> str:
    """The text with every choice made. Raises WildcardError."""
    parts = parse(text)
    found = _lists_for(parts, lists)
    return "".join(_Draw(found, Random(seed)).texts(parts))  # noqa: S311  # not for secrets


# -- parsing ---------------------------------------------------------------------------------------


def parse(text: str) -> tuple[Part, ...]:
    """Raises WildcardError where a brace has no partner or a count cannot be met."""
    parser = _Parser(text)
    parts, end = parser.sequence(0, "}", 0)
    if end < len(text):
        raise WildcardError(
            f"The “}}” in column {end + 1} has no “{{” before it. Write \\}} for a plain brace.",
            end + 1,
        )
    return parts


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text

    def sequence(self, start: int, stops: str, depth: int) -> tuple[tuple[Part, ...], int]:
        """The parts from `start` to the first of `stops` that is not escaped, or to the end."""
        text, at = self.text, start
        parts: list[Part] = []
        plain: list[str] = []

        def flush() -> None:
            if plain:
                parts.append("".join(plain))
                plain.clear()

        while at < len(text) and text[at] not in stops:
            letter = text[at]
            if letter == "\\" and text[at + 1 : at + 2] and text[at + 1] in ESCAPED:
                plain.append(text[at + 1])
                at += 2
            elif letter == "{":
                flush()
                choice, at = self.choice(at, depth + 1)
                parts.append(choice)
            elif letter == "_" and (found := NAME.match(text, at)):
                flush()
                parts.append(Reference(found[1], at + 1))
                at = found.end()
            else:
                plain.append(letter)
                at += 1
        flush()
        return tuple(parts), at

    def choice(self, start: int, depth: int) -> tuple[Variants, int]:
        """The choice whose brace is at `start`, and the place after its end."""
        text, column = self.text, start + 1
        if depth > MAX_DEPTH:
            sentence = f"The braces in column {column} are nested deeper than {MAX_DEPTH}."
            raise WildcardError(sentence, column)
        low, high, separator, at = self._head(start + 1)
        options: list[tuple[Part, ...]] = []
        while True:
            option, at = self.sequence(at, "|}", depth)
            options.append(option)
            if at >= len(text):
                raise WildcardError(
                    f"The “{{” in column {column} has no “}}” after it. "
                    "Write \\{ for a plain brace.",
                    column,
                )
            at += 1
            if text[at - 1] == "}":
                break
        if high > len(options) or low > high:
            count = f"{low}" if low == high else f"{low} to {high}"
            raise WildcardError(
                f"The braces in column {column} need {count} of {len(options)} choices.", column
            )
        return Variants(tuple(options), low, high, separator), at

    def _head(self, at: int) -> tuple[int, int, str, int]:
        """`2$$` or `1-3$$ and $$`: how many, the separator, and where the first option begins."""
        found = COUNT.match(self.text, at)
        if not found:
            return 1, 1, ", ", at
        low, high = int(found[1]), int(found[2] or found[1])
        at = found.end()
        separator = re.compile(r"([^{}|$\\]*)\$\$").match(self.text, at)
        if separator:
            return low, high, separator[1], separator.end()
        return low, high, ", ", at


# -- lists -----------------------------------------------------------------------------------------


def references(parts: Iterable[Part]) -> Iterator[Reference]:
    for part in parts:
        if isinstance(part, Reference):
            yield part
        elif isinstance(part, Variants):
            for option in part.options:
                yield from references(option)


def _lists_for(parts: Sequence[Part], lists: Lists) -> dict[str, Lines]:
    """Every list that may be drawn from. Raises WildcardError if one is missing or names itself:
    always, and not only for the seeds that come upon it."""
    found: dict[str, Lines] = {}
    for reference in references(parts):
        _add(reference.name, lists, reference.column, (), found)
    return found


def _add(
    name: str, lists: Lists, column: int, above: tuple[str, ...], found: dict[str, Lines]
) -> None:
    """`column` is the one in the text that led here, through the lists `above`."""
    if name in above:
        chain = " → ".join((*above[above.index(name) :], name))
        raise WildcardError(f"The list __{name}__ names itself: {chain}.", column)
    if len(above) >= MAX_DEPTH:
        sentence = f"More than {MAX_DEPTH} lists name one another: {' → '.join(above)}."
        raise WildcardError(sentence, column)
    if name in found:
        return
    try:
        lines = lists.get(name)
    except WildcardError as error:
        raise WildcardError(error.sentence, column) from None
    if lines is None:
        raise WildcardError(_no_such_list(name, column, lists.names(), above), column)
    for inner in dict.fromkeys(each.name for line in lines for each in references(line)):
        _add(inner, lists, column, (*above, name), found)
    found[name] = lines


def _no_such_list(name: str, column: int, names: Sequence[str], above: Sequence[str]) -> str:
    where = f"__{name}__, which __{above[-1]}__ names" if above else f"__{name}__ (column {column})"
    near = get_close_matches(name, names, 1)
    if near:
        return f"There is no list {where}. Did you mean __{near[0]}__?"
    known = ", ".join(f"__{each}__" for each in names[:12]) or "none"
    return f"There is no list {where}. There are: {known}."


# -- drawing ---------------------------------------------------------------------------------------


class _Draw:
    def __init__(self, lists: dict[str, Lines], random: Random) -> None:
        self._lists, self._random, self._parts = lists, random, 0

    def texts(self, parts: Sequence[Part]) -> Iterator[str]:
        for part in parts:
            self._parts += 1
            if self._parts > MAX_PARTS:
                sentence = "The wildcards make a prompt that is far too long. Use fewer of them."
                raise WildcardError(sentence, 1)
            match part:
                case str():
                    yield part
                case Reference():
                    lines = self._lists[part.name]
                    yield from self.texts(lines[self._below(len(lines))])
                case Variants():
                    yield part.separator.join(
                        "".join(self.texts(option)) for option in self._some(part)
                    )

    def _some(self, choice: Variants) -> Sequence[Sequence[Part]]:
        """Different options, in the order in which they were drawn."""
        left = list(choice.options)
        count = choice.low + self._below(choice.high - choice.low + 1)
        return [left.pop(self._below(len(left))) for _ in range(count)]

    def _below(self, count: int) -> int:
        return int(self._random.random() * count)
