"""Reports how much of a prompt a model reads: text encoders truncate it to a number of tokens.

Counted before the job runs where the tokenizer's file is on this machine and the family passes it
the prompt unchanged; otherwise `pipelines/engine/truncation.py` observes it in the worker.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.models.call_signatures import call_signature
from pipelines.models.cards import ModelCard
from pipelines.request import Adjustment, FittedRequest, Task

log = logging.getLogger(__name__)

ARGUMENT = "max_sequence_length"
"""The pipelines' argument for the number of tokens; a card may set it in its `call`."""
FIELD_NAMES = {"prompt": "prompt", "negative_prompt": "negative prompt"}
MAX_QUOTED = 160
"""Characters of the unread text that are quoted."""


def note_truncation(fitted: FittedRequest, card: ModelCard) -> FittedRequest:
    """The request with an adjustment for each text that the model truncates."""
    limit = token_limit(card, fitted.task)
    if limit is None:
        return fitted
    found: list[Adjustment] = []
    for field in FIELD_NAMES:
        text = getattr(fitted, field)
        if len(text) > limit // 2:  # a token is at least one character, and special tokens are few
            read = _count_read(card, text, limit)
            if read is not None and text[read:].strip():
                found.append(truncation_adjustment(card.name, field, text, read, limit))
    if not found:
        return fitted
    return fitted.model_copy(update={"adjustments": (*fitted.adjustments, *found)})


def token_limit(card: ModelCard, task: Task) -> int | None:
    """Tokens of a prompt that are read, special ones included; None where only the worker knows."""
    usual = card.rules.prompt_tokens
    if usual is None:
        return None
    own = card.call.get(ARGUMENT)
    if isinstance(own, int):
        return own
    call = call_signature(card.classes[task]) if task in card.classes else None
    default = call.parameters.get(ARGUMENT) if call else None
    return default if isinstance(default, int) else usual


def truncation_adjustment(
    name: str, field: str, text: str, read: int, limit: int | None = None
) -> Adjustment:
    """The adjustment for a text of which only the first `read` characters are used."""
    start = _word_start(text, read)
    unread = text[start:].strip()
    if len(unread) > MAX_QUOTED:
        quoted = f"{len(unread.split())} words from “{unread[:MAX_QUOTED].rsplit(' ', 1)[0]} …” on"
    else:
        quoted = f"“{unread}”"
    so_much = f"the first {limit} tokens" if limit else "the beginning"
    return Adjustment(
        field=field,
        asked=text,
        used=text[:start].rstrip(),
        sentence=f"{name} reads {so_much} of the {FIELD_NAMES[field]}. Not read: {quoted}.",
    )


def _word_start(text: str, read: int) -> int:
    """Where the word begins in which position `read` is: a word cut in the middle is not
    understood. Scripts without spaces are cut at `read`."""
    start = read
    while 0 < start < len(text) and text[start].isascii() and text[start].isalnum():
        if not (text[start - 1].isascii() and text[start - 1].isalnum()):
            break
        start -= 1
    return start if start > 0 else read


# -- the tokenizer -------------------------------------------------------------------------------


def _count_read(card: ModelCard, text: str, limit: int) -> int | None:
    """Characters that fit into `limit` tokens; None where there is no tokenizer file."""
    file = _tokenizer_file(card)
    if file is None:
        return None
    try:
        tokenizer = _load_tokenizer(file, file.stat().st_mtime_ns)
        encoding = tokenizer.encode(text)
    except Exception:  # any damaged file: the worker will report the truncation instead
        log.warning("Tokenizer not readable (model=%s).", card.id, exc_info=True)
        return None
    special: list[int] = encoding.special_tokens_mask
    content = [at for at, is_special in enumerate(special) if not is_special]
    # special tokens, such as an end of sequence, take some of the limit
    room = limit - (len(special) - len(content))
    if len(content) <= room:
        return len(text)
    return encoding.offsets[content[room - 1]][1] if room > 0 else 0


def _tokenizer_file(card: ModelCard) -> Path | None:
    if "tokenizer" in card.parts:
        return None
    if card.local_path is not None:
        file = card.local_path / "tokenizer" / "tokenizer.json"
        return file if file.is_file() else None
    if card.is_local:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(card.repo, "tokenizer/tokenizer.json", revision=card.revision)
    return Path(found) if isinstance(found, str) else None


@lru_cache(maxsize=4)
def _load_tokenizer(file: Path, _changed_ns: int) -> Any:
    """Cached until the file changes, as a large one takes 0.1 s. Truncation is switched off, as
    some files have it configured."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json.dumps(json.loads(file.read_text("utf-8"))))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
