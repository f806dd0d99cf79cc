"""The styles that a caller may use: those of the app, and those that the caller saved."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from jobs.saved import SavedItems
from pipelines.styles import Style, load_styles, read_styles, write_styles

log = logging.getLogger(__name__)


class CallerStyles:
    def __init__(self, saved: SavedItems) -> None:
        self._saved = saved

    def available(self, owner: str | None) -> Mapping[str, Style]:
        """By id: the owner's first. One that a later version adds under the id of an owner's is
        hidden by it."""
        if owner is None:
            return load_styles()
        own = {style.id: style for style in self.own(owner)}
        return own | {each: style for each, style in load_styles().items() if each not in own}

    def own(self, owner: str) -> list[Style]:
        found: list[Style] = []
        for item in self._saved.list(owner, "style"):
            try:
                found.append(Style.model_validate(item.body))
            except ValidationError:  # saved by a version that accepted more
                log.warning("Saved style not readable (id=%s).", item.name)
        return found

    def save(self, owner: str, style_id: str, fields: Mapping[str, Any]) -> Style:
        """Raises KinoraError(INVALID_INPUT), which names the field, CONFLICT for too many."""
        try:
            style = Style.model_validate({**fields, "id": style_id})
        except ValidationError as error:
            raise _invalid(error) from None
        self._put(owner, [style])
        return style

    def import_yaml(self, owner: str, data: bytes) -> list[Style]:
        """Saves every style of the file or none. Raises KinoraError."""
        styles = read_styles(data)
        self._put(owner, styles)
        return styles

    def export_yaml(self, owner: str) -> str:
        """A file for `import_yaml`. Raises KinoraError(NOT_FOUND) if there is nothing in it."""
        own = self.own(owner)
        if not own:
            raise KinoraError(ErrorCode.NOT_FOUND, "You have no styles of your own yet.")
        return write_styles(own)

    def delete(self, owner: str, style_id: str) -> None:
        """Raises KinoraError(NOT_FOUND)."""
        self._saved.delete(owner, "style", style_id)

    def _put(self, owner: str, styles: list[Style]) -> None:
        taken = next((style for style in styles if style.id in load_styles()), None)
        if taken:
            raise KinoraError(
                ErrorCode.CONFLICT,
                f"There is a style “{taken.id}” already. Choose another id for yours.",
                details={"field": "id"},
            )
        bodies = {
            style.id: style.model_dump(mode="json", exclude_defaults=True) for style in styles
        }
        self._saved.put(owner, "style", bodies)


def _invalid(error: ValidationError) -> KinoraError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    reason = f"{reason[:1].lower()}{reason[1:]}"
    return KinoraError(
        ErrorCode.INVALID_INPUT,
        f"The style cannot be saved: {field}: {reason}.",
        details={"field": field},
    )
