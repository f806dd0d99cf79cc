"""Where a finished clip is copied to: what may be written is known before the clip is made.

A regular file is replaced in one step. What is no regular file (a device, a pipe, a link, standard
output) is written to: a rename would put a file in its place.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, get_args

from errors import ErrorCode, KinoraError
from media.files import atomic_write
from media.provenance.c2pa_package import SIDECAR
from pipelines.request import Format

FORMATS: tuple[str, ...] = get_args(Format)
STDOUT = Path("-")
REASONS = {
    errno.ENOENT: "its folder is not there",
    errno.ENOTDIR: "its folder is not there",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EROFS: "the file system is read-only",
    errno.ELOOP: "it is a link that leads to itself",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
}
NOT_REPLACED = (errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES)
"""A file that is mounted by itself, as in a container, can be written to but not replaced."""


class Output:
    """The file of `--out`, checked to be writable."""

    def __init__(self, path: Path, *, as_json: bool = False) -> None:
        self.path = path
        self.is_stdout = path == STDOUT or _is_stdout(path)
        if self.is_stdout and as_json:
            raise _unusable("--out and --json would both write to standard output")
        if self.is_stdout:
            if sys.stdout.isatty():
                raise _unusable("--out is standard output, which is a terminal: redirect it")
            return
        try:
            self.is_replaced = _is_replaced(path)
        except OSError as error:
            reason = REASONS.get(error.errno or 0, (error.strerror or "").lower())
            raise _unusable(f"--out cannot be written: {path} ({reason})") from error

    @property
    def ending(self) -> str | None:
        """The format of the file name's suffix, if it is one."""
        ending = self.path.suffix.lower().removeprefix(".")
        return ending if ending in FORMATS else None

    def check_format(self, format: str) -> None:
        """Raises KinoraError where the suffix is of another format."""
        if self.ending not in (None, format):
            sentence = f"--format is {format}, but --out ends in .{self.ending}"
            raise _unusable(f"{sentence}. Leave one of them out")

    @property
    def needs_ending(self) -> bool:
        """A device or a pipe has no ending that could name the format."""
        return not self.is_stdout and (self.is_replaced or self.path.is_file())

    def write(self, clip: Path) -> str:
        """Copies the clip there and returns the path to print."""
        try:
            if self.is_stdout:
                with clip.open("rb") as source:
                    shutil.copyfileobj(source, sys.stdout.buffer)
                sys.stdout.flush()
                return str(STDOUT)
            if not self.is_replaced or not _replace(self.path, clip):
                _write_to(self.path, clip)
            sidecar = clip.with_name(clip.name + SIDECAR)
            if self.is_replaced and sidecar.is_file():
                _replace(self.path.with_name(self.path.name + SIDECAR), sidecar)
        except (OSError, KinoraError) as error:
            if self.is_stdout:  # or Python reports the error again when it closes it
                with suppress(OSError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            where = "standard output" if self.is_stdout else str(self.path)
            sentence = f"The clip was made, but {where} cannot be written. It is here: {clip}"
            raise KinoraError(ErrorCode.INTERNAL, sentence) from error
        return str(self.path.resolve() if self.is_replaced else self.path.absolute())


def choose_output(
    format: str | None, out: Path | None, *, as_json: bool = False
) -> tuple[str, Output | None]:
    """--format, or what the name after --out ends in; never two different ones."""
    if out is None:
        return format or "mp4", None
    output = Output(out, as_json=as_json)
    if format is not None:
        output.check_format(format)
    elif output.needs_ending and output.ending is None:
        raise _unusable(f"--out must end in one of {', '.join(f'.{each}' for each in FORMATS)}")
    return format or output.ending or "mp4", output


def _unusable(sentence: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, f"{sentence}.")


def _is_stdout(path: Path) -> bool:
    """Also /dev/stdout, /dev/fd/1, and the file that standard output was redirected to."""
    try:
        there, ours = path.stat(), os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return False
    if stat.S_ISCHR(there.st_mode):  # /dev/null and terminals are shared
        return path.resolve() == Path("/dev/stdout").resolve() and os.path.samestat(there, ours)
    return os.path.samestat(there, ours)


def _is_replaced(path: Path) -> bool:
    """True for a regular file, there or not; OSError or KinoraError if it cannot be written."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        _try_folder(path.parent)
        return True
    if stat.S_ISLNK(mode):
        return _follow(path)
    if stat.S_ISDIR(mode):
        raise _unusable(f"--out cannot be written: {path} is a folder")
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise _unusable(f"--out cannot be written: {path} is no file")
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "", str(path))
    if not stat.S_ISREG(mode):
        return False
    try:
        _try_folder(path.parent)
    except OSError:  # the file may be written all the same
        _try_file(path)
        return False
    return True


def _follow(link: Path) -> bool:
    """What a link leads to is written to where it is, and made if it is not there."""
    try:
        target = link.resolve(strict=False)
    except RuntimeError as error:  # so Python before 3.13 calls it
        raise OSError(errno.ELOOP, "", str(link)) from error
    if target.is_symlink() or (not target.exists() and link.exists()):
        return False  # /proc/self/fd/N: a pipe has no name
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        _try_folder(target.parent)
        return False
    if stat.S_ISREG(mode):
        _try_file(target)
        return False
    return _is_replaced(target)


def _try_folder(folder: Path) -> None:
    """Makes a file there and removes it: quotas, mounts and attributes are in no mode bits."""
    probe = folder / f".kinora-{secrets.token_hex(8)}.part"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    probe.unlink()


def _try_file(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY))


def _replace(path: Path, clip: Path) -> bool:
    """False where a name cannot be given to another file."""
    try:
        before = path.stat()
    except FileNotFoundError:
        before = None
    try:
        with atomic_write(path) as part:
            shutil.copyfile(clip, part)
            if before is not None:
                with suppress(OSError):  # only root may give files away
                    os.chown(part, before.st_uid, before.st_gid)
                part.chmod(stat.S_IMODE(before.st_mode))
    except OSError as error:
        if error.errno not in NOT_REPLACED or before is None:
            raise
        return False
    return True


def _write_to(path: Path, clip: Path) -> None:
    is_new = not path.exists()
    try:
        with path.open("wb") as target:
            _copy(clip, target)
    except BaseException:
        if is_new:
            path.resolve().unlink(missing_ok=True)
        raise


def _copy(clip: Path, target: BinaryIO) -> None:
    with clip.open("rb") as source:
        shutil.copyfileobj(source, target)
