"""Translates what a pipeline of diffusers raises into a sentence with its meaning.

The whole error, with its traceback, is for the log.
"""

from __future__ import annotations

import ast
import dis
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from errors import KinoraError, split_sentence
from pipelines.models.cards import ModelCard
from pipelines.models.failures import Reason, failure, is_out_of_memory, missing_package
from pipelines.models.missing_packages import missing_names

UPSTREAM = ("diffusers", "transformers")
OURS = ("pipelines", "jobs", "media")
"""Packages whose frames decide whose error it is; those of other packages are skipped."""

REFUSALS = (ValueError, TypeError, NotImplementedError)
"""How pipelines refuse their arguments: where they raise it, rather than come upon it."""
FAILURES = (
    *REFUSALS,
    ImportError,
    AttributeError,
    NameError,
    LookupError,
    AssertionError,
    RuntimeError,
)
HARDWARE = re.compile(r"\b(?:cuda|cudnn|cublas|nccl|hip|mps|driver)", re.IGNORECASE)

LONGEST = 200
"""Characters of a pipeline's message that are shown."""
CLEANED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"https?://\S+"), ""),
    (re.compile(r"<class '(?:\w+\.)*(\w+)'>"), r"\1"),
    (re.compile(r"<([\w.]+)[^<>]*\bat 0x[0-9a-f]+>"), r"\1"),
    (re.compile(r"\btensor\([^()]*(?:\([^()]*\)[^()]*)*\)"), "a tensor"),
    (re.compile(r"(?<![\w.:])(?:~|\.{1,2}|[A-Za-z]:)?[\\/](?:[\w.@+-]+[\\/])*[\w.@+-]+"), "a file"),
    (re.compile(r"`+([^`]*)`+"), r"\1"),
    (re.compile(r"[“”\"]"), "'"),
    (re.compile(r"\s+"), " "),
)
"""Parts of messages that say nothing to a user, or too much, and what replaces them."""


@contextmanager
def pipeline_errors_as_kinora_errors(card: ModelCard) -> Iterator[None]:
    """Raises KinoraError(MODEL_REFUSED) for errors that diffusers raises in the block; other errors
    pass."""
    try:
        yield
    except Exception as error:
        found = pipeline_error(error, card.name)
        if found is None:
            raise
        raise found from error


def pipeline_error(error: Exception, name: str) -> KinoraError | None:
    """The KinoraError for an error that came from within diffusers or transformers; None for
    others, for out of memory, and for failures of the hardware."""
    if isinstance(error, KinoraError) or is_out_of_memory(error) or not is_upstream(error):
        return None
    if package := missing_package(error) or _unimported_package(error):
        return failure(Reason.NEEDS_PACKAGE, name, package)
    if isinstance(error, REFUSALS) and _is_raised(error):
        return failure(Reason.PIPELINE_REFUSED, name, meaning(error))
    # subclasses of RuntimeError are those of the hardware
    is_runtime = isinstance(error, RuntimeError) and not isinstance(error, REFUSALS)
    if is_runtime and (type(error) is not RuntimeError or HARDWARE.search(str(error))):
        return None
    if isinstance(error, FAILURES):
        return failure(Reason.PIPELINE_FAILED, name, meaning(error))
    return None


def is_upstream(error: BaseException) -> bool:
    """Whether the innermost frame of diffusers, transformers or ours is not ours."""
    packages = [
        str(link.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        for link in _frames(error)
        # diffusers raises there for attributes that we look up
        if link.tb_frame.f_code.co_name != "__getattr__"
    ]
    deciding = [each for each in packages if each in UPSTREAM or each in OURS]
    return bool(deciding) and deciding[-1] in UPSTREAM


def _frames(error: BaseException) -> list[TracebackType]:
    """The innermost last."""
    links: list[TracebackType] = []
    link = error.__traceback__
    while link is not None:
        links.append(link)
        link = link.tb_next
    return links


def _is_raised(error: BaseException) -> bool:
    """Whether a `raise` raised it, so that its message is about the arguments."""
    last = _frames(error)[-1]
    return last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _unimported_package(error: BaseException) -> str | None:
    """The package of a name that is not defined because its import is skipped without it
    (`if is_torchvision_available(): import torchvision`)."""
    if not isinstance(error, NameError) or not error.name:
        return None
    try:
        source = inspect.getsource(inspect.getmodule(_frames(error)[-1].tb_frame) or object)
    except (OSError, TypeError):
        return None
    found = missing_names(ast.parse(source)).get(error.name)
    return found.package if found else None


def meaning(error: BaseException) -> str:
    """The first sentence of the error's message, without paths, addresses and code, of at most
    `LONGEST` characters."""
    text = str(error) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"{text} is missing"
    for pattern, replacement in CLEANED:
        text = pattern.sub(replacement, text)
    first, rest = split_sentence(text.strip())
    if rest and len(first) + len(rest) < LONGEST:
        first = f"{first} {rest}"
    if len(first) > LONGEST:
        first = first[:LONGEST].rsplit(" ", 1)[0].rstrip(",;:(") + " …"
    return first if first.endswith((".", "!", "?", "…")) else f"{first}."
