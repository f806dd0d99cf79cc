"""From what upstream libraries raise to our codes and sentences. No path ever gets through.

Knows the exceptions of torch, diffusers and huggingface_hub by name, so that it imports none.
"""

from __future__ import annotations

import errno
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from errors import ErrorCode, KinoraError
from pipelines.cards import ModelCard

NETWORK = {"ConnectError", "ConnectTimeout", "ReadTimeout", "ConnectionError", "HfHubHTTPError"}
OFFLINE = {"OfflineModeIsEnabled", "LocalEntryNotFoundError"}
MISSING = {"RepositoryNotFoundError", "RevisionNotFoundError", "HFValidationError"}
INCOMPLETE = {"EntryNotFoundError", "RemoteEntryNotFoundError"}


def loading_error(error: BaseException, card: ModelCard) -> KinoraError:
    """Why a model could not be fetched or loaded, for people."""
    if isinstance(error, KinoraError):
        return error
    if is_out_of_memory(error):
        return KinoraError(
            ErrorCode.OUT_OF_MEMORY,
            f"{card.name} needs more memory than is free here ({card.needs.ram_gb:g} GB).",
        )
    names = {name for e in _chain(error) for name in (c.__name__ for c in type(e).__mro__)}
    if any(isinstance(e, OSError) and e.errno == errno.ENOSPC for e in _chain(error)):
        return KinoraError(
            ErrorCode.OUT_OF_DISK,
            f"The disk is full: {card.name} needs {card.needs.disk_gb:g} GB.",
        )
    if "GatedRepoError" in names:
        return KinoraError(
            ErrorCode.MODEL_NOT_FOUND,
            f"{card.name} is gated. Accept its terms on Hugging Face and set HF_TOKEN.",
        )
    if names & MISSING:
        return KinoraError(
            ErrorCode.MODEL_NOT_FOUND,
            f"Hugging Face has no {card.name} under the name and revision its card gives.",
        )
    if names & INCOMPLETE:
        return KinoraError(
            ErrorCode.MODEL_LOAD, f"What is stored as {card.name} is not a whole diffusers model."
        )
    if names & OFFLINE:
        return KinoraError(
            ErrorCode.MODEL_NOT_FOUND,
            f"{card.name} is not on this machine, and there is no network to fetch it.",
        )
    if names & NETWORK:
        return KinoraError(
            ErrorCode.MODEL_NOT_FOUND,
            f"{card.name} could not be fetched: Hugging Face did not answer. Try again.",
        )
    return KinoraError(
        ErrorCode.MODEL_LOAD,
        f"The files of {card.name} are incomplete, damaged or of another kind.",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """On a GPU or on the CPU; torch says the second only in words."""
    return any(
        isinstance(e, MemoryError)
        or type(e).__name__ == "OutOfMemoryError"
        or (isinstance(e, RuntimeError) and "DefaultCPUAllocator" in str(e))
        for e in _chain(error)
    )


def free_memory() -> None:
    """Give back what a failed attempt held."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def memory_sentences() -> Iterator[None]:
    """Out of memory becomes a KinoraError; everything else passes."""
    try:
        yield
    except Exception as error:
        if isinstance(error, KinoraError) or not is_out_of_memory(error):
            raise
        free_memory()
        raise KinoraError(ErrorCode.OUT_OF_MEMORY) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
