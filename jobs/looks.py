"""A look: a prompt and settings, saved by name. No pictures and clips, which are kept for a day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from errors import ErrorCode, KinoraError
from jobs.saved import SavedItem, SavedItems
from pipelines.request import REQUEST_FIELDS, GenerationRequest
from pipelines.request_fields import Kind
from pipelines.validation_errors import invalid_input

NAME = TypeAdapter(
    Annotated[
        str,
        StringConstraints(
            strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^/\\\x00-\x1f\x7f]+$"
        ),
    ]
)
DOTS = (".", "..")
"""They mean folders in an address, so looks of these names could not be read or deleted."""
INPUTS = frozenset(
    name for name, field in REQUEST_FIELDS.items() if field.is_file or field.kind is Kind.POINT
)


class Look(BaseModel):
    """As it is shown and shared: `settings` can be sent as a request, with a picture where the
    model needs one."""

    model_config = ConfigDict(frozen=True)
    name: str
    settings: dict[str, Any]
    saved_at: float


class Looks:
    def __init__(self, saved: SavedItems) -> None:
        self._saved = saved

    def list(self, owner: str) -> list[Look]:
        return [_look(item) for item in self._saved.list(owner, "look")]

    def get(self, owner: str, name: str) -> Look:
        """Raises KinoraError(NOT_FOUND)."""
        return _look(self._saved.get(owner, "look", name))

    def save(self, owner: str, name: str, settings: object) -> Look:
        """Raises KinoraError(INVALID_INPUT), which names the field, and as `SavedItems.put`."""
        name = _checked_name(name)
        self._saved.put(owner, "look", {name: _checked_settings(settings)})
        return self.get(owner, name)

    def delete(self, owner: str, name: str) -> None:
        """Raises KinoraError(NOT_FOUND)."""
        self._saved.delete(owner, "look", name)


def _look(item: SavedItem) -> Look:
    return Look(name=item.name, settings=item.body, saved_at=item.saved_at)


def _checked_name(name: str) -> str:
    try:
        found = NAME.validate_python(name)
        if found in DOTS:
            raise ValueError(found)
        return found
    except ValueError:  # pydantic's is one
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            "The name of a look has 1 to 80 letters, no slash, and is not “.” or “..”.",
            details={"field": "name"},
        ) from None


def _checked_settings(settings: object) -> dict[str, Any]:
    """Those that were given, as they are stored; pictures and clips are left out."""
    if not isinstance(settings, Mapping):
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            "A look has “settings”: an object with the fields of a request.",
            details={"field": "settings"},
        )
    kept = {str(name): value for name, value in settings.items() if name not in INPUTS}
    try:
        request = GenerationRequest.model_validate(kept)
    except ValidationError as error:
        raise invalid_input(error) from None
    return request.model_dump(mode="json", include=set(kept), exclude_none=True)
