"""Reports of shared clips, what an operator removes and blocks, and the log of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, SecretStr

from setting_values import MIN_KEY, Blank


def long_enough(value: object) -> object:
    """The error does not contain the key."""
    if isinstance(value, str) and 0 < len(value) < MIN_KEY:
        raise ValueError(f"should have at least {MIN_KEY} characters")
    return value


class ModerationSettings(BaseModel):
    admin_key: Annotated[SecretStr | None, Blank, BeforeValidator(long_enough)] = Field(
        default=None,
        description="Key for the operator's page at `/admin`, of at least 16 characters: reports, "
        "removed clips, blocks and the log (docs/moderation.md). Unset: there is no such page.",
    )
    reports_per_hour: int = Field(
        default=10, ge=1, description="Rate limit: reports of shared clips per address and hour."
    )
    keep_reports_days: float = Field(
        default=180,
        ge=0,
        description="Days to keep closed reports; 0: forever. Open ones are kept.",
    )
    keep_removed_days: float = Field(
        default=30,
        ge=0,
        description="Days to keep the files of a clip that the operator has removed, so that it "
        "can be restored or handed to an authority; 0: forever.",
    )
    audit_log_mb: float = Field(
        default=10, gt=0, description="Size of one file of the audit log, in megabytes."
    )
    keep_audit_days: float = Field(
        default=365, ge=0, description="Days to keep files of the audit log; 0: forever."
    )
    audit_prompts: bool = Field(
        default=False, description="Whether the audit log has the prompts of refused clips."
    )
