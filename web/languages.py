"""The languages of the page, of error messages and of share pages: `presets/languages`.

The code has its texts in English. At the edge, where a response is made, a text is looked up in the
catalogue of the wanted language: "Step 3 of 20" finds the entry "Step {n} of {m}". A text without
an entry stays English. `ui/static/language.js` does the same in the browser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from starlette.requests import Request

from errors import split_sentence
from settings import ROOT

FOLDER = ROOT / "presets" / "languages"
COOKIE = "kinora-language"
"""Holds the visitor's choice; the page sets it."""
ENGLISH = "en"
PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
"""One letter stands for a number, a word for anything."""
TEXTS_THEMSELVES = ("time", "label", "reason", "field")
"""Words that stand for a text of ours, or for a value where they have no entry."""
ISOLATED = ("\u2068", "\u2069")
"""Around a value from left to right in a text from right to left, so that both stay in order."""
MAY_BE_SENTENCES = ("prompt", "quote", "title")
NUMBER, ANYTHING = r"(-?\d+(?:\.\d+)?)", r"(.+?)"
SENTENCE_ENDS = r"[.?!…][\"”»」]?"
WITHIN_A_SENTENCE = rf"((?:(?!{SENTENCE_ENDS}\s).)+?)"
"""Of a text in several sentences, an entry takes only its own."""
NO_NAME = r"(?!(?:The|This|That|These|Those|There|Your|Its|It|An?|No|Each|Shot \d+:) )"
"""How a name does not begin: “{name} cannot be read.” is not about “The sound”."""
HAS_SENTENCES = re.compile(r"[.?!·] |: \{reason\}$")

Entry = str | Mapping[str, str]
"""A translation, or its forms by the plural of the first number: `one`, `few`, `other`, ..."""


@dataclass(frozen=True)
class Pattern:
    regex: re.Pattern[str]
    names: list[str]
    entry: Entry


@dataclass(frozen=True)
class Language:
    tag: str
    name: str
    dir: str
    texts: Mapping[str, Entry]

    @cached_property
    def patterns(self) -> list[Pattern]:
        """The entries with values, those that say most first."""
        keys = [key for key in self.texts if PLACEHOLDER.search(key)]
        keys.sort(key=lambda key: -len(PLACEHOLDER.sub("", key)))
        return [Pattern(_regex(k), PLACEHOLDER.findall(k), self.texts[k]) for k in keys]

    def translate(self, text: str) -> str:
        """Sentence by sentence where the whole text has no entry."""
        if not self.texts or not text:
            return text
        found = self._whole(text)
        if found is not None:
            return found
        first, rest = split_sentence(text)
        if not rest:
            return text
        space = "" if self.tag[:2] in ("zh", "ja") else " "
        return f"{self._whole(first) or first}{space}{self.translate(rest)}"

    def _whole(self, text: str) -> str | None:
        entry = self.texts.get(text)
        if isinstance(entry, str) and entry:
            return entry
        for pattern in self.patterns:
            if pattern.entry and (found := pattern.regex.fullmatch(text)):
                return self._fill(pattern, found.groups())
        return None

    def _fill(self, pattern: Pattern, values: tuple[str, ...]) -> str:
        by_name = dict(zip(pattern.names, values, strict=True))
        form = pattern.entry
        if not isinstance(form, str):
            number = next((v for name, v in by_name.items() if len(name) == 1), "0")
            form = form.get(plural(self.tag, number), form["other"])

        def value(found: re.Match[str]) -> str:
            text = by_name.get(found[1], found[0])
            if found[1] in TEXTS_THEMSELVES and (own := self.translate(text)) != text:
                return own
            is_mixed = self.dir == "rtl" and len(found[1]) > 1
            return f"{ISOLATED[0]}{text}{ISOLATED[1]}" if is_mixed else text

        return PLACEHOLDER.sub(value, form)


def _regex(key: str) -> re.Pattern[str]:
    parts = PLACEHOLDER.split(key)
    names = parts[1::2]
    for at, part in enumerate(parts):
        parts[at] = re.escape(part) if at % 2 == 0 else _group(part, key)
    if names and not parts[-1] and parts[-2] == WITHIN_A_SENTENCE:
        parts.append("(?<![.?!…])")
    if names and not parts[0] and names[0] == "name":
        parts[0] = NO_NAME
    return re.compile("".join(parts), re.DOTALL)


def _group(name: str, key: str) -> str:
    if len(name) == 1:
        return NUMBER
    is_free = name in MAY_BE_SENTENCES or (name in TEXTS_THEMSELVES and HAS_SENTENCES.search(key))
    return ANYTHING if is_free else WITHIN_A_SENTENCE


def plural(tag: str, number: str) -> str:
    """The category of a number in CLDR's rules, for our languages and numbers below a million."""
    n = float(number)
    match tag[:2]:
        case "zh" | "ja" | "ko":
            return "other"
        case "fr" | "pt":
            return "one" if 0 <= abs(n) < 2 else "other"
        case "hi":
            return "one" if 0 <= n <= 1 else "other"
        case "ar":
            return _arabic_plural(n)
        case "es":
            return "one" if n == 1 else "other"
        case _:
            return "one" if n == 1 and "." not in number else "other"


def _arabic_plural(n: float) -> str:
    if n in (0, 1, 2):
        return ("zero", "one", "two")[int(n)]
    if n != int(n):
        return "other"
    rest = int(n) % 100
    return "few" if 3 <= rest <= 10 else "many" if rest >= 11 else "other"


@lru_cache(maxsize=1)
def languages() -> dict[str, Language]:
    """By their tags, English first."""
    found = {ENGLISH: Language(ENGLISH, "English", "ltr", {})}
    for path in sorted(FOLDER.glob("*.json")):
        body = json.loads(path.read_text(encoding="utf-8"))
        found[path.stem] = Language(path.stem, body["name"], body["dir"], body["texts"])
    return found


def language_of(request: Request, *, cookie: bool = False) -> Language:
    """The language for a response: with `cookie` the visitor's choice, else what Accept-Language
    names first that we have, else English."""
    wanted = [request.cookies.get(COOKIE, "")] if cookie else []
    return choose([*wanted, *accepted(request.headers.get("accept-language", ""))])


def choose(tags: list[str]) -> Language:
    """The first that we have, by its primary subtag: pt-BR is served with pt."""
    by_primary = {tag.split("-")[0]: language for tag, language in languages().items()}
    for tag in tags:
        if found := by_primary.get(tag.lower().split("-")[0]):
            return found
    return by_primary[ENGLISH]


def accepted(header: str) -> list[str]:
    """The tags of Accept-Language, the most wanted first; what cannot be read is left out."""
    found: list[tuple[float, str]] = []
    for part in header[:1000].split(","):
        tag, _, parameter = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", parameter)
        q = float(weight[1]) if weight else 0.0 if parameter else 1.0
        if re.fullmatch(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*", tag.strip()) and q > 0:
            found.append((q, tag.strip()))
    return [tag for _, tag in sorted(found, key=lambda each: -each[0])]
