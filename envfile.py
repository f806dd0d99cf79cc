"""Reads a `.env` file in any Unicode encoding; errors name the line.

No message contains a value, because values may be secrets.
"""

from __future__ import annotations

import codecs
import difflib
import io
import logging
import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import BeforeValidator

from errors import ErrorCode, KinoraError

log = logging.getLogger(__name__)

# UTF-32 before UTF-16: its little-endian mark begins with the mark of UTF-16
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE = tuple(encoding for _, encoding in MARKS[1:])
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
PREFIX = "KINORA_"
ELSEWHERE = frozenset({"KINORA_PORT"})
"""Read from `.env` by compose.yaml, not by Kinora."""
FOREIGN = re.compile(r"(GRADIO|HF|HUGGINGFACE|AWS|CUDA|PYTORCH|OMP|FORWARDED|UVICORN)_")
"""Libraries read these from the environment of the process and never from `.env`."""


class Line(NamedTuple):
    """One assignment of the file."""

    number: int
    name: str
    value: str | None


def read_lines(path: Path) -> tuple[list[Line], str]:
    """The assignments of the file, and its text. Raises KinoraError for any other line."""
    text = _decode(_read(path), path.name)
    text = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")
    lines: list[Line] = []
    for binding in parse_stream(io.StringIO(text)):
        string = binding.original.string
        blank = len(string) - len(string.lstrip())
        number = binding.original.line + string[:blank].count("\n")
        if binding.error or (binding.key is not None and not NAME.match(binding.key)):
            _refuse(number, path.name, "this is not a setting. Write NAME=value")
        if binding.key is not None:
            lines.append(Line(number, binding.key, binding.value))
    return lines, text


def read_settings(file: str | Path, known: Collection[str]) -> dict[str, str]:
    """The settings in the file that the environment does not set. `known`: all names, in capitals.

    An unknown name with our prefix is an error: a misspelt KINORA_API_KEYS would leave the API
    open. Other unknown names are ignored, with a warning if they are close to one of ours."""
    path = Path(file)
    try:
        is_link = stat.S_ISLNK(path.lstat().st_mode)
        if is_link and not path.exists():
            _fail(f"{path.name} points to a file that is not there.")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError:
        pass  # reading the file below raises the error with its reason
    lines, text = read_lines(path)
    first: dict[str, Line] = {}
    for line in lines:
        name = line.name.upper()
        if name in known:
            _check_value(line, path.name)
            earlier = first.setdefault(name, line)
            if earlier.value != line.value:
                log.warning(
                    "%s sets %s twice, on lines %d and %d; the last value is used.",
                    *(path.name, name, earlier.number, line.number),
                )
        elif name.startswith(PREFIX) and name not in ELSEWHERE:
            _refuse(line.number, path.name, f"{line.name} is not a setting.{_hint(name, known)}")
        elif FOREIGN.match(name) and line.name not in os.environ:
            log.warning(
                "Line %d of %s: %s has no effect there. "
                "Set it in the environment of the process.%s",
                *(line.number, path.name, line.name, _hint(name, known)),
            )
        elif hint := _hint(name, known):
            log.warning("Line %d of %s: %s is not used.%s", line.number, path.name, name, hint)
    values = {name.upper(): value for name, value in _values(text).items()}
    return {name: values[name] for name in first if values[name] and name not in _environment()}


def _values(text: str) -> dict[str, str]:
    """The values, with `${NAME}` expanded by python-dotenv."""
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text)).items()}


def _environment() -> set[str]:
    return {name.upper() for name, value in os.environ.items() if value}


def locate(file: object, name: str, aliases: Collection[str]) -> str:
    """The name, with the line of the file that sets it under any of its aliases, if one does."""
    is_file = isinstance(file, str | Path) and Path(file).is_file()
    if not is_file or not _environment().isdisjoint(aliases):
        return name
    path = Path(str(file))
    numbers = [line.number for line in read_lines(path)[0] if line.name.upper() in aliases]
    return f"{name} (line {numbers[-1]} of {path.name})" if numbers else name


def warn_of_misspelt(environment: Mapping[str, str], known: Collection[str]) -> None:
    """Warns only: unlike `.env`, the environment has variables that platforms set."""
    for name in environment:
        if name.startswith(PREFIX) and name not in known and name not in ELSEWHERE:
            hint = _hint(name, known)
            if hint:
                log.warning("The variable %s is not a setting.%s", name, hint)


def _expand_home(value: object) -> object:
    """Expands `~`, which no shell expands in `.env` or in a systemd unit."""
    if not isinstance(value, str | Path):
        return value
    if any(letter < " " for letter in str(value)):
        raise ValueError("it contains a line break or a tab; put it in single quotes")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("`~` names an unknown user") from None


Folder = Annotated[Path, BeforeValidator(_expand_home)]


def sqlite_url(path: Path) -> str:
    """The same URL as `sqlalchemy.URL.create`, for any characters in the path."""
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


def _hint(name: str, known: Collection[str]) -> str:
    bare = name.removeprefix(PREFIX)
    exact = [each for each in (bare, PREFIX + bare) if each in known]
    near = exact or difflib.get_close_matches(name, sorted(known), 1, 0.85)
    return f" Did you mean {near[0]}?" if near else ""


def _check_value(line: Line, file: str) -> None:
    if line.value is None:
        _refuse(line.number, file, f"{line.name} has no value. Write {line.name}=value")
    if any("\ud800" <= letter <= "\udfff" for letter in line.value):
        _refuse(line.number, file, f"{line.name} is not UTF-8 text. Save the file as UTF-8")


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            _fail(f"{path.name} is a folder. It must be a text file with lines like NAME=value.")
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "it cannot be opened").lower()
        raise KinoraError(
            ErrorCode.INVALID_INPUT, f"{path.name} cannot be read: {reason}."
        ) from error


def _decode(data: bytes, file: str) -> str:
    """Bytes that are not UTF-8 become surrogates, which are harmless in comments."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            data = data[len(mark) :]
            if encoding in WIDE:
                return _decode_wide(data, encoding, file)
            break
    if b"\0" not in data:
        return data.decode("utf-8", "surrogateescape")
    # Without a mark: the encoding that gives the most printable ASCII
    encoding = max(WIDE, key=lambda each: _count_ascii(data, each))
    return _decode_wide(data, encoding, file)


def _decode_wide(data: bytes, encoding: str, file: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        number = data[: error.start].decode(encoding, "ignore").count("\n") + 1
        _refuse(number, file, "this is not text in one encoding. Save the file as UTF-8")
    if "\0" in text:
        number = text[: text.index("\0")].count("\n") + 1
        _refuse(number, file, "this is not text. Save the file as UTF-8")
    return text


def _count_ascii(data: bytes, encoding: str) -> int:
    text = data.decode(encoding, "ignore")
    return sum(" " <= letter <= "~" or letter in "\r\n\t" for letter in text)


def _refuse(number: int, file: str, what: str) -> NoReturn:
    _fail(f"Line {number} of {file}: {what.rstrip('.')}{'' if what.endswith('?') else '.'}")


def _fail(sentence: str) -> NoReturn:
    raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
