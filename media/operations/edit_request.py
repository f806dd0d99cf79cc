"""The request for an edit: which clips, what is done to them in which order, and the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from media.operations.operation import Number
from media.operations.outputs import MAX_TARGET_MB, OutputFile, OutputFormat
from media.operations.registry import AnyOperation, read_operation
from pipelines.request import Quality
from pipelines.validation_errors import invalid_input

MAX_CLIPS = 20
MAX_OPERATIONS = 20

ClipId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
"""The id of one of the caller's own clips, or of an uploaded clip."""


class EditRequest(BaseModel):
    """Operations on one clip or several. Without a `join` among them, several clips are joined
    first, with cuts; operations before a `join` change each of the clips."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clips: tuple[ClipId, ...] = Field(
        min_length=1, max_length=MAX_CLIPS, description="Ids of own clips or uploads, in order."
    )
    operations: tuple[AnyOperation, ...] = Field(
        default=(), max_length=MAX_OPERATIONS, description="In the order in which they are applied."
    )
    format: OutputFormat = Field(default="mp4", description="What file is made.")
    quality: Quality = Field(default="medium", description="Higher makes a larger file.")
    target_mb: Number | None = Field(
        default=None,
        ge=0.1,
        le=MAX_TARGET_MB,
        description="The size that the file must not exceed, in MB, instead of a quality.",
    )

    def output_file(self, comment: str = "") -> OutputFile:
        return OutputFile(self.format, self.quality, self.target_mb, comment)


def read_edit_request(values: Mapping[str, Any]) -> EditRequest:
    """Raises KinoraError(INVALID_INPUT) with a sentence about the first wrong value."""
    operations = values.get("operations")
    if isinstance(operations, list | tuple):
        for each in operations:
            if isinstance(each, Mapping):  # a better sentence than that of the union
                read_operation(each)
    try:
        return EditRequest.model_validate(dict(values))
    except ValidationError as error:
        raise invalid_input(error) from None
