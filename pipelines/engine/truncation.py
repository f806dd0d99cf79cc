"""Reports which part of a prompt the tokenizers cut off while a clip is sampled.

Pipelines call their tokenizers with `truncation`. During the run each tokenizer has a class of its
own that compares the text with what was kept.
"""

from __future__ import annotations

import bisect
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelines.engine.patching import own_class
from pipelines.models.prompt_length import FIELD_NAMES, truncation_adjustment
from pipelines.request import Adjustment, FittedRequest

log = logging.getLogger(__name__)

PREFIX_CHARACTERS = 16
"""Characters at the beginning of a text by which it is found in a tokenizer's input."""


@contextmanager
def report_truncation(
    pipe: Any, name: str, fitted: FittedRequest, on_change: Callable[[Adjustment], None]
) -> Iterator[None]:
    """Reports an adjustment for each truncated text when the block ends, unless `fitted` has it
    already. `name` is the model's."""
    watch = _TruncationWatch(
        {each: text for each in FIELD_NAMES if (text := getattr(fitted, each))}
    )
    try:
        with ExitStack() as stack:
            for tokenizer in _tokenizers(pipe):
                stack.enter_context(_watch_tokenizer(tokenizer, watch))
            yield
    finally:
        known = {change.field: change.used for change in fitted.adjustments}
        for each, (read, limit) in watch.read.items():
            if watch.texts[each][read:].strip():
                change = truncation_adjustment(name, each, watch.texts[each], read, limit)
                if known.get(each) != change.used:
                    on_change(change)


@dataclass
class _TruncationWatch:
    texts: dict[str, str]
    read: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    """Per text the most characters that any encoder reads, and that encoder's token limit."""

    def record(self, text_in: str, kept: int, limit: int | None) -> None:
        """A tokenizer was called with `text_in` and kept that many characters of it."""
        # the input may be a template around the text, and the pipeline may have cleaned it
        normalized_input, kept_length = _normalized(text_in), len(_normalized(text_in[:kept]))
        for each, text in self.texts.items():
            normalized_text = _normalized(text)
            at = normalized_input.find(normalized_text[:PREFIX_CHARACTERS])
            if at < 0:  # a tokenizer of the other prompt
                continue
            common = _common_prefix(normalized_input[at:], normalized_text)
            characters = _original_position(text, min(common, kept_length - at))
            before = self.read.get(each, (-1, None))[0]
            if characters > before:
                self.read[each] = characters, limit


def _normalized(text: str) -> str:
    """Lower case and single spaces, as pipelines clean captions."""
    return " ".join(text.lower().split())


def _common_prefix(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _original_position(text: str, plain: int) -> int:
    """The position in the original text where that many normalised characters end."""
    if plain >= len(_normalized(text)):
        return len(text)
    ends = range(len(text) + 1)
    return (
        bisect.bisect_right(ends, max(0, plain), key=lambda end: len(_normalized(text[:end]))) - 1
    )


def _tokenizers(pipe: Any) -> list[Any]:
    found: list[Any] = []
    for part in getattr(pipe, "components", {}).values():
        for each in (part, getattr(part, "tokenizer", None)):
            is_one = hasattr(each, "model_max_length") and callable(each)
            if is_one and not any(each is known for known in found):
                found.append(each)
    return found


@contextmanager
def _watch_tokenizer(tokenizer: Any, watch: _TruncationWatch) -> Iterator[None]:
    kind = type(tokenizer)

    def call(self: Any, text: Any = None, *args: Any, **kwargs: Any) -> Any:
        result = kind.__call__(self, text, *args, **kwargs)
        if self is tokenizer and kwargs.get("truncation"):
            try:
                for each in [text] if isinstance(text, str) else text or ():
                    _measure(kind, tokenizer, each, kwargs, watch)
            except Exception:  # only a report is missing then
                log.warning("Checking prompt truncation failed.", exc_info=True)
        return result

    with own_class(tokenizer, {"__call__": call}):
        yield


def _measure(
    kind: Any, tokenizer: Any, text: str, kwargs: dict[str, Any], watch: _TruncationWatch
) -> None:
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
    watch.record(text, kept, limit)
