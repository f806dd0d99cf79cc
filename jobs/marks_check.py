"""Checks the settings of the visible mark and the watermark before any clip is accepted."""

from __future__ import annotations

from errors import ErrorCode, KinoraError
from settings import Settings


def check_marks(settings: Settings) -> None:
    """Raises KinoraError(INVALID_INPUT): without its mark, every clip would fail."""
    if settings.watermark:
        from media.invisible_watermark import check_package

        check_package()
    if settings.mark_picture:
        from media.visible_mark import VisibleMark

        try:
            VisibleMark(picture=settings.mark_picture).layer(256, 256)
        except KinoraError as error:
            sentence = (
                f"KINORA_MARK_PICTURE is not a PNG file that can be read: {settings.mark_picture}."
            )
            raise KinoraError(ErrorCode.INVALID_INPUT, sentence) from error
