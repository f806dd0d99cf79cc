"""Who may call, how often, and with what."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from setting_groups.machine_settings import MachineSettings
from setting_values import (
    SPLINE,
    Blank,
    api_address,
    keys_by_name,
    origins,
    spline_address,
    split,
)


class CallerSettings(MachineSettings):
    max_queue: int = Field(
        default=100, ge=1, description="Maximum length of the queue; further clips are refused."
    )
    max_jobs_per_visitor: int = Field(
        default=40,
        ge=1,
        description="Maximum number of unfinished clips per visitor. Every clip of a batch, of "
        "drafts and of a comparison counts.",
    )
    max_batch: int = Field(
        default=32,
        ge=1,
        le=1000,
        description="Maximum number of clips in a batch. Larger ones than "
        "KINORA_MAX_JOBS_PER_VISITOR or KINORA_CLIPS_PER_MINUTE are refused, too.",
    )
    api_keys: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(keys_by_name)] = Field(
        default={},
        description="API keys as `name:key`, separated by commas. If set, the API requires one "
        "of them as `Authorization: Bearer`; the page stays open.",
    )
    clips_per_minute: int = Field(
        default=60,
        ge=0,
        description="API rate limit: clips per caller and minute; 0: no limit. Every clip of a "
        "batch counts, unless it is refused.",
    )
    clips_per_day: int = Field(
        default=0,
        ge=0,
        description="API rate limit: clips per caller and 24 hours; 0: no limit.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = Field(
        default=(),
        description="Addresses or networks of proxies whose `X-Forwarded-For` is trusted, "
        "separated by commas. Default on a Space: the private networks.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = Field(
        default=(),
        description="Origins whose pages may call the API, separated by commas; `*` for all. Their "
        "requests are sent without the visitor's cookie.",
    )
    embed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(origins)] = Field(
        default=(),
        description="Origins that may show the page in an iframe, separated by commas "
        "(`https://example.org`, `https://*.example.org`, or `*` for all). The Hub may always show "
        "a Space.",
    )
    max_image_mb: float = Field(
        default=64, gt=0, description="Maximum size of an uploaded image, in megabytes."
    )
    max_image_megapixels: float = Field(
        default=200,
        gt=0,
        description="Maximum resolution of an uploaded image, in megapixels; large images are "
        "scaled down. Decoding takes up to 16 bytes of memory per pixel, far less for JPEGs.",
    )
    max_video_upload_mb: float = Field(
        default=100, gt=0, description="Maximum size of an uploaded clip, in megabytes."
    )
    enhancer_url: Annotated[str | None, Blank, BeforeValidator(api_address)] = Field(
        default=None,
        description="Address of an OpenAI-compatible API (`https://host/v1`) that prompts are sent "
        "to when a visitor presses Improve. Unset: there is no such button.",
    )
    enhancer_key: SecretStr | None = Field(
        default=None, description="Key for KINORA_ENHANCER_URL, sent as `Authorization: Bearer`."
    )
    enhancer_model: str = Field(
        default="gpt-4o-mini", description="Name of the model at KINORA_ENHANCER_URL."
    )
    enhancer_timeout_s: float = Field(
        default=20, gt=0, le=120, description="Time limit for improving a prompt, in seconds."
    )
    enhancer_per_minute: int = Field(
        default=10, ge=1, description="Rate limit: improved prompts per caller and minute."
    )

    spline_scene: Annotated[str | None, Blank, BeforeValidator(spline_address)] = Field(
        default=None,
        description="Public address of a Spline scene (`https://my.spline.design/...`), shown in "
        "place of the light on the stage. Visitors' browsers then load it from there; unset, the "
        "page contacts no other host.",
    )
    public_gallery: bool = Field(
        default=False,
        description="Whether visitors may publish their shared clips in a public gallery, at `/c`.",
    )

    @property
    def scene_origin(self) -> str | None:
        """The only other host that the page contacts, where the operator has set one."""
        return SPLINE if self.spline_scene else None

    @property
    def max_image_bytes(self) -> int:
        return int(self.max_image_mb * 1_000_000)

    @property
    def max_video_upload_bytes(self) -> int:
        return int(self.max_video_upload_mb * 1_000_000)

    @property
    def may_be_framed(self) -> bool:
        """Whether another site may show the page, so that the cookie must work in an iframe."""
        return self.on_space or bool(self.embed_origins)
