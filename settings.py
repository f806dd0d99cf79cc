"""Every setting, read from the environment or from `.env` beside app.py.

The fields are in `setting_groups/`. `make docs` makes docs/settings.md from the descriptions.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

import envfile
from errors import ErrorCode, KinoraError
from setting_groups.caller_settings import CallerSettings
from setting_groups.editing_settings import EditingSettings
from setting_groups.machine_settings import MachineSettings
from setting_groups.mark_settings import MarkSettings
from setting_groups.model_settings import ModelSettings
from setting_groups.moderation_settings import ModerationSettings
from setting_groups.policy_settings import PolicySettings
from setting_groups.provenance_settings import ProvenanceSettings
from setting_groups.storage_settings import StorageSettings
from setting_groups.video_settings import VideoSettings
from setting_values import ROOT

VERSION = "0.1.0"
"""As in pyproject.toml and in CHANGELOG.md."""


class Settings(
    PolicySettings,
    ProvenanceSettings,
    MarkSettings,
    ModerationSettings,
    VideoSettings,
    EditingSettings,
    ModelSettings,
    CallerSettings,
    MachineSettings,
    StorageSettings,
    BaseSettings,
):
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
