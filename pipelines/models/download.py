"""Downloads files into the Hub's cache, resuming partial ones and verifying checksums.

A file grows as `<digest>.incomplete`, is resumed after any interruption, and gets its final name
once its checksum matches.
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
"""(bytes on disk, bytes in total)"""

PARALLEL_FILES = 4
CHUNK = 1 << 20
POLL_S = 0.25
MIN_FREE_BYTES = 256 << 20
"""Free space that a download leaves on the disk."""


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
    """Another file of the download failed, or the report raised."""


class Damaged(Exception):
    """The checksum or the size differs from the listing."""


@dataclass
class Download:
    """Some files of one repository at one commit."""

    name: str
    store: Path
    commit: str
    files: dict[str, Blob]
    stream: Callable[[str, int], Any]
    """(path, first byte) -> context manager of the response"""
    retry_policy: RetryPolicy
    _received: dict[Blob, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> Path:
        return self.store / "snapshots" / self.commit

    def run(self, report: Report) -> Path:
        """Downloads what is missing and returns the snapshot folder. One download per repository at
        a time, in all processes. What `report` raises stops it."""
        if not self._missing():
            return self.folder
        with self._locked(report):
            missing = self._missing()  # again: the holder of the lock may have fetched the files
            if missing:
                self._check_disk(missing)
                self._download_all(missing, report)
        return self.folder

    def _missing(self) -> list[str]:
        return [
            path
            for path, blob in self.files.items()
            if not _has_size(self.folder / path, blob.size)
        ]

    def _locked(self, report: Report) -> Any:
        """Waits for the repository's lock, reporting what another process downloads meanwhile."""
        locks = self.store.parent / ".locks" / self.store.name
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / "kinora.lock", mode=0o664)
        total = sum(blob.size for blob in self.files.values())
        while True:
            try:
                return lock.acquire(timeout=POLL_S)
            except Timeout:
                here = sum(self._bytes_on_disk(blob) for blob in self.files.values())
                report(here, total)

    def _check_disk(self, missing: list[str]) -> None:
        blobs = {self.files[path] for path in missing}
        need = sum(blob.size - self._bytes_on_disk(blob) for blob in blobs)
        free = shutil.disk_usage(self.store.parent).free - MIN_FREE_BYTES
        if need > free:
            detail = f"it needs {gigabytes(need)} more, and {gigabytes(max(0, free))} is free"
            raise failure(Reason.NO_DISK, self.name, detail)

    def _download_all(self, missing: list[str], report: Report) -> None:
        """Several files at a time; the first failure, or what `report` raises, stops all."""
        (self.store / "blobs").mkdir(parents=True, exist_ok=True)
        total = sum(blob.size for blob in self.files.values())
        here = sum(blob.size for path, blob in self.files.items() if path not in missing)
        by_blob: dict[Blob, list[str]] = {}
        for path in missing:  # files of the same content are downloaded once
            by_blob.setdefault(self.files[path], []).append(path)
        self._received = {
            blob: self._bytes_on_disk(blob) * len(paths) for blob, paths in by_blob.items()
        }
        with ThreadPoolExecutor(PARALLEL_FILES, thread_name_prefix="download") as pool:
            try:
                waiting = {pool.submit(self._download_file, *each) for each in by_blob.items()}
                while waiting:
                    done, waiting = wait(waiting, timeout=POLL_S)
                    for each in done:
                        each.result()
                    report(here + sum(list(self._received.values())), total)
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _download_file(self, blob: Blob, paths: list[str]) -> None:
        failures, was_damaged = 0, False
        final, partial = self._blob_file(blob), self._partial_file(blob)
        while not _has_size(final, blob.size):
            began_at = _size(partial)
            try:
                self._append(blob, paths, partial)
                partial.replace(final)
            except Damaged as error:
                partial.unlink(missing_ok=True)
                if was_damaged:
                    raise failure(Reason.DAMAGED_FILE, self.name, "copy that arrived") from error
                was_damaged = True
            except Exception as error:
                if not is_transient(error):
                    raise
                failures = 1 if _size(partial) > began_at else failures + 1
                if failures >= self.retry_policy.tries:
                    raise
                log.info(
                    "Download of %s interrupted (%s), retrying.",
                    paths[0],
                    type(error).__name__,
                )
                if self._stop.wait(self.retry_policy.wait_s(failures, error)):
                    raise Stopped from None
        self._received[blob] = blob.size * len(paths)
        for path in paths:
            _link(self.folder / path, final)

    def _append(self, blob: Blob, paths: list[str], partial: Path) -> None:
        """Appends the rest of the file to the partial one and verifies the checksum."""
        hasher = blob.hasher()
        start = min(_size(partial), blob.size)
        if start:
            with partial.open("rb") as known:
                while chunk := known.read(CHUNK):
                    hasher.update(chunk)
        with partial.open("ab") as file:
            if start < blob.size or blob.size == 0:
                with self.stream(paths[0], start) as response:
                    hf_raise_for_status(response)
                    if start and response.status_code == 200:  # the server ignored the range
                        file.truncate(0)
                        hasher, start = blob.hasher(), 0
                    # chunks as they arrive, not a fixed size: a slow one would delay stopping
                    for chunk in response.iter_bytes():
                        file.write(chunk)
                        hasher.update(chunk)
                        start += len(chunk)
                        self._received[blob] = start * len(paths)
                        if self._stop.is_set():
                            raise Stopped
            file.flush()
            os.fsync(file.fileno())
        if start != blob.size or hasher.hexdigest() != blob.digest:
            raise Damaged

    def _bytes_on_disk(self, blob: Blob) -> int:
        final = self._blob_file(blob)
        if _has_size(final, blob.size):
            return blob.size
        return min(_size(self._partial_file(blob)), blob.size)

    def _blob_file(self, blob: Blob) -> Path:
        # the digest comes from the server and becomes a path
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.digest):
            raise failure(Reason.DAMAGED_FILE, self.name, "list of files")
        return self.store / "blobs" / blob.digest

    def _partial_file(self, blob: Blob) -> Path:
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
    """A relative link, as huggingface_hub makes it; a copy on file systems without links."""
    name.parent.mkdir(parents=True, exist_ok=True)
    name.unlink(missing_ok=True)
    try:
        name.symlink_to(os.path.relpath(content, name.parent))
    except OSError:
        shutil.copyfile(content, name)


TIMEOUT_S = 20.0


@dataclass(frozen=True)
class RetryPolicy:
    """Number of tries and exponential backoff."""

    tries: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    timeout_s: float = TIMEOUT_S
    """Seconds without data that count as a failure."""

    def wait_s(self, failures: int, error: BaseException) -> float:
        """Doubles with each failure, or follows Retry-After; at most `longest_wait_s`."""
        headers = getattr(getattr(error, "response", None), "headers", {})
        retry_after = headers.get("Retry-After", "")
        wait = (
            float(retry_after) if retry_after.isdigit() else self.first_wait_s * 2 ** (failures - 1)
        )
        return min(wait, self.longest_wait_s)
