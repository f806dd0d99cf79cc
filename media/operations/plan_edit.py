"""From a request for an edit to the chain of its operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from media.operations.chain import Chain, plan_chain
from media.operations.edit_request import EditRequest
from media.operations.edit_sources import open_source
from media.operations.operation import JoinOperation
from media.operations.registry import OPERATIONS


def plan_edit(edit: EditRequest, clips: Sequence[Path], files: Mapping[str, Path]) -> Chain:
    """Reads the headers of the clips, and computes what comes out. `files` are by their ids.

    Raises KinoraError(INVALID_INPUT | INVALID_VIDEO | TOO_LARGE) before any work.
    """
    return plan_chain(
        [open_source(clip) for clip in clips],
        edit.operations,
        join=plain_join(),
        files=files,
    )


def plain_join() -> JoinOperation | None:
    """How several clips are joined if the request does not say it: with cuts."""
    model = OPERATIONS.get("join")
    made = model() if model else None
    return made if isinstance(made, JoinOperation) else None
