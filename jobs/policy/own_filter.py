"""A filter of the operator's own, by KINORA_CONTENT_FILTER=module:Class.

class HouseRules(ContentFilter):
    def check_prompt(self, prompt: str) -> str | None:
        return "This server makes no clips of clowns." if "clown" in prompt else None
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


class ContentFilter:
    """Accepts everything. A subclass overrides what it checks, and returns None or a sentence for
    the caller: why it is refused and what to change. It is made once in each process, without
    arguments, and used by several threads. Whatever it raises refuses the request."""

    def check_prompt(self, prompt: str) -> str | None:
        """`prompt`: after wildcards and style. Called in the server, before anything is queued."""
        return None

    def check_frames(self, frames: np.ndarray) -> str | None:
        """`frames`: some of an upload or of what was made, uint8 [F, H, W, 3]. Called in the
        worker."""
        return None


@lru_cache(maxsize=4)
def load_filter(path: str) -> ContentFilter:
    """Raises KinoraError(INVALID_INPUT) if there is no such class or it cannot be made."""
    module, _, name = path.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)()
    except Exception as error:
        log.exception("Content filter %s cannot be loaded.", path)
        raise KinoraError(
            ErrorCode.INVALID_INPUT, f"KINORA_CONTENT_FILTER cannot be loaded: {path}."
        ) from error
    if not isinstance(made, ContentFilter):
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            f"KINORA_CONTENT_FILTER must name a subclass of {__name__}.ContentFilter: {path}.",
        )
    return made


def run_filter(check: Callable[[], str | None]) -> str | None:
    """What a filter returns. Raises KinoraError(UNAVAILABLE) if it fails: what was not checked is
    not made."""
    try:
        return check()
    except Exception as error:
        log.exception("Content filter failed; the request is refused.")
        raise KinoraError(
            ErrorCode.UNAVAILABLE, "This could not be checked right now. Try again later."
        ) from error
