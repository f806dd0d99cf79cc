"""Where things are kept, and for how long."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from envfile import Folder, sqlite_url
from setting_values import ROOT, Blank


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


class StorageSettings(BaseModel):
    data_dir: Folder = Field(
        default_factory=_default_data_dir,
        description="Folder for clips, images, the database and caches. "
        "Default: `data` beside app.py, or `/data` on a Space with storage.",
    )
    database_url: str = Field(
        default_factory=_default_database_url,
        validation_alias="DATABASE_URL",
        description="An SQLAlchemy URL. Default: SQLite in the data folder.",
    )
    artifacts_url: Annotated[str | None, Blank] = Field(
        default=None,
        validation_alias="ARTIFACTS_URL",
        description="Shared storage for clips, if there are several machines: `file:///shared` or "
        "`s3://bucket/folder`. Default: the data folder.",
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
