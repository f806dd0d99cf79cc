"""Reads a `.env` file in whatever encoding an editor saved it, and names the line that is wrong.

Never shows a value: there are secrets among them.
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

# UTF-32 first: its little-endian mark begins with that of UTF-16
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
OF_OTHERS = re.compile(r"(GRADIO|HF|HUGGINGFACE|AWS|CUDA|PYTORCH|OMP|FORWARDED|UVICORN)_")
"""Libraries read these from the environment of the process, and never see `.env`."""


class Line(NamedTuple):
    """One assignment of the file."""

    number: int
    name: str
    value: str | None


def read_lines(path: Path) -> tuple[list[Line], str]:
    """The assignments of the file, and its text. KinoraError names the line that is none."""
    text = _decode(_read(path), path.name)
    text = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")
    lines: list[Line] = []
    for binding in parse_stream(io.StringIO(text)):
        string = binding.original.string
        blank = len(string) - len(string.lstrip())
        number = binding.original.line + string[:blank].count("\n")
        if binding.error or (binding.key is not None and not NAME.match(binding.key)):
            _refuse(number, path.name, "this is no setting. Write NAME=value")
        if binding.key is not None:
            lines.append(Line(number, binding.key, binding.value))
    return lines, text


def read_settings(file: str | Path, known: Collection[str]) -> dict[str, str]:
    """What the file sets and the environment does not. `known` are the settings, in capitals.

    A name that begins like ours but is none is refused: a misspelt KINORA_API_KEYS would leave the
    API open. Names of others are left alone."""
    path = Path(file)
    try:
        is_link = stat.S_ISLNK(path.lstat().st_mode)
        if is_link and not path.exists():
            _fail(f"{path.name} points to a file that is not there.")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError:
        pass  # reading it fails with the sentence for the reason
    lines, text = read_lines(path)
    first: dict[str, Line] = {}
    for line in lines:
        name = line.name.upper()
        if name in known:
            _check_value(line, path.name)
            before = first.setdefault(name, line)
            if before.value != line.value:
                log.warning(
                    "%s sets %s twice, on the lines %d and %d; the last one is used.",
                    *(path.name, name, before.number, line.number),
                )
        elif name.startswith(PREFIX) and name not in ELSEWHERE:
            _refuse(line.number, path.name, f"{line.name} is not a setting.{_hint(name, known)}")
        elif OF_OTHERS.match(name) and line.name not in os.environ:
            log.warning(
                "Line %d of %s: %s has no effect there. Set it in the environment of the process.",
                *(line.number, path.name, line.name),
            )
        elif hint := _hint(name, known):
            log.warning("Line %d of %s: %s is not used.%s", line.number, path.name, name, hint)
    values = {name.upper(): value for name, value in _values(text).items()}
    return {name: values[name] for name in first if values[name] and name not in _environment()}


def _values(text: str) -> dict[str, str]:
    """With `${NAME}` filled in, as python-dotenv does it."""
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text)).items()}


def _environment() -> set[str]:
    return {name.upper() for name, value in os.environ.items() if value}


def place(file: object, name: str, others: Collection[str]) -> str:
    """The setting, and the line of the file if that is where it was set, by any of its names."""
    is_file = isinstance(file, str | Path) and Path(file).is_file()
    if not is_file or not _environment().isdisjoint(others):
        return name
    path = Path(str(file))
    numbers = [line.number for line in read_lines(path)[0] if line.name.upper() in others]
    return f"{name} (line {numbers[-1]} of {path.name})" if numbers else name


def warn_of_misspelt(environment: Mapping[str, str], known: Collection[str]) -> None:
    """In the environment they are not refused: platforms put names of their own there."""
    for name in environment:
        if name.startswith(PREFIX) and name not in known and name not in ELSEWHERE:
            hint = _hint(name, known)
            if hint:
                log.warning("The variable %s is not a setting.%s", name, hint)


def _expand_home(value: object) -> object:
    """`~` is the shell's business, and no shell reads `.env` or a unit file."""
    if not isinstance(value, str | Path):
        return value
    if any(letter < " " for letter in str(value)):
        raise ValueError("it has a line break or a tab in it; use single quotes around it")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("`~` names a user who is not there") from None


Folder = Annotated[Path, BeforeValidator(_expand_home)]


def sqlite_url(path: Path) -> str:
    """As `sqlalchemy.URL.create` writes it, whatever is in the folder's name."""
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
    """Bytes that are no UTF-8 become surrogates: in a comment they do no harm."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            data = data[len(mark) :]
            if encoding in WIDE:
                return _wide(data, encoding, file)
            break
    if b"\0" not in data:
        return data.decode("utf-8", "surrogateescape")
    # Without a mark: the reading with the most letters of a name in it
    encoding = max(WIDE, key=lambda each: _plain_letters(data, each))
    return _wide(data, encoding, file)


def _wide(data: bytes, encoding: str, file: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        number = data[: error.start].decode(encoding, "ignore").count("\n") + 1
        _refuse(number, file, "this is not text in one encoding. Save the file as UTF-8")
    if "\0" in text:
        number = text[: text.index("\0")].count("\n") + 1
        _refuse(number, file, "this is not text. Save the file as UTF-8")
    return text


def _plain_letters(data: bytes, encoding: str) -> int:
    text = data.decode(encoding, "ignore")
    return sum(" " <= letter <= "~" or letter in "\r\n\t" for letter in text)


def _refuse(number: int, file: str, what: str) -> NoReturn:
    _fail(f"Line {number} of {file}: {what.rstrip('.')}{'' if what.endswith('?') else '.'}")


def _fail(sentence: str) -> NoReturn:
    raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
