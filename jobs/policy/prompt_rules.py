"""The rules for prompts, read from YAML, and the search for them in a text.

    groups:       name -> language -> words and phrases; `word*` is a beginning, `_` is any one word
    categories:   name -> title, change, `refuse` (groups), `near` (two groups, within N words)
    exceptions:   language -> phrases in which no word counts

The search takes time in proportion to the text: every word is looked up in tables.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from errors import ErrorCode, KinoraError
from jobs.policy.fold_text import BLOCKS, Vocabulary, Word, fold, split_words, unfolded

Words = dict[str, list[str]]
"""By language, so that a maintainer can find them; the language of a prompt is not guessed."""
ANY = "_"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NearRule(_Strict):
    groups: Annotated[list[str], Field(min_length=2, max_length=2)]
    within: Annotated[int, Field(ge=1, le=1000)]
    """Words between the first word of one and the first word of the other."""


class Category(_Strict):
    title: str
    """Goes into a sentence: "This server does not make <title>."."""
    change: str
    """What to write instead: a sentence for the caller."""
    quotes: bool = True
    """Whether the refusal repeats the word that was found."""
    refuse: list[str] = []
    near: list[NearRule] = []


class RuleFile(_Strict):
    groups: dict[str, Words]
    categories: dict[str, Category]
    exceptions: Words = {}

    @model_validator(mode="after")
    def _names_known_groups(self) -> RuleFile:
        for name, category in self.categories.items():
            named = {*category.refuse, *(each for rule in category.near for each in rule.groups)}
            if unknown := sorted(named - self.groups.keys()):
                raise ValueError(f"{name} names a group that does not exist: {unknown[0]}")
        return self


class Finding(NamedTuple):
    category: str
    rule: str
    words: tuple[str, ...]
    """As they are in the text that was searched."""


@dataclass(frozen=True)
class _Hit:
    group: str
    first: int
    last: int


class _Table:
    """Phrases, by the first word of each."""

    def __init__(self, phrases: Iterable[tuple[str, str]]) -> None:
        """`phrases`: (name, phrase)."""
        self._exact: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
        self._beginnings: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
        for name, phrase in phrases:
            words = [word if word == ANY else _folded_rule(word) for word in phrase.split()]
            if not words or words[0] == ANY:
                raise ValueError(f"a phrase begins with a word: {phrase!r}")
            first = words[0]
            table = self._beginnings if first.endswith("*") else self._exact
            table[first.removesuffix("*")].append((name, words))
        self._sizes = sorted({len(word) for word in self._beginnings})

    def find(self, words: list[Word]) -> list[_Hit]:
        found: list[_Hit] = []
        for at, word in enumerate(words):
            for form in word.forms:
                candidates = list(self._exact.get(form, ()))
                for size in self._sizes:
                    if size <= len(form):
                        candidates += self._beginnings.get(form[:size], ())
                found += (
                    _Hit(name, at, at + len(phrase) - 1)
                    for name, phrase in candidates
                    if len(phrase) == 1 or _continues(words, at, phrase)
                )
        return found


def _continues(words: list[Word], at: int, phrase: list[str]) -> bool:
    following = words[at + 1 : at + len(phrase)]
    return len(following) == len(phrase) - 1 and all(
        wanted == ANY
        or wanted in word.forms
        or (wanted.endswith("*") and any(form.startswith(wanted[:-1]) for form in word.forms))
        for wanted, word in zip(phrase[1:], following, strict=True)
    )


def _folded_rule(word: str) -> str:
    return fold(word.removesuffix("*")) + ("*" if word.endswith("*") else "")


class PromptRules:
    def __init__(self, file: RuleFile) -> None:
        self.categories = file.categories
        phrases = [(name, phrase) for name, words in file.groups.items() for phrase in _all(words)]
        self._groups = _Table(phrases)
        self._exceptions = _Table(("exception", phrase) for phrase in _all(file.exceptions))
        texts = [phrase for _, phrase in phrases] + list(_all(file.exceptions))
        self._vocabulary = Vocabulary(
            fold(word.removesuffix("*")) for text in texts for word in text.split() if word != ANY
        )
        blocks = {fold(text) for text in texts if BLOCKS.search(text)}
        # the longest first, as the first that fits is taken
        longest = sorted(blocks, key=lambda text: (-len(text), text))
        self._blocks = re.compile("|".join(map(re.escape, longest))) if blocks else None

    def find(self, text: str, categories: Collection[str] | None = None) -> Finding | None:
        """The first category, in the order of the file, that refuses the text; None if none does.
        `categories`: only these."""
        folded = fold(text)
        words = split_words(folded, self._vocabulary, self._blocks)
        hits = self._groups.find(words)
        if not hits:
            return None
        hits = self._without_exceptions(hits, words)
        by_group: dict[str, list[_Hit]] = defaultdict(list)
        for hit in hits:
            by_group[hit.group].append(hit)

        def quoted(*found: _Hit) -> tuple[str, ...]:
            ends = ((words[hit.first].start, words[hit.last].end) for hit in found)
            return tuple(unfolded(text, start, end) for start, end in ends)

        for name, category in self.categories.items():
            if categories is not None and name not in categories:
                continue
            for group in category.refuse:
                if found := by_group.get(group):
                    return Finding(name, group, quoted(found[0]))
            for rule in category.near:
                one, other = (by_group.get(group, []) for group in rule.groups)
                if pair := _nearest(one, other, rule.within):
                    return Finding(name, "+".join(rule.groups), quoted(*pair))
        return None

    def _without_exceptions(self, hits: list[_Hit], words: list[Word]) -> list[_Hit]:
        excepted = bytearray(len(words))
        for exception in self._exceptions.find(words):
            for at in range(exception.first, exception.last + 1):
                excepted[at] = 1
        return [hit for hit in hits if not all(excepted[hit.first : hit.last + 1])]


def _nearest(one: list[_Hit], other: list[_Hit], within: int) -> tuple[_Hit, _Hit] | None:
    """A pair of hits that are near enough. Both lists are in the order of the text."""
    at = 0
    for hit in one:
        while at < len(other) and other[at].first < hit.first - within:
            at += 1
        if at < len(other) and other[at].first <= hit.first + within:
            return hit, other[at]
    return None


def _all(words: Mapping[str, list[str]]) -> Iterable[str]:
    return (phrase for phrases in words.values() for phrase in phrases)


@lru_cache(maxsize=4)
def load_rules(path: Path) -> PromptRules:
    """Raises KinoraError(INVALID_INPUT) if the file is not one of rules."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        return PromptRules(RuleFile.model_validate(found))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        problem = first["msg"].removeprefix("Value error, ")
        raise _invalid(path, f"{where}: {problem}" if where else problem) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise _invalid(path, getattr(error, "strerror", None) or str(error)) from None


def _invalid(path: Path, problem: str) -> KinoraError:
    sentence = f"The rules for prompts in {path.name} cannot be used: {problem}."
    return KinoraError(ErrorCode.INVALID_INPUT, sentence)
