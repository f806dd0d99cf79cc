"""Translates exceptions of upstream libraries into KinoraErrors, without paths in the sentences.

The exceptions of torch, diffusers and huggingface_hub are known by name, so none is imported.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from enum import Enum

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard


class Reason(str, Enum):
    """Why a model cannot be used; sent to clients as `details["reason"]`."""

    BAD_ID = "bad_id"
    MISSING = "missing"
    WRONG_REVISION = "wrong_revision"
    GATED = "gated"
    BAD_TOKEN = "bad_token"  # noqa: S105  # the name of a failure
    OFFLINE = "offline"
    UNREACHABLE = "unreachable"
    NO_FILES = "no_files"
    NO_DISK = "no_disk"
    NO_CACHE = "no_cache"
    NOT_A_PIPELINE = "not_a_pipeline"
    NOT_VIDEO = "not_video"
    ENLARGES = "enlarges"
    HDR = "hdr"
    MODULAR = "modular"
    NEEDS_INPUT = "needs_input"
    NEEDS_PACKAGE = "needs_package"
    NO_SCHEDULER = "no_scheduler"
    UNSUPPORTED = "unsupported"
    PICKLE_ONLY = "pickle_only"
    REMOTE_CODE = "remote_code"
    UNKNOWN_LIBRARY = "unknown_library"
    UNKNOWN_CLASS = "unknown_class"
    MISSING_PACKAGE = "missing_package"
    WRONG_KIND = "wrong_kind"
    DAMAGED_INDEX = "damaged_index"
    MISSING_COMPONENT = "missing_component"
    MISSING_SHARD = "missing_shard"
    DAMAGED_FILE = "damaged_file"
    OUT_OF_MEMORY = "out_of_memory"
    PIPELINE_REFUSED = "pipeline_refused"
    PIPELINE_FAILED = "pipeline_failed"
    OTHER = "other"


SENTENCES: dict[Reason, tuple[ErrorCode, str]] = {
    Reason.BAD_ID: (
        ErrorCode.MODEL_NOT_FOUND,
        "“{name}” is no Hugging Face id. An id looks like owner/name or owner/name@revision.",
    ),
    Reason.MISSING: (
        ErrorCode.MODEL_NOT_FOUND,
        "Hugging Face has no {name}, or keeps it private. Check the name, or set HF_TOKEN.",
    ),
    Reason.WRONG_REVISION: (
        ErrorCode.MODEL_NOT_FOUND,
        "{name} has no revision “{what}” on Hugging Face. Leave the revision out, or correct it.",
    ),
    Reason.GATED: (
        ErrorCode.MODEL_NOT_FOUND,
        "{name} is gated. Accept its terms on Hugging Face and set HF_TOKEN.",
    ),
    Reason.BAD_TOKEN: (
        ErrorCode.MODEL_NOT_FOUND,
        "Hugging Face refused access to {name} with this token. Check HF_TOKEN.",
    ),
    Reason.OFFLINE: (
        ErrorCode.MODEL_NOT_FOUND,
        "{name} is not on this machine, and there is no network to fetch it.",
    ),
    Reason.UNREACHABLE: (
        ErrorCode.MODEL_NOT_FOUND,
        "{name} could not be fetched: Hugging Face did not answer. Try again.",
    ),
    Reason.NO_FILES: (
        ErrorCode.MODEL_NOT_FOUND,
        "The files of {name} are not on this machine.",
    ),
    Reason.NO_DISK: (
        ErrorCode.OUT_OF_DISK,
        "The disk is too full for {name}: {what}. Delete something and try again.",
    ),
    Reason.NO_CACHE: (
        ErrorCode.MODEL_NOT_FOUND,
        "{name} cannot be stored: the folder for downloads cannot be written. Set HF_HOME to one "
        "that can.",
    ),
    Reason.NOT_A_PIPELINE: (
        ErrorCode.MODEL_REFUSED,
        "{name} is not a diffusers pipeline: it has no model_index.json. Choose another model.",
    ),
    Reason.NOT_VIDEO: (
        ErrorCode.MODEL_REFUSED,
        "{name} makes no videos: it is a {what}. Choose another model.",
    ),
    Reason.ENLARGES: (
        ErrorCode.MODEL_REFUSED,
        "{name} enlarges clips that another model has made: it is a {what}. Choose a model that "
        "makes them.",
    ),
    Reason.HDR: (
        ErrorCode.MODEL_REFUSED,
        "{name} makes HDR frames, which Kinora cannot write to a file: it is a {what}. "
        "Choose another model.",
    ),
    Reason.MODULAR: (
        ErrorCode.MODEL_REFUSED,
        "{name} is a modular pipeline (modular_model_index.json), which Kinora cannot run yet. "
        "Choose a repository with a model_index.json.",
    ),
    Reason.NEEDS_INPUT: (
        ErrorCode.MODEL_REFUSED,
        "{name} needs {what}, which Kinora cannot give it. Choose another model.",
    ),
    Reason.NEEDS_PACKAGE: (
        ErrorCode.MODEL_REFUSED,
        "{name} needs the Python package {what}, which is not installed here. Install it and "
        "restart Kinora, or choose another model.",
    ),
    Reason.NO_SCHEDULER: (
        ErrorCode.MODEL_REFUSED,
        "{name} samples without a scheduler, which Kinora cannot follow: it is a {what}. "
        "Choose another model.",
    ),
    Reason.UNSUPPORTED: (
        ErrorCode.MODEL_REFUSED,
        "{name} does not work with the installed version of {what}. Choose another model.",
    ),
    Reason.PICKLE_ONLY: (
        ErrorCode.MODEL_REFUSED,
        "{name} offers its {what} only as a pickle, which can run any code when it is opened. "
        "Choose a repository with safetensors.",
    ),
    Reason.REMOTE_CODE: (
        ErrorCode.MODEL_REFUSED,
        "{name} wants to run code of its own for its {what}. Kinora runs no code that comes with "
        "a model.",
    ),
    Reason.UNKNOWN_LIBRARY: (
        ErrorCode.MODEL_REFUSED,
        "{name} needs “{what}”, which is no library that Kinora loads models with. "
        "Choose another model.",
    ),
    Reason.UNKNOWN_CLASS: (
        ErrorCode.MODEL_REFUSED,
        "{name} is made for another version of diffusers: this one has no {what}. "
        "Choose another model.",
    ),
    Reason.MISSING_PACKAGE: (
        ErrorCode.MODEL_REFUSED,
        "{name} needs {what}, which is not installed here. Install it with pip, or choose another "
        "model.",
    ),
    Reason.WRONG_KIND: (
        ErrorCode.MODEL_REFUSED,
        "{name} is another kind of model than it is said to be: a {what}. Choose another model.",
    ),
    Reason.DAMAGED_INDEX: (
        ErrorCode.MODEL_LOAD,
        "The index of {name} (model_index.json) is damaged. Choose another revision.",
    ),
    Reason.MISSING_COMPONENT: (
        ErrorCode.MODEL_LOAD,
        "{name} is incomplete: its {what} is missing. Choose another revision.",
    ),
    Reason.MISSING_SHARD: (
        ErrorCode.MODEL_LOAD,
        "{name} is incomplete: a file of its {what} is missing. Choose another revision.",
    ),
    Reason.DAMAGED_FILE: (
        ErrorCode.MODEL_LOAD,
        "The {what} of {name} is incomplete, damaged or of another kind.",
    ),
    Reason.OUT_OF_MEMORY: (
        ErrorCode.OUT_OF_MEMORY,
        "{name} needs more memory than is free here ({what}).",
    ),
    Reason.PIPELINE_REFUSED: (
        ErrorCode.MODEL_REFUSED,
        "{name} cannot make this clip. Its pipeline says: “{what}” Change the request, or choose "
        "another model.",
    ),
    Reason.PIPELINE_FAILED: (
        ErrorCode.MODEL_REFUSED,
        "{name} cannot make this clip. Its pipeline in diffusers failed: “{what}” Choose another "
        "model.",
    ),
    Reason.OTHER: (
        ErrorCode.MODEL_LOAD,
        "The files of {name} are incomplete, damaged or of another kind.",
    ),
}

NETWORK = {
    "ConnectError",
    "ConnectionError",
    "HfHubHTTPError",
    "NetworkError",
    "RemoteProtocolError",
    "TimeoutException",
}
PACKAGES = tuple(
    map(
        re.compile,
        (
            r"pip install (?:-U |--upgrade )?([A-Za-z][\w-]*)",
            r"`([\w.-]+)` is not installed",
            r"requires the ([\w-]+) library",
        ),
    )
)
"""How diffusers and transformers name a missing package, the name for pip first."""
TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}


def failure(reason: Reason, name: str, what: str = "") -> KinoraError:
    """The error for a model called `name`; `what` is the component, class, library or revision that
    the sentence names."""
    code, sentence = SENTENCES[reason]
    details = {"reason": reason.value, "model": name}
    return KinoraError(code, sentence.format(name=name, what=what), details=details)


def hub_reason(error: BaseException) -> Reason | None:
    """Why a request to the Hub failed; None where the error is of another kind."""
    # subclasses before their bases: GatedRepoError is a RepositoryNotFoundError, and
    # LocalEntryNotFoundError an EntryNotFoundError
    names = _names(error)
    status = _status(error)
    if "OfflineModeIsEnabled" in names or "LocalEntryNotFoundError" in names:
        return Reason.OFFLINE
    if "GatedRepoError" in names:
        return Reason.GATED
    if "RevisionNotFoundError" in names:
        return Reason.WRONG_REVISION
    if "HFValidationError" in names:
        return Reason.BAD_ID
    if "RepositoryNotFoundError" in names:
        return Reason.MISSING
    if status in (401, 403):
        return Reason.BAD_TOKEN
    if "EntryNotFoundError" in names:
        return Reason.MISSING_COMPONENT
    return Reason.UNREACHABLE if names & NETWORK else None


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed when it is retried."""
    names = {c.__name__ for c in type(error).__mro__}
    if "OfflineModeIsEnabled" in names:
        return False
    if "HfHubHTTPError" in names:
        return _status(error) in TRANSIENT_STATUS
    return bool(names & NETWORK)


