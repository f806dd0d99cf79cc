"""Reads subtitles: SubRip (.srt) and WebVTT (.vtt)."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from media.operations.operation import StreamInfo, refuse

MAX_CUES = 5000
MAX_CUE_LETTERS = 1000
MAX_HOURS = 100

TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
TIMES = re.compile(rf"^\s*{TIME}\s*-->\s*{TIME}(?:\s+(.*))?$")
TAGS = re.compile(r"</?[a-zA-Z0-9][^<>]*>|\{\\[^{}]*\}|<\d[\d:.,]*>")
"""Of HTML in SubRip, of cues and times in WebVTT, of ASS in SubRip."""
WEBVTT = re.compile(r"^WEBVTT([ \t].*)?$")
NOT_CUES = re.compile(r"^(NOTE|STYLE|REGION)([ \t].*)?$")


@dataclass(frozen=True)
class Cue:
    """A text and when it is shown, in seconds."""

    start_s: Fraction
    end_s: Fraction
    text: str
    """Lines, without markup."""


def parse_subtitles(text: str) -> tuple[Cue, ...]:
    """Reads either format, in the order of time. Markup, positions and comments are left out.

    Raises KinoraError(INVALID_INPUT) with the number of the line that is wrong.
    """
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    is_webvtt = bool(WEBVTT.match(lines[0]))
    cues: list[Cue] = []
    for first_line, block in _blocks(lines):
        cue = _parse_block(first_line, block, is_webvtt)
        if cue is not None:
            cues.append(cue)
        if len(cues) > MAX_CUES:
            raise refuse(f"There are more than {MAX_CUES} subtitles. Split the file.")
    if not cues:
        raise refuse(
            "There are no subtitles in this text. It must be SubRip (.srt) or WebVTT (.vtt), with "
            "times such as 00:00:01,000 --> 00:00:03,500."
        )
    return tuple(sorted(cues, key=lambda cue: (cue.start_s, cue.end_s)))


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Lines between empty ones, with the number of the first. Some programs leave out the empty
    line before the next times, and some put empty lines into a text."""
    block: list[str] = []
    first_line = 1
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            if not block:
                first_line = number
            block.append(line)
        elif block:
            yield first_line, block
            block = []


def _parse_block(first_line: int, block: Sequence[str], is_webvtt: bool) -> Cue | None:
    if is_webvtt and (WEBVTT.match(block[0]) or NOT_CUES.match(block[0])):
        return None
    at = next((n for n, line in enumerate(block[:2]) if "-->" in line), None)
    if at is None:
        return None  # a lone number or a comment
    found = TIMES.match(block[at])
    if found is None:
        raise refuse(
            f"Line {first_line + at} has no readable times: “{block[at].strip()[:60]}”. Write them "
            "as 00:00:01,000 --> 00:00:03,500."
        )
    start_s, end_s = _seconds(*found.groups()[:4]), _seconds(*found.groups()[4:8])
    if end_s <= start_s:
        raise refuse(
            f"The subtitle in line {first_line + at} ends before it begins. Correct its times."
        )
    text = _plain("\n".join(block[at + 1 :]), is_webvtt)
    if len(text) > MAX_CUE_LETTERS:
        raise refuse(
            f"The subtitle in line {first_line + at} has {len(text)} letters; at most "
            f"{MAX_CUE_LETTERS} are possible. Split it."
        )
    return Cue(start_s, end_s, text) if text else None


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> Fraction:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + Fraction(int(fraction.ljust(3, "0")), 1000)


def _plain(text: str, is_webvtt: bool) -> str:
    text = TAGS.sub("", text)
    if is_webvtt:
        text = html.unescape(text)
    return plain_lines(text)


def plain_lines(text: str) -> str:
    """Without control characters and empty lines; marks of direction stay."""
    kept = "".join(
        each if each == "\n" or unicodedata.category(each) not in ("Cc", "Cs", "Co", "Cn") else " "
        for each in text
    )
    return "\n".join(line.strip() for line in kept.split("\n") if line.strip())


def fit_cues(cues: Sequence[Cue], clip: StreamInfo) -> tuple[tuple[Cue, ...], tuple[str, ...]]:
    """The cues within a clip, and sentences about those that were left out or cut."""
    inside = [cue for cue in cues if cue.start_s < clip.duration_s]
    notes: list[str] = []
    left_out = len(cues) - len(inside)
    if left_out == 1:
        notes.append("One subtitle begins after the end of the clip and is left out.")
    elif left_out:
        notes.append(f"{left_out} subtitles begin after the end of the clip and are left out.")
    cut = [Cue(cue.start_s, min(cue.end_s, clip.duration_s), cue.text) for cue in inside]
    return tuple(cut), tuple(notes)


def write_webvtt(cues: Sequence[Cue]) -> str:
    """As a WebVTT file, which ffmpeg reads for a track of its own."""
    blocks = [
        f"{_written(cue.start_s)} --> {_written(cue.end_s)}\n"
        + cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for cue in cues
    ]
    return "WEBVTT\n\n" + "\n\n".join(blocks) + "\n"


def _written(time_s: Fraction) -> str:
    milliseconds = int(time_s * 1000 + Fraction(1, 2))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
