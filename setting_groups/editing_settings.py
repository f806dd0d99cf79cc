"""What edits of finished clips use."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from setting_values import Blank


class EditingSettings(BaseModel):
    interpolation_model: Annotated[str | None, Blank] = Field(
        default=None,
        description="Weights of RIFE (4.6 or later) for the operation `interpolate`, as "
        "`owner/name/file.safetensors` on the Hub or the path of a file, such as "
        "`Comfy-Org/Frame-Interpolation/rife_v4.26.safetensors`. "
        "Unset: ffmpeg's motion compensation.",
    )
    upscale_model: Annotated[str | None, Blank] = Field(
        default=None,
        description="Weights of an upscaler for the operation `upscale`, in the same form: "
        "Real-ESRGAN's networks, or with the package spandrel many others. "
        "Unset: a resampler with mild sharpening.",
    )
