"""Whether a file says that it was generated: in Content Credentials, XMP or other tags."""

from __future__ import annotations

from pathlib import Path

MARK = b"rainedAlgorithmicMedia"
"""The end of both of IPTC's digital source types for what a model made, wholly or in part. C2PA
stores them as plain text, too."""
PIECE_BYTES = 1 << 20


def is_marked_as_generated(path: Path) -> bool:
    """Reads the file up to the mark. Without one, nothing is known of how it was made."""
    before = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            if MARK in before + piece:
                return True
            before = piece[1 - len(MARK) :]
    return False
