"""Bytes from the Hub to the disk: whole, checked, and never twice.

A file grows as `<digest>.incomplete` and goes on from there after any interruption; it gets its
name once its checksum is right. Knows the layout of the Hub's cache, not what the files are.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from huggingface_hub.utils import hf_raise_for_status

from pipelines.models.failures import Reason, failure, is_transient

log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
"""(bytes that are here, bytes in all)"""

AT_ONCE = 4
CHUNK = 1 << 20
TICK_S = 0.25
MARGIN = 256 << 20
"""Bytes of the disk that stay free."""


@dataclass(frozen=True)
class Blob:
    """A file's content: `digest` is a sha256 for large files, git's sha1 for small ones."""

    size: int
    digest: str

    @property
    def is_large(self) -> bool:
        return len(self.digest) == 64

    def hasher(self) -> Any:
        if self.is_large:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


class Stopped(Exception):
    """Another file failed, or nobody wants this any more."""


class Damaged(Exception):
    """What arrived is not what was listed."""


@dataclass
class Download:
    """The wanted files of one repository at one commit."""

    name: str
    store: Path
    commit: str
    wanted: dict[str, Blob]
    stream: Callable[[str, int], Any]
    """(path, first byte) -> a context manager with the response"""
    patience: RetryPolicy
    _here: dict[Blob, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> Path:
        return self.store / "snapshots" / self.commit

    def run(self, report: Report) -> Path:
        if not self._missing():
            return self.folder
        with self._alone(report):
            missing = self._missing()
            if missing:
                self._check_disk(missing)
                self._all(missing, report)
        return self.folder

    def _missing(self) -> list[str]:
        return [
            path
            for path, blob in self.wanted.items()
            if not _has_size(self.folder / path, blob.size)
        ]

    def _alone(self, report: Report) -> Any:
        """The lock of this repository; while somebody else has it, what is here is told."""
        locks = self.store.parent / ".locks" / self.store.name
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / "kinora.lock", mode=0o664)
        total = sum(blob.size for blob in self.wanted.values())
        while True:
            try:
                return lock.acquire(timeout=TICK_S)
            except Timeout:
                here = sum(self._bytes_of(blob) for blob in self.wanted.values())
                report(here, total)

    def _check_disk(self, missing: list[str]) -> None:
        blobs = {self.wanted[path] for path in missing}
        need = sum(blob.size - self._bytes_of(blob) for blob in blobs)
        free = shutil.disk_usage(self.store.parent).free - MARGIN
        if need > free:
            told = f"it needs {gigabytes(need)} more, and {gigabytes(max(0, free))} is free"
            raise failure(Reason.NO_DISK, self.name, told)

    def _all(self, missing: list[str], report: Report) -> None:
        """Several files at a time; the first failure, or what `report` raises, stops them all."""
        (self.store / "blobs").mkdir(parents=True, exist_ok=True)
        total = sum(blob.size for blob in self.wanted.values())
        here = sum(blob.size for path, blob in self.wanted.items() if path not in missing)
        by_blob: dict[Blob, list[str]] = {}
        for path in missing:  # the same content may have several names
            by_blob.setdefault(self.wanted[path], []).append(path)
        self._here = {blob: self._bytes_of(blob) * len(paths) for blob, paths in by_blob.items()}
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="download") as pool:
            try:
                waiting = {pool.submit(self._file, *each) for each in by_blob.items()}
                while waiting:
                    done, waiting = wait(waiting, timeout=TICK_S)
                    for each in done:
                        each.result()
                    report(here + sum(list(self._here.values())), total)
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _file(self, blob: Blob, paths: list[str]) -> None:
        failures, was_damaged = 0, False
        whole, part = self._blob_file(blob), self._part_file(blob)
        while not _has_size(whole, blob.size):
            began_at = _size(part)
            try:
                self._append(blob, paths, part)
                part.replace(whole)
            except Damaged as error:
                part.unlink(missing_ok=True)
                if was_damaged:
                    raise failure(Reason.DAMAGED_FILE, self.name, "copy that arrived") from error
                was_damaged = True
            except Exception as error:
                if not is_transient(error):
                    raise
                failures = 1 if _size(part) > began_at else failures + 1
                if failures >= self.patience.tries:
                    raise
                log.info(
                    "Download of %s interrupted (%s), retrying.",
                    paths[0],
                    type(error).__name__,
                )
                if self._stop.wait(self.patience.wait_s(failures, error)):
                    raise Stopped from None
        self._here[blob] = blob.size * len(paths)
        for path in paths:
            _link(self.folder / path, whole)

    def _append(self, blob: Blob, paths: list[str], part: Path) -> None:
        """From where the part ends to the end of the file, then the checksum."""
        hasher = blob.hasher()
        start = min(_size(part), blob.size)
        if start:
            with part.open("rb") as known:
                while chunk := known.read(CHUNK):
                    hasher.update(chunk)
        with part.open("ab") as file:
            if start < blob.size or blob.size == 0:
                with self.stream(paths[0], start) as response:
                    hf_raise_for_status(response)
                    if start and response.status_code == 200:  # no ranges here: from the start
                        file.truncate(0)
                        hasher, start = blob.hasher(), 0
                    for chunk in response.iter_bytes():  # as they come: a stop is heard
                        file.write(chunk)
                        hasher.update(chunk)
                        start += len(chunk)
                        self._here[blob] = start * len(paths)
                        if self._stop.is_set():
                            raise Stopped
            file.flush()
            os.fsync(file.fileno())
        if start != blob.size or hasher.hexdigest() != blob.digest:
            raise Damaged

    def _bytes_of(self, blob: Blob) -> int:
        whole = self._blob_file(blob)
        if _has_size(whole, blob.size):
            return blob.size
        return min(_size(self._part_file(blob)), blob.size)

    def _blob_file(self, blob: Blob) -> Path:
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.digest):
            raise failure(Reason.DAMAGED_FILE, self.name, "list of files")
        return self.store / "blobs" / blob.digest

    def _part_file(self, blob: Blob) -> Path:
        return self._blob_file(blob).with_suffix(".incomplete")


def gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _has_size(path: Path, size: int) -> bool:
    with suppress(OSError):
        return path.stat().st_size == size
    return False


def _link(name: Path, content: Path) -> None:
    """A relative link, as in every Hub cache; a copy where the disk knows no links."""
    name.parent.mkdir(parents=True, exist_ok=True)
    name.unlink(missing_ok=True)
    try:
        name.symlink_to(os.path.relpath(content, name.parent))
    except OSError:
        shutil.copyfile(content, name)


TIMEOUT_S = 20.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request is tried, and how long the waits between grow."""

    tries: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    timeout_s: float = TIMEOUT_S
    """Silence for so long counts as a failure."""

    def wait_s(self, failures: int, error: BaseException) -> float:
        """Twice as long each time, or what the server asks for within reason."""
        headers = getattr(getattr(error, "response", None), "headers", {})
        asked = headers.get("Retry-After", "")
        wait = float(asked) if asked.isdigit() else self.first_wait_s * 2 ** (failures - 1)
        return min(wait, self.longest_wait_s)
