"""What of the words is cut off while a clip is sampled, as its tokenizers really do it.

Every family's pipeline calls its tokenizers with `truncation`; each gets a class of its own for the
time of the call, which compares what went in with what was kept. Knows tokenizers; knows no job.
"""

from __future__ import annotations

import bisect
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelines.engine.patching import own_class
from pipelines.models.prompt_length import CALLED, cut_off
from pipelines.request import Adjustment, FittedRequest

log = logging.getLogger(__name__)

ALIKE = 16
"""So many characters at the beginning say which text a tokenizer was given."""


@contextmanager
def unread_words(
    pipe: Any, name: str, fitted: FittedRequest, on_change: Callable[[Adjustment], None]
) -> Iterator[None]:
    """Reports at the end, unless it was known before. `name` is the model's."""
    watch = _Watch({each: text for each in CALLED if (text := getattr(fitted, each))})
    try:
        with ExitStack() as stack:
            for tokenizer in _tokenizers(pipe):
                stack.enter_context(_watched(tokenizer, watch))
            yield
    finally:
        known = {change.field: change.used for change in fitted.adjustments}
        for each, (read, limit) in watch.read.items():
            if watch.texts[each][read:].strip():
                change = cut_off(name, each, watch.texts[each], read, limit)
                if known.get(each) != change.used:
                    on_change(change)


@dataclass
class _Watch:
    texts: dict[str, str]
    read: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    """Of each text the most characters that any of the encoders reads, and its tokens."""

    def saw(self, given: str, kept: int, limit: int | None) -> None:
        """A tokenizer got `given` and kept that many characters of it."""
        whole, read_part = _plain(given), len(_plain(given[:kept]))
        for each, text in self.texts.items():
            wanted = _plain(text)
            at = whole.find(wanted[:ALIKE])
            if at < 0:
                continue
            there = _common(whole[at:], wanted)
            characters = _position(text, min(there, read_part - at))
            before = self.read.get(each, (-1, None))[0]
            if characters > before:
                self.read[each] = characters, limit


def _plain(text: str) -> str:
    """As pipelines clean captions: without capitals and further spaces."""
    return " ".join(text.lower().split())


def _common(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _position(text: str, plain: int) -> int:
    """Where in the text as typed that many plain characters end."""
    if plain >= len(_plain(text)):
        return len(text)
    ends = range(len(text) + 1)
    return bisect.bisect_right(ends, max(0, plain), key=lambda end: len(_plain(text[:end]))) - 1


def _tokenizers(pipe: Any) -> list[Any]:
    found: list[Any] = []
    for part in getattr(pipe, "components", {}).values():
        for each in (part, getattr(part, "tokenizer", None)):
            is_one = hasattr(each, "model_max_length") and callable(each)
            if is_one and not any(each is known for known in found):
                found.append(each)
    return found


@contextmanager
def _watched(tokenizer: Any, watch: _Watch) -> Iterator[None]:
    kind = type(tokenizer)

    def call(self: Any, text: Any = None, *args: Any, **kwargs: Any) -> Any:
        result = kind.__call__(self, text, *args, **kwargs)
        if self is tokenizer and kwargs.get("truncation"):
            try:
                for each in [text] if isinstance(text, str) else text or ():
                    _look(kind, tokenizer, each, kwargs, watch)
            except Exception:  # a report only: the clip is made all the same
                log.warning("Checking prompt truncation failed.", exc_info=True)
        return result

    with own_class(tokenizer, {"__call__": call}):
        yield


def _look(kind: Any, tokenizer: Any, text: str, kwargs: dict[str, Any], watch: _Watch) -> None:
    limit = kwargs.get("max_length") or tokenizer.model_max_length
    adds = kwargs.get("add_special_tokens", True)
    room = limit - (tokenizer.num_special_tokens_to_add() if adds else 0)
    places = bool(getattr(tokenizer, "is_fast", False))
    content = kind.__call__(
        tokenizer, text, add_special_tokens=False, truncation=False, return_offsets_mapping=places
    )
    ids: list[int] = content["input_ids"]
    if len(ids) <= room:
        kept = len(text)
    elif places:
        kept = max((end for _, end in content["offset_mapping"][:room]), default=0)
    else:
        kept = len(tokenizer.decode(ids[:room]))
    watch.saw(text, kept, limit)
