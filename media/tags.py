"""Reads the tags of an untrusted MP4 or WebM, such as its comment, without decoding it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from errors import ErrorCode, KinoraError
from media.probe import untrusted_input

MAX_BYTES = 8_000_000
"""Of all tags together: a workflow of ComfyUI can have a megabyte."""
MAX_TAGS = 200
TIMEOUT_S = 20.0
EBML = b"\x1a\x45\xdf\xa3"
HEADER = ";FFMETADATA1"


def demuxer_of(head: bytes) -> str | None:
    """By the first 16 bytes of a file: `mov`, `matroska`, or None for anything else."""
    if head.startswith(EBML):
        return "matroska"
    return "mov" if head[4:8] in (b"ftyp", b"moov", b"wide", b"mdat", b"free") else None


def read_tags(path: Path) -> dict[str, str]:
    """The file's own tags by their names in lower case; empty if it has none or is damaged. Raises
    KinoraError(INVALID_VIDEO) if it is neither an MP4 nor a WebM."""
    with path.open("rb") as file:
        demuxer = demuxer_of(file.read(16))
    if demuxer is None:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This is no clip. Use an MP4 or WebM.")
    command = untrusted_input(path, demuxer, 1, 1, level="quiet", decoders="none")
    command += ["-map_metadata", "0", "-f", "ffmetadata", "pipe:1"]
    at = command.index("-protocol_whitelist")
    command[at + 1] = "file,pipe"
    with tempfile.TemporaryFile() as kept:  # the output can be as large as the file
        try:
            subprocess.run(  # noqa: S603  # our own arguments, no shell
                command, stdin=subprocess.DEVNULL, stdout=kept, stderr=subprocess.DEVNULL,
                timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {}
        if kept.tell() > MAX_BYTES:
            return {}
        kept.seek(0)
        return parse_ffmetadata(kept.read().decode("utf-8", "replace"))


def parse_ffmetadata(text: str) -> dict[str, str]:
    """The global section: `key=value` lines, with backslashes before `=`, `;`, `#`, `\\` and line
    breaks. Of a tag that comes twice, the first."""
    found: dict[str, str] = {}
    for line in _lines(text.removeprefix(HEADER).removeprefix("\n")):
        if line.startswith("[") or len(found) >= MAX_TAGS:  # the section of a chapter or a stream
            break
        key, separator, value = _split(line)
        if separator and not line.startswith((";", "#")):
            found.setdefault(key.lower(), value)
    return found


def _lines(text: str) -> list[str]:
    """Split at line breaks that have no backslash before them."""
    lines: list[str] = []
    start = position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == "\n":
            lines.append(text[start:position])
            start = position + 1
        position += 1
    return [*lines, text[start:]]


def _split(line: str) -> tuple[str, bool, str]:
    """Key, whether there is a value, and value, without their backslashes."""
    parts: list[list[str]] = [[], []]
    which, position = 0, 0
    while position < len(line):
        letter = line[position]
        if letter == "\\" and position + 1 < len(line):
            position += 1
            letter = line[position]
        elif letter == "=" and which == 0:
            which, position = 1, position + 1
            continue
        parts[which].append(letter)
        position += 1
    return "".join(parts[0]), which == 1, "".join(parts[1])
