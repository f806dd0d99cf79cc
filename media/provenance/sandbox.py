"""Reads Content Credentials in a separate process with limits on memory and time.

The library parses a dozen containers, certificates and CBOR: a hostile file must neither crash the
server nor occupy it. The process has no secrets in its environment and fetches nothing.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errors import ErrorCode, KinoraError
from media.image_sandbox import INHERITED_ENV, ROOT
from media.provenance import c2pa_package
from media.provenance.claims import Relationship
from media.provenance.credential_report import Report, no_report, report_of

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
"""Wall time, for a very busy machine; the child limits its CPU time."""
READ_SLOTS = threading.BoundedSemaphore(2)
QUEUE_SLOTS = threading.BoundedSemaphore(10)
"""Each waiting request holds a server thread, so only a few may wait; others are rejected."""
MAX_SIDECAR_BYTES = 16_000_000
MAX_OUTPUT_BYTES = 16_000_000


def read_credentials(
    path: Path, *, sidecar: Path | None = None, trusted: str = "", own: str = "", name: str = ""
) -> Report:
    """What a file's Content Credentials say and whether they hold. `trusted` and `own` are PEM: the
    roots that are trusted, and those of this installation. `name` is the file's name, if `path` is
    a copy.

    Raises KinoraError(UNAVAILABLE) if too many requests wait. Damaged files raise nothing.
    """
    if sidecar is not None and sidecar.stat().st_size > MAX_SIDECAR_BYTES:
        return no_report("unreadable")
    request = {
        "what": "read",
        "path": str(path.resolve()),
        "type": file_type(path, name),
        "sidecar": str(sidecar.resolve()) if sidecar else None,
        "trusted": trusted,
        "own": own,
    }
    found = _run_child(request)
    if found["outcome"] == "found":
        return report_of(found["report"], is_own=found["is_own"])
    return no_report(found["outcome"])


def read_ingredient(
    path: Path, file_id: str, title: str, relationships: Sequence[Relationship], *, name: str = ""
) -> dict[Relationship, bytes]:
    """A file's own credentials for the clips that are made from it, by what those have of it; empty
    if it has none or they cannot be read. Raises as `read_credentials`."""
    if not _has_mark(path):
        return {}
    request = {
        "what": "ingredient",
        "path": str(path.resolve()),
        "type": file_type(path, name),
        "id": file_id,
        "title": title,
        "relationships": list(relationships),
    }
    archives = _run_child(request).get("archives", {})
    return {kind: base64.b64decode(data) for kind, data in archives.items()}


MARKS: tuple[tuple[bytes, int, str], ...] = (
    (b"\x89PNG", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"\x1aE\xdf\xa3", 0, "video/webm"),
    (b"WEBP", 8, "image/webp"),
    (b"AVI ", 8, "video/avi"),
    (b"WAVE", 8, "audio/wav"),
    (b"ftypavi", 4, "image/avif"),
    (b"ftyphei", 4, "image/heic"),
    (b"ftypmif1", 4, "image/heic"),
    (b"ftypqt", 4, "video/quicktime"),
    (b"ftyp", 4, "video/mp4"),
    (b"II*\0", 0, "image/tiff"),
    (b"MM\0*", 0, "image/tiff"),
    (b"ID3", 0, "audio/mpeg"),
    (b"fLaC", 0, "audio/flac"),
    (b"%PDF", 0, "application/pdf"),
)


def file_type(path: Path, name: str = "") -> str:
    """The MIME type by the first bytes; by the name for files without a known start."""
    with path.open("rb") as file:
        head = file.read(16)
    for mark, offset, kind in MARKS:
        if head[offset:].startswith(mark):
            return kind
    return c2pa_package.TYPES.get(
        Path(name or path.name).suffix.lower(), "application/octet-stream"
    )


def _has_mark(path: Path, piece: int = 1 << 20) -> bool:
    """Whether the letters that every C2PA manifest has are in the file: a process for every upload
    would be slow."""
    before = b""
    with path.open("rb") as file:
        while data := file.read(piece):
            if b"c2pa" in before + data:
                return True
            before = data[-3:]
    return False


def _run_child(request: dict[str, Any]) -> dict[str, Any]:
    if not QUEUE_SLOTS.acquire(blocking=False):
        sentence = "Too many files are being verified. Try again in a moment."
        raise KinoraError(ErrorCode.UNAVAILABLE, sentence)
    try:
        with READ_SLOTS:
            return _read_in_child(request)
    finally:
        QUEUE_SLOTS.release()


def _read_in_child(request: dict[str, Any]) -> dict[str, Any]:
    env = {name: os.environ[name] for name in INHERITED_ENV if name in os.environ}
    with tempfile.TemporaryFile() as output:  # a file, whose size the child's limits bound
        try:
            done = subprocess.run(
                [sys.executable, "-m", "media.provenance.sandbox_child"],
                input=json.dumps(request).encode(),
                stdout=output,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
                env=env | {"PYTHONDONTWRITEBYTECODE": "1"},
                timeout=TIMEOUT_S,
            )
            output.seek(0)
            return json.loads(output.read(MAX_OUTPUT_BYTES))
        except subprocess.TimeoutExpired:
            log.warning("Reading Content Credentials timed out.")
        except ValueError:  # killed by its limits, or crashed: in both cases because of the file
            log.warning("Reading Content Credentials failed (exit status %d).", done.returncode)
    return {"outcome": "unreadable"}
