"""What a clip is like where a request does not say, and how large it may get."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from setting_values import Blank


class VideoSettings(BaseModel):
    video_width: Annotated[int | None, Blank] = Field(
        default=None,
        ge=16,
        le=8192,
        validation_alias="VIDEO_WIDTH",
        description="Default width in pixels. Unset: the model's own.",
    )
    video_height: Annotated[int | None, Blank] = Field(
        default=None,
        ge=16,
        le=8192,
        validation_alias="VIDEO_HEIGHT",
        description="Default height in pixels. Unset: the model's own.",
    )
    video_frames: Annotated[int | None, Blank] = Field(
        default=None,
        ge=1,
        le=10_000,
        validation_alias="VIDEO_FRAMES",
        description="Default number of frames. Unset: the model's own.",
    )
    video_frame_rate: Annotated[int | None, Blank] = Field(
        default=None,
        ge=1,
        le=120,
        validation_alias="VIDEO_FRAME_RATE",
        description="Default frames per second. Unset: the model's own.",
    )
    video_inference_steps: Annotated[int | None, Blank] = Field(
        default=None,
        ge=1,
        le=200,
        validation_alias="VIDEO_INFERENCE_STEPS",
        description="Default sampling steps. Unset: the model's own.",
    )
    video_quality_preset: Literal["low", "medium", "high"] = Field(
        default="medium",
        validation_alias="VIDEO_QUALITY_PRESET",
        description="Default encoding quality: `low`, `medium` or `high`.",
    )
    max_video_duration_s: float = Field(
        default=30,
        gt=0,
        le=600,
        validation_alias="MAX_VIDEO_DURATION",
        description="Maximum duration of a clip, in seconds.",
    )
    max_video_file_size_mb: float = Field(
        default=500,
        gt=0,
        validation_alias="MAX_VIDEO_FILE_SIZE",
        description="Maximum size of an output file, in megabytes.",
    )
    previews: bool = Field(
        default=True, description="Show a moving preview while a clip is sampled."
    )

    @property
    def max_video_file_size_bytes(self) -> int:
        return int(self.max_video_file_size_mb * 1_000_000)
