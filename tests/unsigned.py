"""An MP4 without its Content Credentials: their identifier and time differ with every signature."""

from __future__ import annotations

import io
from pathlib import Path

from media import mp4

C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def without_credentials(clip: Path | bytes) -> bytes:
    """All other bytes. The offsets in the index stay as they are: they count the credentials, which
    are equally long for two clips of one model."""
    data = clip if isinstance(clip, bytes) else clip.read_bytes()
    kept = bytearray()
    for atom in mp4.atoms(io.BytesIO(data), 0, len(data)):
        is_ours = atom.kind == b"uuid" and data[atom.start : atom.start + 16] == C2PA_UUID
        kept += b"" if is_ours else atom.kind + data[atom.start : atom.end]
    return bytes(kept)
