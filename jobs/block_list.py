"""Files that may not be uploaded or shared: what the operator has blocked, and near copies."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError
from jobs.audit_log import AuditEvent, AuditLog
from jobs.moderation_rows import BlockedFile, ModerationRows

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

REFUSED = "This file cannot be used here: it matches one that was removed. Choose another one."


class BlockList:
    """Thread-safe. Costs one small query while nothing is blocked."""

    def __init__(self, rows: ModerationRows, audit: AuditLog) -> None:
        self._rows, self._audit = rows, audit
        self._lock = threading.Lock()
        self._version: tuple[int, float] = (0, 0.0)
        self._digests: frozenset[str] = frozenset()
        self._hashes: list[np.ndarray] = []

    # -- for the operator --------------------------------------------------------------------------

    def block(self, job_id: str, clip: Path, others: Sequence[Path]) -> None:
        """Blocks the bytes of all of these files, and near copies of the clip's frames."""
        from media.perceptual_hash import blocked_hashes, clip_frames, to_text

        hashes = to_text(blocked_hashes(clip_frames(clip)))
        now = time.time()
        digests = dict.fromkeys(digest_of(path) for path in (clip, *others))
        rows = [
            BlockedFile(
                id=secrets.token_hex(16), job_id=job_id, at=now, sha256=digest,
                hashes=hashes if number == 0 else "",
            )
            for number, digest in enumerate(digests)
        ]  # fmt: skip
        self._rows.put_blocked_files(job_id, rows)

    # -- checks ------------------------------------------------------------------------------------

    def check_source(self, source: Path | bytes, owner: str) -> None:
        """Raises KinoraError(CONTENT_POLICY) for the bytes of a blocked file."""
        if self._read() and digest_of(source) in self._digests:
            self._refuse("blocked_file", owner)

    def check_frames(self, path: Path, owner: str) -> None:
        """Raises KinoraError(CONTENT_POLICY) for a clip or a picture of ours that is a near copy of
        a blocked clip."""
        if self._read() and self._hashes and self._is_near_copy(path):
            self._refuse("near_copy", owner)

    def check(self, clip: Path, owner: str) -> None:
        self.check_source(clip, owner)
        self.check_frames(clip, owner)

    def _is_near_copy(self, path: Path) -> bool:
        from media.perceptual_hash import clip_frames, hash_frames, is_near_copy, picture_frames

        try:
            is_picture = path.suffix in (".png", ".jpg")
            frames = picture_frames(path) if is_picture else clip_frames(path)
        except (KinoraError, OSError) as error:
            # it is stored, so it was read before: the rest of the app says what is wrong with it
            log.warning("Comparing a file with blocked ones failed: %s", error)
            return False
        found = hash_frames(frames)
        return any(is_near_copy(found, blocked) for blocked in self._hashes)

    def _read(self) -> bool:
        """Reads the list again if it has changed; False while it is empty."""
        from media.perceptual_hash import from_text

        version = self._rows.blocked_version()
        with self._lock:
            if version != self._version:
                rows = self._rows.blocked_files()
                self._digests = frozenset(row.sha256 for row in rows)
                self._hashes = [from_text(row.hashes) for row in rows if row.hashes]
                self._version = version
        return version[0] > 0

    def _refuse(self, rule: str, owner: str) -> None:
        self._audit.record(AuditEvent("refused", rule, caller=owner))
        raise KinoraError(ErrorCode.CONTENT_POLICY, REFUSED)


def digest_of(source: Path | bytes) -> str:
    """SHA-256, in hexadecimal."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    found = hashlib.sha256()
    with source.open("rb") as file:
        while part := file.read(2**20):
            found.update(part)
    return found.hexdigest()
