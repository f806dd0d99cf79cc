"""The audit log: what was refused, reported, removed, restored and blocked, as JSON lines.

Lines are only ever appended, to `audit/audit.jsonl` in the data folder. A full file is renamed and
a new one begun. Callers are in it as keyed hashes, prompts only where the operator wants them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, get_args

from media.files import list_or_empty, stat_or_none
from settings import Settings

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

Action = Literal[
    "refused", "reported", "dismissed", "removed", "restored", "purged",
    "file_blocked", "file_unblocked", "caller_blocked", "caller_unblocked",
    "login", "login_failed",
]  # fmt: skip
ACTIONS: tuple[Action, ...] = get_args(Action)
NOT_SYNCED = frozenset({"refused", "login_failed"})
"""Callers can cause these as often as they like: they are on the disk when the system writes them,
which survives the end of the process. All others are synced."""
MOST_LETTERS = 4_000
OLD_S = 31 * 24 * 3600
"""A file is renamed at this age too, so that its lines can be removed in time."""
FILE = "audit.jsonl"


@dataclass(frozen=True)
class AuditEvent:
    """One line. `rule` is the rule or the person behind it, such as `prompt:violence`,
    `blocked_file` or `operator`; `caller` is the owner of a job, which is written as a hash."""

    action: Action
    rule: str
    caller: str | None = None
    caller_hash: str | None = None
    """In place of `caller`, where only the hash is known."""
    job_id: str | None = None
    share_id: str | None = None
    note: str | None = None
    prompt: str | None = None
    """Written only with KINORA_AUDIT_PROMPTS."""


class AuditLog:
    """Thread-safe; other processes may write to the same files."""

    def __init__(self, settings: Settings, hash_caller: Callable[[str], str]) -> None:
        self.folder = settings.data_dir / "audit"
        self._settings = settings
        self._hash_caller = hash_caller
        self._lock = threading.Lock()
        self._subscribers: list[Callable[[Action], None]] = []
        self.failures = 0
        """Lines that could not be written."""

    def subscribe(self, subscriber: Callable[[Action], None]) -> None:
        """Calls it with the action of each line of this process. It must not raise."""
        self._subscribers.append(subscriber)

    def record(self, event: AuditEvent) -> None:
        """Appends one line. Raises nothing: what is recorded has been done already, and a full disk
        must not keep an operator from removing a clip."""
        try:
            line = json.dumps(self._as_json(event)).encode() + b"\n"
            with self._lock, self._exclusive():
                self._append(line, sync=event.action not in NOT_SYNCED)
        except Exception:  # of any kind: the action itself has been done; it is counted and logged
            self.failures += 1
            log.exception("Writing to the audit log failed (action=%s).", event.action)
        for subscriber in self._subscribers:
            subscriber(event.action)

    def entries(self, limit: int) -> list[dict[str, Any]]:
        """The newest lines, newest first. Damaged lines are left out."""
        found: list[dict[str, Any]] = []
        for path in [self.folder / FILE, *reversed(self._renamed())]:
            with contextlib.suppress(OSError):
                for line in reversed(path.read_bytes().splitlines()):
                    if len(found) == limit:
                        return found
                    with contextlib.suppress(ValueError):
                        entry = json.loads(line)
                        if isinstance(entry, dict):
                            found.append(entry)
        return found

    def prune(self, now: float | None = None) -> int:
        """Removes files whose last line is older than the setting allows; returns how many."""
        now = time.time() if now is None else now
        with contextlib.suppress(OSError), self._lock, self._exclusive():
            self._rename_if_old(now)
        days, removed = self._settings.keep_audit_days, 0
        for path in self._renamed() if days else ():
            stat = stat_or_none(path)
            if stat and stat.st_mtime < now - days * 86400:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    # -- parts -------------------------------------------------------------------------------------

    def _as_json(self, event: AuditEvent) -> dict[str, Any]:
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        caller = self._hash_caller(event.caller) if event.caller else event.caller_hash
        prompt = event.prompt if self._settings.audit_prompts else None
        optional = {
            "caller": caller,
            "job": event.job_id,
            "share": event.share_id,
            "note": event.note,
            "prompt": prompt,
        }
        line: dict[str, Any] = {"at": at, "action": event.action, "rule": event.rule}
        return line | {name: text[:MOST_LETTERS] for name, text in optional.items() if text}

    def _append(self, line: bytes, *, sync: bool) -> None:
        path = self.folder / FILE
        stat = stat_or_none(path)
        if stat and stat.st_size + len(line) > self._settings.audit_log_mb * 1e6:
            self._rename(path)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # the last line was cut off by a full disk or a power cut
            while line:
                line = line[os.write(descriptor, line) :]
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _rename_if_old(self, now: float) -> None:
        path = self.folder / FILE
        try:
            with path.open("rb") as file:
                first = json.loads(file.readline())
            begun_at = datetime.fromisoformat(first["at"]).timestamp()
        except (OSError, ValueError, TypeError, KeyError):
            return
        if now - begun_at > OLD_S:
            self._rename(path)

    def _rename(self, path: Path) -> None:
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
        path.rename(self.folder / f"audit-{stamp}.jsonl")

    def _renamed(self) -> list[Path]:
        """Full files, oldest first."""
        found = (path for path in list_or_empty(self.folder) if path.name.startswith("audit-"))
        return sorted(found)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """For one process at a time: else two could rename the file, or write into a renamed one.
        Disks without locks are used by one process in practice."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "lock").open("ab") as file:
            if sys.platform != "win32":
                with contextlib.suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield
