"""Reads the pictures of an untrusted zip, in natural order of their names.

Nothing is ever extracted to a path, and the sizes in the archive's directory are not trusted. Does
not decode pictures.
"""

from __future__ import annotations

import contextlib
import re
import struct
import unicodedata
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from errors import ErrorCode, KinoraError
from media.image_limits import too_large_error

MAX_DIRECTORY_BYTES = 1 << 20
"""Room for thousands of names; `zipfile` makes an object of each before anything can be checked."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those that `zipfile` unpacks piece by piece. Of the others a few bytes may fill the memory."""
JUNK = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"})
NOTES = (
    ".txt", ".md", ".json", ".csv", ".xml", ".xmp", ".aae", ".html", ".htm", ".log", ".url",
    ".yaml", ".yml", ".nfo", ".ini",
)  # fmt: skip
"""Beside pictures, these are about them. Anything else must be a picture."""
IS_UTF8, IS_ENCRYPTED = 0x800, 0x1
SHOWN_LETTERS = 80


def pictures_in(file: IO[bytes], most: int, most_bytes: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each. KinoraError names the file that cannot be read."""
    try:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            named = [(_name(info), info) for info in archive.infolist() if not info.is_dir()]
            wanted = sorted(
                ((name, info) for name, info in named if _is_wanted(name)),
                key=lambda each: natural_key(each[0]),
            )
            if not 1 <= len(wanted) <= most:
                raise bad_zip(f"it has {len(wanted)} pictures; 1 to {most} are accepted")
            for name, info in wanted:
                yield name, _content(archive, name, info, most_bytes)
    except KinoraError:
        raise
    except Exception as error:  # zip and zlib have several kinds of their own
        raise bad_zip("it is not a zip, or it is damaged") from error


def natural_key(name: str) -> tuple[list[tuple[Any, ...]], str]:
    """Folder by folder, without regard to case; a run of digits of any script is a number. Names
    that differ only in case or zeros have an order too, so that it never hangs on the archive."""
    return [_part_key(part) for part in name.split("/")], name


def about_file(name: str, error: KinoraError) -> KinoraError:
    """The same error, with the name of the file that it is about."""
    sentence = f"“{shown(name)}” cannot be used. {error.message}"
    return KinoraError(error.code, sentence, details={**error.details, "file": shown(name)})


def shown(name: str) -> str:
    """A name that is safe and short enough for a sentence."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in name)
    return plain if len(plain) <= SHOWN_LETTERS else f"…{plain[-SHOWN_LETTERS:]}"


def bad_zip(why: str, change: str = "") -> KinoraError:
    return KinoraError(
        ErrorCode.INVALID_INPUT,
        f"“zip” cannot be used: {why}. {change}".strip(),
        details={"field": "zip"},
    )


def _part_key(part: str) -> tuple[Any, ...]:
    """Text and numbers in turn, then the ending, so that "a.png" comes before "a1.png"."""
    stem, dot, ending = unicodedata.normalize("NFC", part).casefold().rpartition(".")
    pieces = re.split(r"(\d+)", stem if dot else ending)
    return [_number(piece) if n % 2 else piece for n, piece in enumerate(pieces)], ending


def _number(digits: str) -> tuple[int, str]:
    """Its length and its digits: int() takes only so many."""
    plain = "".join(str(unicodedata.digit(digit)) for digit in digits).lstrip("0")
    return len(plain), plain


def _name(info: zipfile.ZipInfo) -> str:
    """As it was meant: forward slashes, from the top of the archive. macOS writes UTF-8 without
    saying so, and `zipfile` then reads it as code page 437."""
    name = info.filename
    if not info.flag_bits & IS_UTF8:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _is_wanted(name: str) -> bool:
    parts = name.casefold().split("/")
    is_junk = any(part in JUNK or part.startswith(".") for part in parts)
    return bool(name) and not is_junk and not parts[-1].endswith(NOTES)


def _content(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo, most_bytes: int) -> bytes:
    if info.flag_bits & IS_ENCRYPTED:
        raise bad_zip(f"“{shown(name)}” is encrypted", "Send a zip without a password.")
    if info.compress_type not in METHODS:
        raise bad_zip(f"“{shown(name)}” is packed in a way that is not read here", "Use deflate.")
    try:
        with archive.open(info) as member:
            data = member.read(most_bytes + 1)
    except Exception as error:
        raise bad_zip(f"“{shown(name)}” in it is damaged") from error
    if len(data) > most_bytes:
        raise about_file(name, too_large_error(most_bytes))
    return data


def _check_directory(file: IO[bytes]) -> None:
    """Refuses a list of contents that is too long, before it is read. A file without one is left
    to `zipfile`."""
    end = file.seek(0, 2)
    file.seek(max(0, end - 65_536 - 22 - 20))
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) < place + 22:
        return
    (size,) = struct.unpack_from("<I", tail, place + 12)
    if place >= 20 and tail[place - 20 : place - 16] == b"PK\6\7":  # zip64
        (there,) = struct.unpack_from("<Q", tail, place - 12)
        if 0 <= there <= end - 56:
            file.seek(there)
            record = file.read(56)
            if record[:4] == b"PK\6\6":
                (size,) = struct.unpack_from("<Q", record, 40)
    if size > MAX_DIRECTORY_BYTES:
        raise bad_zip("it lists too many files")
    file.seek(0)