def loading_error(error: BaseException, card: ModelCard, component: str = "") -> KinoraError:
    """The KinoraError for an error while a model was downloaded or loaded."""
    if isinstance(error, KinoraError):
        return error
    if is_out_of_memory(error):
        return failure(Reason.OUT_OF_MEMORY, card.name, f"{card.needs.ram_gb:g} GB")
    if is_out_of_disk(error):
        return failure(Reason.NO_DISK, card.name, f"it needs {card.needs.disk_gb:g} GB")
    if package := missing_package(error):
        return failure(Reason.NEEDS_PACKAGE, card.name, package)
    if component:
        return failure(Reason.DAMAGED_FILE, card.name, component.replace("_", " "))
    return failure(hub_reason(error) or Reason.OTHER, card.name, card.revision or "main")


def missing_package(error: BaseException) -> str | None:
    """The package whose absence an ImportError reports; None for other errors."""
    for link in _chain(error):
        if isinstance(link, ModuleNotFoundError) and link.name:
            return link.name.partition(".")[0]
        if isinstance(link, ImportError):
            found = (each.search(str(link)) for each in PACKAGES)
            return next((each[1] for each in found if each), None)
    return None


def is_out_of_disk(error: BaseException) -> bool:
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(isinstance(e, OSError) and e.errno in full for e in _chain(error))


def is_out_of_memory(error: BaseException) -> bool:
    """On a GPU or on the CPU, for which torch has no exception type, only a message."""
    return any(
        isinstance(e, MemoryError)
        or type(e).__name__ == "OutOfMemoryError"
        or (isinstance(e, RuntimeError) and "DefaultCPUAllocator" in str(e))
        for e in _chain(error)
    )


def _status(error: BaseException) -> int | None:
    for link in _chain(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _names(error: BaseException) -> set[str]:
    return {c.__name__ for e in _chain(error) for c in type(e).__mro__}


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()  # a chain may be a cycle
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
