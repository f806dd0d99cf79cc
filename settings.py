"""Every setting, read from the environment or from `.env` beside app.py.

`make docs` makes docs/settings.md from the descriptions.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import envfile
from envfile import Folder, sqlite_url
from errors import ErrorCode, KinoraError
from setting_values import (
    api_address,
    dtype_name,
    keys_by_name,
    none_if_empty,
    origins,
    split,
)

ROOT = Path(__file__).resolve().parent
VERSION = "0.1.0"
"""As in pyproject.toml and in CHANGELOG.md."""


def _default_data_dir() -> Path:
    disk = Path("/data")
    if os.environ.get("SPACE_ID") and disk.is_dir() and _can_write(disk):
        return disk
    return ROOT / "data"


def _can_write(folder: Path) -> bool:
    """Writes a file: a bucket of another user can look writable by its permissions."""
    probe = folder / f".kinora-{os.getpid()}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError:
        return False
    return True


def _default_database_url(fields: dict[str, Any]) -> str:
    return sqlite_url(fields["data_dir"] / "kinora.db") if "data_dir" in fields else ""


Dtype = Annotated[Literal["auto", "float32", "bfloat16", "float16"], BeforeValidator(dtype_name)]
Blank = BeforeValidator(none_if_empty)


class Settings(BaseSettings):
    """Environment names are KINORA_<FIELD>, or an alias that other systems also use."""

    model_config = SettingsConfigDict(
        env_prefix="KINORA_",
        env_file=ROOT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    data_dir: Folder = Field(
        default_factory=_default_data_dir,
        description="Folder for clips, images, the database and caches. "
        "Default: `data` beside app.py, or `/data` on a Space with storage.",
    )
    models_dir: Folder = Field(
        default=ROOT / "presets" / "models",
        description="Folder with the model cards (`*.yaml`).",
    )
    default_text_to_video_model: str | None = Field(
        default=None,
        validation_alias="DEFAULT_TEXT_TO_VIDEO_MODEL",
        description="Model for text to video when a request names none. "
        "Default: the card with `usual: true`.",
    )
    default_image_to_video_model: str | None = Field(
        default=None,
        validation_alias="DEFAULT_IMAGE_TO_VIDEO_MODEL",
        description="Model for image to video when a request names none. "
        "Default: the one for text to video, if it supports it.",
    )
    model_variant: str | None = Field(
        default=None,
        validation_alias="MODEL_VARIANT",
        description="Weight variant to load, such as `fp16`, if a repository has several.",
    )
    torch_dtype: Dtype = Field(
        default="auto",
        validation_alias="TORCH_DTYPE",
        description="`auto`, `float32`, `bfloat16` or `float16`. "
        "auto: bfloat16 on GPUs and on CPUs with fast bfloat16, otherwise float32.",
    )
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
    request_timeout_s: float = Field(
        default=3600,
        gt=0,
        validation_alias="REQUEST_TIMEOUT",
        description="Time limit for making one clip, in seconds.",
    )
    database_url: str = Field(
        default_factory=_default_database_url,
        validation_alias="DATABASE_URL",
        description="An SQLAlchemy URL. Default: SQLite in the data folder.",
    )
    hf_token: SecretStr | None = Field(
        default=None,
        validation_alias="HF_TOKEN",
        description="Hugging Face token; only needed for gated models.",
    )
    max_queue: int = Field(
        default=100, ge=1, description="Maximum length of the queue; further clips are refused."
    )
    max_jobs_per_visitor: int = Field(
        default=4, ge=1, description="Maximum number of unfinished clips per visitor."
    )
    max_batch: int = Field(
        default=32, ge=1, le=1000, description="Maximum number of clips in a batch."
    )
    api_keys: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(keys_by_name)] = Field(
        default={},
        description="API keys as `name:key`, separated by commas. If set, the API requires one "
        "of them as `Authorization: Bearer`; the page stays open.",
    )
    clips_per_minute: int = Field(
        default=30,
        ge=0,
        description="API rate limit: clips per caller and minute; 0: no limit.",
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
    max_disk_gb: Annotated[float | None, Blank] = Field(
        default=None,
        gt=0,
        description="Disk space for finished clips, in gigabytes; the oldest are deleted first. "
        "Unset: no limit.",
    )
    keep_clips_days: Annotated[float | None, Blank] = Field(
        default=None,
        gt=0,
        description="Days to keep finished clips. Unset: forever.",
    )
    loras_dir: Folder | None = Field(
        default=None,
        description="Folder with LoRA files (`*.safetensors`), which are offered by name. "
        "Default: `loras` in the data folder.",
    )
    lora_hub: bool | None = Field(
        default=None, description="Allow LoRAs from the Hub by id. Default: not on a Space."
    )
    max_loaded_models: int = Field(
        default=2,
        ge=1,
        description="How many models stay loaded; the least recently used goes first.",
    )
    profile: Literal["fast", "balanced", "small"] = Field(
        default="balanced",
        description="`fast` (compile, cache similar steps), `balanced`, or `small` (least memory).",
    )
    offload: Literal["auto", "none", "model", "group"] = Field(
        default="auto",
        description="What is kept off the GPU until needed: `none`, components (`model`), blocks "
        "(`group`), or `auto`: as little as necessary.",
    )
    attention_backend: Literal["auto", "native", "xformers", "flash", "sage"] = Field(
        default="auto",
        description="Attention backend; used if it is installed and supports the model's masks. "
        "auto: PyTorch's own, or `flash` with the profile `fast`.",
    )
    step_cache: Literal["auto", "off", "on"] = Field(
        default="auto",
        description="Reuse results that hardly change between steps. "
        "auto: with the profile `fast`.",
    )
    compile: Literal["auto", "off", "on"] = Field(
        default="auto",
        description="Compile the model's blocks before the first step. "
        "auto: on a GPU with the profile `fast`.",
    )
    allow_any_model: bool | None = Field(
        default=None,
        description="Accept the Hugging Face id of any diffusers video pipeline as a model. "
        "Default: yes; on a Space, the value of KINORA_ALLOW_HEAVY_MODELS.",
    )
    allow_heavy_models: bool | None = Field(
        default=None,
        description="On a Space, also allow models that must be downloaded first, that run slowly "
        "there, or, on ZeroGPU, that are not loaded before launch. Default: no on a Space, "
        "otherwise yes.",
    )
    clip_model: Annotated[str | None, Blank] = Field(
        default=None,
        description="Hub id or folder of a CLIP model, to score clips by their prompts.",
    )
    local_models_dir: Folder | None = Field(
        default=None,
        description="Folder with your own diffusers pipelines; `local/NAME` is the one in the "
        "folder NAME.",
    )
    redis_url: str | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Redis for workers in other processes or on other machines: "
        "`redis://[:password@]host:6379/0`. Or set REDIS_HOST (and REDIS_PORT).",
    )
    redis_host: str | None = Field(
        default=None, validation_alias="REDIS_HOST", description="See REDIS_URL."
    )
    redis_port: int = Field(
        default=6379, ge=1, le=65535, validation_alias="REDIS_PORT", description="See REDIS_URL."
    )
    artifacts_url: Annotated[str | None, Blank] = Field(
        default=None,
        validation_alias="ARTIFACTS_URL",
        description="Shared storage for clips, if there are several machines: `file:///shared` or "
        "`s3://bucket/folder`. Default: the data folder.",
    )
    executor: Literal["auto", "process", "inline", "redis"] = Field(
        default="auto",
        description="Where clips are made: `process` (a supervised child process), `inline` "
        "(this process), `redis` (workers behind Redis), or `auto`: redis if REDIS_URL is set, "
        "inline on ZeroGPU, otherwise process.",
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
    previews: bool = Field(
        default=True, description="Show a moving preview while a clip is sampled."
    )
    space_id: str | None = Field(
        default=None,
        validation_alias="SPACE_ID",
        description="Set by Hugging Face Spaces.",
    )
    zero_gpu: bool = Field(
        default=False,
        validation_alias="SPACES_ZERO_GPU",
        description="Set by Hugging Face ZeroGPU.",
    )

    @property
    def max_video_file_size_bytes(self) -> int:
        return int(self.max_video_file_size_mb * 1_000_000)

    @property
    def max_image_bytes(self) -> int:
        return int(self.max_image_mb * 1_000_000)

    @property
    def max_video_upload_bytes(self) -> int:
        return int(self.max_video_upload_mb * 1_000_000)

    @property
    def loras_folder(self) -> Path:
        return self.loras_dir or self.data_dir / "loras"

    @property
    def loras_from_hub(self) -> bool:
        return not self.on_space if self.lora_hub is None else self.lora_hub

    @property
    def any_model(self) -> bool:
        """`allow_any_model`, with its default resolved."""
        return self.heavy_models if self.allow_any_model is None else self.allow_any_model

    @property
    def may_be_framed(self) -> bool:
        """Whether another site may show the page, so that the cookie must work in an iframe."""
        return self.on_space or bool(self.embed_origins)

    @property
    def heavy_models(self) -> bool:
        """`allow_heavy_models`, with its default resolved."""
        on_space = self.on_space or self.zero_gpu
        return not on_space if self.allow_heavy_models is None else self.allow_heavy_models

    @property
    def on_space(self) -> bool:
        return bool(self.space_id)

    @property
    def redis_address(self) -> str | None:
        if self.redis_url or not self.redis_host:
            return self.redis_url
        return f"redis://{self.redis_host}:{self.redis_port}/0"

    @property
    def executor_kind(self) -> Literal["process", "inline", "redis"]:
        """`executor`, with `auto` resolved."""
        if self.executor == "auto":
            return "redis" if self.redis_address else "inline" if self.zero_gpu else "process"
        return self.executor

    @classmethod
    def load(cls) -> Settings:
        """The settings of this process. Raises KinoraError, which names each invalid one."""
        envfile.warn_of_misspelt(os.environ, _names())
        file = cls.model_config.get("env_file")
        found = envfile.read_settings(file, _names()) if isinstance(file, str | Path) else {}
        values = {_names()[name]: value for name, value in found.items()}
        try:
            return cls(_env_file=None, **values)  # pyright: ignore[reportCallIssue]
        except ValidationError as error:
            invalid = "; ".join(
                f"{_locate(file, str(e['loc'][0]))}: {e['msg'].removeprefix('Value error, ')}"
                for e in error.errors()
                if e["loc"]
            )
            raise KinoraError(ErrorCode.INVALID_INPUT, f"Invalid settings. {invalid}.") from None

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """(environment name, default, description) of every setting."""
        rows: list[tuple[str, str, str]] = []
        for name, field in cls.model_fields.items():
            value = field.get_default()
            if isinstance(value, Path):
                value = value.relative_to(ROOT)
            default = "" if value in (None, (), {}) or field.default_factory else str(value)
            rows.append((env_name(name), default, field.description or ""))
        return rows


def env_name(field_or_alias: str) -> str:
    """The environment variable that sets a field."""
    field = Settings.model_fields.get(field_or_alias)
    if field is None:
        return field_or_alias
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"KINORA_{field_or_alias.upper()}"


def _names() -> dict[str, str]:
    """Every name that sets a field, in capitals, and the name of the field."""
    names = {f"KINORA_{field.upper()}": field for field in Settings.model_fields}
    return names | {env_name(field): field for field in Settings.model_fields}


def _locate(file: object, field_or_alias: str) -> str:
    """The environment name of the setting, and the line of `.env` that sets it."""
    name = env_name(field_or_alias)
    field = _names()[name]
    aliases = [alias for alias, target in _names().items() if target == field]
    return envfile.locate(file, name, aliases)
