"""The visible mark and the invisible watermark of every clip."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from envfile import Folder
from setting_values import Blank


class MarkSettings(BaseModel):
    mark_text: Annotated[str | None, Blank] = Field(
        default=None,
        max_length=80,
        description="Text of a visible mark on every clip, such as `Made with AI`, docs/policy.md. "
        "Unset: no mark.",
    )
    mark_picture: Annotated[Folder | None, Blank] = Field(
        default=None,
        description="PNG file of a visible mark, with transparency; used in place of "
        "KINORA_MARK_TEXT.",
    )
    mark_corner: Literal["top-left", "top-right", "bottom-left", "bottom-right"] = Field(
        default="bottom-right", description="Where the mark is."
    )
    mark_size: float = Field(
        default=6,
        ge=2,
        le=50,
        description="Height of the mark in percent of the clip's shorter side.",
    )
    mark_opacity: float = Field(
        default=0.7, gt=0, le=1, description="Opacity of the mark, up to 1."
    )

    watermark: Annotated[str | None, Blank] = Field(
        default=None,
        max_length=16,
        description="Short text that is hidden in the frames of every clip, such as `Kinora`, "
        "docs/policy.md. It needs the package `invisible-watermark`, takes about half a second a "
        "frame, and is lost where a clip is cut or resized. Unset: no watermark.",
    )

    @property
    def draws_mark(self) -> bool:
        return bool(self.mark_text or self.mark_picture)
