"""Every setting, from the environment or a `.env` file beside app.py.

The README's table is made from the descriptions here. Knows no other modules but `errors`,
`envfile` and `setting_values`.
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
from setting_values import dtype_name, keys_by_name, none_if_empty, origins, split

ROOT = Path(__file__).resolve().parent
VERSION = "0.1.0"
"""As in pyproject.toml and in CHANGELOG.md."""


def _default_data_dir() -> Path:
    disk = Path("/data")
    if os.environ.get("SPACE_ID") and disk.is_dir() and _can_write(disk):
        return disk
    return ROOT / "data"


def _can_write(folder: Path) -> bool:
    """Tried: a bucket that belongs to another user is writable by its permissions alone."""
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
    """Environment names are KINORA_<FIELD>, or the alias that other systems already use."""

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
        description="Where clips, pictures, the database and caches are kept. "
        "Default: `data` beside app.py; `/data` on a Space that has it.",
    )
    models_dir: Folder = Field(
        default=ROOT / "presets" / "models",
        description="The folder with the model cards (`*.yaml`).",
    )
    default_text_to_video_model: str | None = Field(
        default=None,
        validation_alias="DEFAULT_TEXT_TO_VIDEO_MODEL",
        description="The card used for text to video when none is chosen. "
        "Default: the one that says `usual: true`.",
    )
    default_image_to_video_model: str | None = Field(
        default=None,
        validation_alias="DEFAULT_IMAGE_TO_VIDEO_MODEL",
        description="The card used for image to video when none is chosen. "
        "Default: the one for text to video, if it can.",
    )
    model_variant: str | None = Field(
        default=None,
        validation_alias="MODEL_VARIANT",
        description="The weight variant to load, such as `fp16`, where a repository has several.",
    )
    torch_dtype: Dtype = Field(
        default="auto",
        validation_alias="TORCH_DTYPE",
        description="`auto`, `float32`, `bfloat16` or `float16`. "
        "auto: bfloat16 on a GPU and on CPUs that multiply it, else float32.",
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
        description="The longest clip accepted, in seconds.",
    )
    max_video_file_size_mb: float = Field(
        default=500,
        gt=0,
        validation_alias="MAX_VIDEO_FILE_SIZE",
        description="The largest video file written, in megabytes.",
    )
    request_timeout_s: float = Field(
        default=3600,
        gt=0,
        validation_alias="REQUEST_TIMEOUT",
        description="The longest one clip may take, in seconds.",
    )
    database_url: str = Field(
        default_factory=_default_database_url,
        validation_alias="DATABASE_URL",
        description="An SQLAlchemy URL. Default: SQLite in the data folder.",
    )
    hf_token: SecretStr | None = Field(
        default=None,
        validation_alias="HF_TOKEN",
        description="A Hugging Face token, needed for gated models only.",
    )
    max_queue: int = Field(
        default=100, ge=1, description="How many clips may wait before new ones are refused."
    )
    max_jobs_per_visitor: int = Field(
        default=4, ge=1, description="How many unfinished clips one visitor may have."
    )
    max_batch: int = Field(
        default=32, ge=1, le=1000, description="How many clips one batch may have."
    )
    api_keys: Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(keys_by_name)] = Field(
        default={},
        description="Keys for programs, as `name:key` with commas between. When set, the API "
        "wants one of them as `Authorization: Bearer`; the page stays open.",
    )
    clips_per_minute: int = Field(
        default=30,
        ge=0,
        description="How many clips one caller of the API may ask for in a minute; 0: no limit.",
    )
    clips_per_day: int = Field(
        default=0,
        ge=0,
        description="How many clips one caller of the API may ask for in 24 hours; 0: no limit.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = Field(
        default=(),
        description="Addresses or networks, with commas between, whose `X-Forwarded-For` is "
        "believed. On a Space: the private networks.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = Field(
        default=(),
        description="Origins of other sites whose pages may call the API, with commas between; "
        "`*` for all. Their calls come without the visitor's cookie.",
    )
    embed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(origins)] = Field(
        default=(),
        description="Origins of other sites that may show the page in an iframe, with commas "
        "between (`https://example.org`, `https://*.example.org`, or `*` for all). The Hub may "
        "always show a Space.",
    )
    max_image_mb: float = Field(
        default=64, gt=0, description="The largest picture accepted, in megabytes."
    )
    max_image_megapixels: float = Field(
        default=200,
        gt=0,
        description="The largest picture accepted, in megapixels; what is within it is reduced. "
        "While one is decoded it takes up to 16 bytes of memory a pixel, JPEGs far less.",
    )
    max_video_upload_mb: float = Field(
        default=100, gt=0, description="The largest clip accepted to work over, in megabytes."
    )
    max_disk_gb: Annotated[float | None, Blank] = Field(
        default=None,
        gt=0,
        description="How much room finished clips may take, in gigabytes: the oldest go first. "
        "Unset: no limit.",
    )
    keep_clips_days: Annotated[float | None, Blank] = Field(
        default=None,
        gt=0,
        description="How many days finished clips are kept. Unset: for ever.",
    )
    loras_dir: Folder | None = Field(
        default=None,
        description="A folder with LoRA files (`*.safetensors`), offered by name. "
        "Default: `loras` in the data folder.",
    )
    lora_hub: bool | None = Field(
        default=None,
        description="Whether LoRAs may be fetched from the Hub by id. Default: yes, but not on "
        "a Space.",
    )
    max_loaded_models: int = Field(
        default=2,
        ge=1,
        description="How many models stay loaded; the least recently used goes first.",
    )
    profile: Literal["fast", "balanced", "small"] = Field(
        default="balanced",
        description="How a model is run: `fast` (compiled, steps skipped where they hardly "
        "differ), `balanced`, or `small` (as little memory as possible).",
    )
    offload: Literal["auto", "none", "model", "group"] = Field(
        default="auto",
        description="What stays off the GPU until it is needed: `none`, whole parts (`model`), "
        "blocks (`group`), or `auto`: as little as fits.",
    )
    attention_backend: Literal["auto", "native", "xformers", "flash", "sage"] = Field(
        default="auto",
        description="How attention is computed; used where it is installed and takes the model's "
        "masks. auto: PyTorch's own, or `flash` with the profile fast.",
    )
    step_cache: Literal["auto", "off", "on"] = Field(
        default="auto",
        description="Skip what hardly changes between steps. auto: with the profile fast only.",
    )
    compile: Literal["auto", "off", "on"] = Field(
        default="auto",
        description="Compile the model's blocks before the first step. "
        "auto: on a GPU with the profile fast.",
    )
    allow_any_model: bool | None = Field(
        default=None,
        description="Accept any Hugging Face id of a diffusers video pipeline as a model. "
        "Default: yes on your own machine; on a Space, as KINORA_ALLOW_HEAVY_MODELS.",
    )
    allow_heavy_models: bool | None = Field(
        default=None,
        description="On a Space, also offer and accept models that must be downloaded first, that "
        "run slowly there, or, on ZeroGPU, that are not loaded before launch. Default: no on a "
        "Space, yes on your own machine.",
    )
    local_models_dir: Folder | None = Field(
        default=None,
        description="A folder with diffusers pipelines of your own; `local/NAME` is the one in "
        "its folder NAME.",
    )
    redis_url: str | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Where Redis is, if clips are made by workers on other machines: "
        "`redis://[:password@]host:6379/0`. Or give REDIS_HOST (and REDIS_PORT).",
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
        description="Where clips are kept, if several machines share them: `file:///shared` or "
        "`s3://bucket/folder`. Default: the data folder.",
    )
    executor: Literal["auto", "process", "inline", "redis"] = Field(
        default="auto",
        description="Where clips are made: `process` (a supervised child), `inline` "
        "(this process), `redis` (workers behind Redis), or `auto`: redis where REDIS_URL is set, "
        "inline on ZeroGPU, else process.",
    )
    previews: bool = Field(
        default=True, description="Show a moving preview while a clip takes shape."
    )
    space_id: str | None = Field(
        default=None,
        validation_alias="SPACE_ID",
        description="Set by Hugging Face Spaces; not by you.",
    )
    zero_gpu: bool = Field(
        default=False,
        validation_alias="SPACES_ZERO_GPU",
        description="Set by Hugging Face ZeroGPU; not by you.",
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
        """`allow_any_model` with its default resolved."""
        return self.heavy_models if self.allow_any_model is None else self.allow_any_model

    @property
    def may_be_framed(self) -> bool:
        """Whether another site may show the page, so that its cookie has to work there."""
        return self.on_space or bool(self.embed_origins)

    @property
    def heavy_models(self) -> bool:
        """`allow_heavy_models` with its default resolved."""
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
        """`executor` with auto resolved."""
        if self.executor == "auto":
            return "redis" if self.redis_address else "inline" if self.zero_gpu else "process"
        return self.executor

    @classmethod
    def load(cls) -> Settings:
        """The settings of this process, or a sentence that names each wrong one."""
        envfile.warn_of_misspelt(os.environ, _names())
        file = cls.model_config.get("env_file")
        found = envfile.read_settings(file, _names()) if isinstance(file, str | Path) else {}
        given = {_names()[name]: value for name, value in found.items()}
        try:
            return cls(_env_file=None, **given)  # pyright: ignore[reportCallIssue]
        except ValidationError as error:
            wrong = "; ".join(
                f"{_place(file, str(e['loc'][0]))}: {e['msg'].removeprefix('Value error, ')}"
                for e in error.errors()
                if e["loc"]
            )
            raise KinoraError(
                ErrorCode.INVALID_INPUT, f"These settings cannot be used. {wrong}."
            ) from None

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """(environment name, default, description) of every setting, for people."""
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
    """Every name that sets a field, in capitals, and what the model calls the field."""
    names = {f"KINORA_{field.upper()}": field for field in Settings.model_fields}
    return names | {env_name(field): field for field in Settings.model_fields}


def _place(file: object, field_or_alias: str) -> str:
    """The setting that is wrong, and where it is set."""
    name = env_name(field_or_alias)
    field = _names()[name]
    return envfile.place(file, name, [each for each, of in _names().items() if of == field])
