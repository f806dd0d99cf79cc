"""Folds text so that disguised words become equal: case, accents, look-alike letters, digits for
letters, stretched and spaced words. Linear in the length of the text."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

MAX_WORD = 40
"""Longer words are compared by their beginning: no rule is as long."""
MIN_SPACED, MAX_SPACED = 3, 20
"""Letters that stand alone and spell a word. Two are enough in scripts without spaces."""

LOOK_ALIKES = {
    # Cyrillic, Greek, Armenian, Cherokee and Latin letters that look like a plain Latin one:
    # a selection of Unicode's confusables.txt (UTS 39)
    "a": "аɑαᎪ",
    "b": "ЬвβᏴ",
    "c": "сϲᏟ",
    "d": "ԁժᎠ",
    "e": "еєεᎬℯ",
    "g": "ɡցᏀ",
    "h": "һհнᎻ",
    "i": "іιıɩᎥ",
    "j": "јϳᎫ",
    "k": "кκᏦ",
    "l": "ӏⅼǀᏞł",
    "m": "мᎷ",
    "n": "ոπпη",
    "o": "оοσօøᴏ",
    "p": "рρᏢ",
    "q": "ԛզ",
    "r": "гᎡɾ",
    "s": "ѕտᏚꜱ",
    "t": "тτᎢ",
    "u": "υսцʋ",
    "v": "ѵνᏙ",
    "w": "ԝωшᎳ",
    "x": "хχ",
    "y": "уγүʏ",
    "z": "ʐᏃ",
    "ss": "ß",
    "ae": "æ",
    "oe": "œ",
}
PLAIN = {
    ord(form): plain
    for plain, letters in LOOK_ALIKES.items()
    for letter in letters
    for form in {letter, letter.lower()}
}

LEET = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "@": "a", "$": "s"}
LEET |= {"!": "i", "|": "i", "€": "e", "£": "l", "+": "t"}
ONE_AS_L = str.maketrans(LEET | {"1": "l", "!": "l", "|": "l"})
ONE_AS_I = str.maketrans(LEET)

PIECE = re.compile(r"\S+")
ENDS = "!.,;:?+|"
"""Punctuation at the end of a word that would otherwise be read as a letter."""
PART = re.compile(r"[^\W_]+")
LETTERS_AND_SIGNS = re.compile(r"[^\w@$!|€£+]|_")
STRETCHED = re.compile(r"(.)\1{2,}", re.DOTALL)
BLOCKS = re.compile("[\u2e80-\u9fff\uf900-\ufaff\u3040-\u30ff]")
"""Scripts without spaces between words."""


class Word(NamedTuple):
    forms: frozenset[str]
    """What the word may be, folded: more than one where it is disguised."""
    start: int
    end: int
    """Where it is in the folded text that `fold` returns."""


class _Folding(dict[int, str]):
    """For str.translate: each character is folded once, and alone, because normalizing a long run
    of combining marks takes quadratic time."""

    def __missing__(self, code: int) -> str:
        folded = PLAIN.get(code) or "".join(
            PLAIN.get(ord(part), part)
            for part in unicodedata.normalize("NFKD", chr(code)).casefold()
            if unicodedata.category(part) not in ("Mn", "Me", "Mc", "Cf", "Cc", "Cs")
            or part.isspace()
        )
        if len(self) < 20_000:  # bounded, whatever is sent
            self[code] = folded
        return folded


_FOLDING = _Folding()


def fold(text: str) -> str:
    """Lower case, without accents and invisible characters, look-alikes as Latin letters."""
    return text.translate(_FOLDING)


def unfolded(text: str, start: int, end: int) -> str:
    """What `fold(text)[start:end]` was before."""
    at, first, last = 0, len(text), len(text)
    for n, letter in enumerate(text):
        first = n if at <= start else first
        if at >= end:
            last = n
            break
        at += len(_FOLDING[ord(letter)])
    return text[first:last]


class Vocabulary:
    """The words that single letters may spell."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._words = frozenset(word for word in words if 2 <= len(word) <= MAX_SPACED)
        sizes: dict[str, set[int]] = defaultdict(set)
        for word in self._words:
            if len(word) >= MIN_SPACED or BLOCKS.match(word):
                sizes[word[:2]].add(len(word))
        self._sizes = {beginning: tuple(found) for beginning, found in sizes.items()}

    def spelt_at(self, text: str, at: int) -> Iterator[str]:
        """The words of the vocabulary that begin at this letter."""
        for size in self._sizes.get(text[at : at + 2], ()):
            if (word := text[at : at + size]) in self._words:
                yield word


def split_words(
    folded: str, vocabulary: Vocabulary, blocks: re.Pattern[str] | None = None
) -> list[Word]:
    """The words of a text that was folded. Letters that stand alone are read as the words of the
    vocabulary that they spell. `blocks` finds the words of scripts that write without spaces; they
    become words of their own."""
    found: list[Word] = []
    letters: list[Word] = []
    for word in _words(folded, blocks):
        if all(len(form) == 1 for form in word.forms):
            letters.append(word)
            continue
        found += _spaced(letters, vocabulary)
        letters.clear()
        found.append(word)
    return found + _spaced(letters, vocabulary)


def _spaced(letters: list[Word], vocabulary: Vocabulary) -> list[Word]:
    """The letters, and at the first one of each word that they spell, this word."""
    written = "".join(min(word.forms) for word in letters)
    spellings = {written, written.translate(ONE_AS_I), written.translate(ONE_AS_L)}
    found: list[Word] = []
    for n, letter in enumerate(letters):
        spelt = [word for text in spellings for word in vocabulary.spelt_at(text, n)]
        if spelt:
            end = letters[n + max(map(len, spelt)) - 1].end
            letter = Word(letter.forms.union(spelt), letter.start, end)
        found.append(letter)
    return found


def _words(folded: str, blocks: re.Pattern[str] | None) -> Iterator[Word]:
    for piece in PIECE.finditer(folded):
        start, text = piece.start(), piece[0]
        if blocks is not None and BLOCKS.search(text):
            for found in blocks.finditer(text):
                at = start + found.start()
                yield Word(frozenset((found[0],)), at, start + found.end())
            if not any(letter.isascii() and letter.isalpha() for letter in text):
                if len(text) == 1:
                    yield Word(frozenset((text,)), start, start + 1)
                continue
        parts = list(PART.finditer(text))
        is_disguised = len(parts) > 1 or any(sign in text for sign in LEET)
        whole = _forms(LETTERS_AND_SIGNS.sub("", text.rstrip(ENDS))) if is_disguised else ()
        for n, part in enumerate(parts):
            forms = frozenset(_forms(part[0]))
            # once is enough: as a form of its first part
            yield Word(
                forms | frozenset(whole) if n == 0 else forms,
                start + part.start(),
                start + (len(text) if n == 0 and whole else part.end()),
            )
        if not parts and whole:
            yield Word(frozenset(whole), start, piece.end())


@lru_cache(maxsize=4096)
def _forms(word: str) -> tuple[str, ...]:
    word = word[: 4 * MAX_WORD]
    forms = {word}
    if not word.isalpha() and any(letter.isalpha() for letter in word):
        forms |= {word.translate(ONE_AS_I), word.translate(ONE_AS_L)}
    for form in list(forms):
        if STRETCHED.search(form):
            forms |= {STRETCHED.sub(r"\1", form), STRETCHED.sub(r"\1\1", form)}
    return tuple(form[:MAX_WORD] for form in forms if form)
