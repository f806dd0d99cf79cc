"""How much of a prompt a model reads: text encoders take so many tokens, and the rest is cut off.

Counted before the worker where the tokenizer's file is on this machine and the family passes it
the words as they are; `pipelines/engine/truncation.py` sees in the worker what really was cut
off. Light.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.models.cards import ModelCard
from pipelines.models.signatures import call_of
from pipelines.request import Adjustment, FittedRequest, Task

log = logging.getLogger(__name__)

ARGUMENT = "max_sequence_length"
"""What most pipelines call it; a card may set it in its `call`."""
CALLED = {"prompt": "prompt", "negative_prompt": "negative prompt"}
SHOWN = 160
"""As many characters of what is not read are quoted; of more, the beginning."""


def with_unread_words(fitted: FittedRequest, card: ModelCard) -> FittedRequest:
    """The same with an adjustment for each text of which the model does not read all."""
    limit = tokens_read(card, fitted.task)
    if limit is None:
        return fitted
    found: list[Adjustment] = []
    for field in CALLED:
        text = getattr(fitted, field)
        if len(text) > limit // 2:  # a token is a character at least; special ones are few
            read = _read_of(card, text, limit)
            if read is not None and text[read:].strip():
                found.append(cut_off(card.name, field, text, read, limit))
    if not found:
        return fitted
    return fitted.model_copy(update={"adjustments": (*fitted.adjustments, *found)})


def tokens_read(card: ModelCard, task: Task) -> int | None:
    """Tokens of a prompt, special ones included; None where only the worker can say."""
    usual = card.rules.reads
    if usual is None:
        return None
    own = card.call.get(ARGUMENT)
    if isinstance(own, int):
        return own
    call = call_of(card.classes[task]) if task in card.classes else None
    default = call.parameters.get(ARGUMENT) if call else None
    return default if isinstance(default, int) else usual


def cut_off(name: str, field: str, text: str, read: int, limit: int | None = None) -> Adjustment:
    """`read` characters of `text` are read."""
    start = _word_start(text, read)
    unread = text[start:].strip()
    if len(unread) > SHOWN:
        quoted = f"{len(unread.split())} words from “{unread[:SHOWN].rsplit(' ', 1)[0]} …” on"
    else:
        quoted = f"“{unread}”"
    so_much = f"the first {limit} tokens" if limit else "the beginning"
    return Adjustment(
        field=field,
        asked=text,
        used=text[:start].rstrip(),
        sentence=f"{name} reads {so_much} of the {CALLED[field]}. Not read: {quoted}.",
    )


def _word_start(text: str, read: int) -> int:
    """A word that is cut in the middle is not read. Scripts without spaces are cut where it is."""
    start = read
    while 0 < start < len(text) and text[start].isascii() and text[start].isalnum():
        if not (text[start - 1].isascii() and text[start - 1].isalnum()):
            break
        start -= 1
    return start if start > 0 else read


# -- the tokenizer -------------------------------------------------------------------------------


def _read_of(card: ModelCard, text: str, limit: int) -> int | None:
    """Characters that fit into `limit` tokens; None where the tokenizer is not here."""
    file = _tokenizer_file(card)
    if file is None:
        return None
    try:
        tokenizer = _tokenizer(file, file.stat().st_mtime_ns)
        encoding = tokenizer.encode(text)
    except Exception:  # of any kind: the worker will say it
        log.warning("Tokenizer not readable (model=%s).", card.id, exc_info=True)
        return None
    special: list[int] = encoding.special_tokens_mask
    content = [at for at, is_special in enumerate(special) if not is_special]
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
def _tokenizer(file: Path, _changed_ns: int) -> Any:
    """It takes a tenth of a second for the largest; some keep their truncation in the file."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json.dumps(json.loads(file.read_text("utf-8"))))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
