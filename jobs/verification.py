"""What a file says about its making: its Content Credentials, and the settings in its tags."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from jobs.signing import FOLDER
from media.metadata import read_comment
from media.provenance.c2pa_package import SIDECAR
from media.provenance.credential_report import Report
from settings import Settings

log = logging.getLogger(__name__)


class Verification(BaseModel):
    """`settings` are signed only where the report is valid: else anybody may have written them."""

    report: Report
    settings: dict[str, Any] | None

    @property
    def is_valid(self) -> bool:
        return self.report.state == "valid"


def verify(
    path: Path, settings: Settings, *, sidecar: Path | None = None, name: str = ""
) -> Verification:
    """`sidecar` holds the credentials of a file without a place for them; by default the file of
    that name beside it. `name` is the file's name, if `path` is a copy. Raises
    KinoraError(UNAVAILABLE) if too many wait; damaged files raise nothing."""
    from media.provenance.sandbox import read_credentials

    beside = path.with_name(path.name + SIDECAR)
    if sidecar is None and beside.is_file():
        sidecar = beside
    report = read_credentials(
        path,
        sidecar=sidecar,
        trusted=_read_text(settings.trust_list),
        own=_own_certificates(settings),
        name=name,
    )
    return Verification(report=report, settings=read_comment(path))


def _own_certificates(settings: Settings) -> str:
    """Those that this installation signs with, without keys."""
    if settings.sign_certificate:
        return _read_text(settings.sign_certificate)
    try:
        from media.provenance.certificates import self_made_chain
    except ImportError:  # the package that reads certificates is not installed
        return ""
    return self_made_chain(settings.data_dir / FOLDER)


def _read_text(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except (OSError, ValueError) as error:
        log.warning("The certificates in %s cannot be read: %s", path, error)
        return ""
