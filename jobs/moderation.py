"""Reports of shared clips, and what the operator does about them: removing, restoring, blocking."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.audit_log import AuditEvent, AuditLog
from jobs.batch_files import BatchFiles
from jobs.block_list import BlockList
from jobs.job import Gone, Job, State
from jobs.moderation_rows import (
    BlockedCaller,
    BlockedFile,
    ClipReport,
    ModerationRows,
    ReportedClip,
    Takedown,
)
from jobs.policy.policy_event import PolicyEvent
from jobs.quarantine import Quarantine
from jobs.share_rows import Share, ShareRows
from jobs.shares import SHARE_ID, Shares
from jobs.store import JobStore
from jobs.uploads import Uploads
from settings import Settings

REASONS = {
    "illegal": "It is against the law",
    "minors": "It shows a child or a minor in a sexual or harmful way",
    "sexual": "Nudity or sexual content",
    "violence": "Violence, threats or self-harm",
    "hate": "Hate or harassment",
    "person": "It shows me or another real person without consent",
    "deception": "It is meant to deceive, or pretends to be real",
    "copyright": "It infringes copyright or a trademark",
    "other": "Something else",
}
"""The reasons of a report, and how the form names them."""
JOINERS = "\u200c\u200d"
"""Persian, Hindi and emoji need them."""
MOST_NOTE = 2_000
MOST_OPEN = 50
"""Open reports of one clip that are stored: more say nothing new."""
PAGE_SIZE = 50
MOST_BLOCK_DAYS = 3_660
AT_ONCE = 100

File = Literal["clip", "poster"]
Clips = list[ReportedClip]


@dataclass(frozen=True)
class ClipCase:
    """What the operator sees of one clip. `job` is None where its maker has deleted it."""

    job_id: str
    job: Job | None
    share: Share | None
    reports: list[ClipReport]
    takedown: Takedown | None
    is_blocked: bool
    maker: str | None
    """The keyed hash of the clip's owner."""
    maker_blocked_until: float | None


class Moderation:
    """Thread-safe. `rule` says who acts: `operator` on the page, `command` on the command line."""

    def __init__(
        self,
        store: JobStore,
        artifacts: Artifacts,
        shares: Shares,
        settings: Settings,
        forget_batch: Callable[[str], None],
    ) -> None:
        """`forget_batch` removes the contact sheet and the grid video of a batch."""
        self._store, self._shares, self._settings = store, shares, settings
        self._artifacts, self._forget_batch = artifacts, forget_batch
        self._rows = ModerationRows(store.database)
        self._share_rows = ShareRows(store.database)
        self._quarantine = Quarantine(artifacts)
        self._caller_key: bytes | None = None
        self._audit = AuditLog(settings, self.hash_caller)
        self.block_list = BlockList(self._rows, self._audit)

    @property
    def audit(self) -> AuditLog:
        return self._audit

    def note_refusal(self, event: PolicyEvent) -> None:
        """Writes what the content policy refused to the log."""
        self._audit.record(
            AuditEvent(
                "refused",
                f"{event.stage}:{event.category}",
                caller=event.owner,
                job_id=event.job_id,
                note=event.rule,
                prompt=event.prompt,
            )
        )

    # -- callers -----------------------------------------------------------------------------------

    def hash_caller(self, owner: str) -> str:
        """What stands for a caller in reports, blocks and the log."""
        if self._caller_key is None:
            self._caller_key = self._rows.caller_key()
        return hmac.new(self._caller_key, owner.encode(), hashlib.sha256).hexdigest()[:32]

    def refuse_blocked(self, *owners: str) -> None:
        """Raises KinoraError(CONTENT_POLICY) if one of these callers is blocked."""
        until = self._rows.blocked_until([self.hash_caller(each) for each in owners], time.time())
        if until is not None:
            self._audit.record(AuditEvent("refused", "blocked_caller", caller=owners[0]))
            day = datetime.fromtimestamp(until, timezone.utc).strftime("%d %B %Y, %H:%M UTC")
            sentence = f"You cannot make, share or report clips here until {day.lstrip('0')}."
            raise KinoraError(ErrorCode.CONTENT_POLICY, sentence)

    def check_shared(self, clip: Path, owner: str) -> None:
        """Raises KinoraError(CONTENT_POLICY) if the caller, the file or a near copy is blocked."""
        self.refuse_blocked(owner)
        self.block_list.check(clip, owner)

    # -- reports -----------------------------------------------------------------------------------

    def report(self, share_id: str, reason: str, note: str, reporter: str) -> None:
        """Stores a report of a shared clip; a second one of the same reporter takes the place of
        the first. Raises KinoraError: NOT_FOUND as `Shares.find`, INVALID_INPUT for another reason
        or a note that is too long, CONTENT_POLICY for a blocked caller."""
        job = self._shares.find(share_id).job
        if reason not in REASONS:
            raise _invalid("reason", "Choose one of the reasons.")
        if len(note) > MOST_NOTE:
            raise _invalid("note", f"A note can have {MOST_NOTE} letters. Make it shorter.")
        self.refuse_blocked(reporter)
        report = ClipReport(
            id=secrets.token_hex(16), job_id=job.id, share_id=share_id, reason=reason,
            note=_readable(note), reporter=self.hash_caller(reporter), created_at=time.time(),
        )  # fmt: skip
        self._rows.add_report(report, MOST_OPEN)
        self._audit.record(
            AuditEvent("reported", reason, caller=reporter, job_id=job.id, share_id=share_id)
        )

    def queue(self, limit: int = PAGE_SIZE, after: float | None = None) -> Clips:
        """Clips with open reports, those first that have waited longest; `after` is the `first_at`
        of the last one of the previous page."""
        return self._rows.queue(limit, after)

    def count_open(self) -> int:
        """The number of open reports."""
        return self._rows.count_open()

    def dismiss(self, job_id: str, rule: str) -> int:
        """Closes the open reports of a clip and leaves it; returns how many there were."""
        closed = self._rows.close_reports(job_id, "dismissed", time.time())
        if closed:
            self._audit.record(AuditEvent("dismissed", rule, job_id=job_id))
        return closed

    def case(self, job_id: str) -> ClipCase:
        """Raises KinoraError(NOT_FOUND) where neither the clip nor a report of it is here."""
        job = self._store.get(job_id)
        reports = self._rows.reports_of(job_id, 2 * MOST_OPEN)
        takedown = self._rows.takedown(job_id)
        if job is None and not reports and takedown is None:
            raise _no_clip()
        maker = self.hash_caller(job.owner) if job else None
        return ClipCase(
            job_id=job_id,
            job=job,
            share=self._share_rows.of_job(job_id),
            reports=reports,
            takedown=takedown,
            is_blocked=self._rows.is_blocked_file(job_id),
            maker=maker,
            maker_blocked_until=self._rows.blocked_until([maker], time.time()) if maker else None,
        )

    def find(self, text: str) -> str:
        """The id of the clip that an operator names: by its id, its share link or the link's id.
        Raises KinoraError(NOT_FOUND)."""
        last = text.strip().partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
        if SHARE_ID.fullmatch(last):
            # also one that has expired, or leads to a removed clip
            share = self._share_rows.find_valid(last, now=0.0)
            last = share.job_id if share else ""
        return self._get(last).id

    def file_path(self, job_id: str, file: File) -> Path:
        """The clip or its poster, also of a removed clip. Raises KinoraError: NOT_FOUND, GONE."""
        job = self._get(job_id)
        path = self._quarantine.path(job, file)
        if path is None and job.result is not None and job.result.gone is None:
            path = self._artifacts.fetch(job_id, getattr(job.result, file))
        if path is None:
            raise KinoraError(ErrorCode.GONE)
        return path

    # -- removing and restoring --------------------------------------------------------------------

    def remove(self, job_id: str, rule: str, note: str = "") -> None:
        """Takes a clip away from everybody, its maker included, and closes its reports. The files
        are kept for as long as the setting says. Idempotent. Raises KinoraError: NOT_FOUND,
        CONFLICT for an unfinished clip."""
        job = self._get(job_id)
        if job.state is not State.SUCCEEDED or job.result is None:
            raise KinoraError(ErrorCode.CONFLICT, "Only a finished clip can be removed.")
        now, is_new = time.time(), self._rows.takedown(job_id) is None
        # 1. The files are safe: whatever removes those of a clip that is gone takes nothing away.
        has_files = self._quarantine.copy(job) or self._quarantine.path(job, "clip") is not None
        # 2. No address offers the clip any more.
        if is_new:
            note = _readable(note)[:MOST_NOTE]
            takedown = Takedown(job_id=job_id, at=now, note=note, has_files=has_files)
            self._rows.put_takedown(takedown)
        if job.result.gone is None:
            self._store.mark_gone(job_id, Gone(why="removed", at=now))
        # 3. What is left of it.
        self._artifacts.remove(job_id)
        if job.batch:
            self._forget_batch(job.batch)
        self._rows.close_reports(job_id, "removed", now)
        if is_new:
            self._audit.record(AuditEvent("removed", rule, job.owner, job_id=job_id, note=note))

    def restore(self, job_id: str, rule: str) -> None:
        """Undoes `remove`; the share link works again. Raises KinoraError: NOT_FOUND, CONFLICT if
        the clip was not removed, GONE once its files were deleted."""
        job = self._get(job_id)
        if self._rows.takedown(job_id) is None:
            raise KinoraError(ErrorCode.CONFLICT, "This clip was not removed.")
        self._quarantine.put_back(job)
        self._store.mark_gone(job_id, None)
        # again: while it was marked as gone, the disk quota may have deleted what was put back
        self._quarantine.put_back(job)
        self._rows.remove_takedown(job_id)
        self._quarantine.remove(job_id)
        self._audit.record(AuditEvent("restored", rule, job.owner, job_id=job_id))

    def removed(self) -> list[Takedown]:
        """The newest removed clips."""
        return self._rows.takedowns(PAGE_SIZE)

    # -- blocking ----------------------------------------------------------------------------------

    def block_file(self, job_id: str, rule: str) -> None:
        """Refuses uploads and new links of this clip's file and of near copies. Raises KinoraError:
        NOT_FOUND, GONE without its files."""
        clip = self.file_path(job_id, "clip")
        folder, name = clip.parent, clip.with_name(f"shared{clip.suffix}")
        copies = [path for path in (name, folder / "last.png") if path.is_file()]
        self.block_list.block(job_id, clip, copies)
        self._audit.record(AuditEvent("file_blocked", rule, job_id=job_id))

    def unblock_file(self, job_id: str, rule: str) -> bool:
        """False if it was not blocked."""
        is_done = self._rows.unblock_files(job_id)
        if is_done:
            self._audit.record(AuditEvent("file_unblocked", rule, job_id=job_id))
        return is_done

    def blocked_files(self) -> list[BlockedFile]:
        return self._rows.blocked_files()

    def block_caller(self, caller: str, days: float, rule: str) -> None:
        """Refuses new clips, links and reports of the caller with this hash. Raises
        KinoraError(INVALID_INPUT)."""
        if not 0 < days <= MOST_BLOCK_DAYS:
            raise _invalid("days", f"Block a caller for up to {MOST_BLOCK_DAYS} days.")
        if len(caller) != 32 or not set(caller) <= set("0123456789abcdef"):
            raise _invalid("caller", "That is no caller's hash.")
        now = time.time()
        self._rows.put_blocked_caller(
            BlockedCaller(caller=caller, at=now, until=now + days * 86400)
        )
        note = f"{days:g} days"
        self._audit.record(AuditEvent("caller_blocked", rule, caller_hash=caller, note=note))

    def unblock_caller(self, caller: str, rule: str) -> bool:
        """False if it was not blocked."""
        is_done = self._rows.unblock_caller(caller)
        if is_done:
            self._audit.record(AuditEvent("caller_unblocked", rule, caller_hash=caller))
        return is_done

    def blocked_callers(self) -> list[BlockedCaller]:
        return self._rows.blocked_callers(time.time())

    # -- the log, and retention --------------------------------------------------------------------

    def log(self, limit: int) -> list[dict[str, Any]]:
        """The newest lines of the audit log, newest first."""
        return self._audit.entries(limit)

    def tidy(self, now: float | None = None) -> None:
        """Removes what was kept for as long as the settings say."""
        now = time.time() if now is None else now
        if self._settings.keep_reports_days:
            self._rows.remove_reports(now - self._settings.keep_reports_days * 86400)
        if self._settings.keep_removed_days:
            before = now - self._settings.keep_removed_days * 86400
            for each in self._rows.takedowns(AT_ONCE, with_files_before=before):
                self._rows.put_takedown(each.model_copy(update={"has_files": False}))
                self._quarantine.remove(each.job_id)
                self._audit.record(AuditEvent("purged", "keep_removed_days", job_id=each.job_id))
        self._rows.remove_expired_blocks(now)
        self._audit.prune(now)

    def _get(self, job_id: str) -> Job:
        job = self._store.get(job_id)
        if job is None:
            raise _no_clip()
        return job


def connect_moderation(
    store: JobStore, artifacts: Artifacts, shares: Shares, uploads: Uploads, batches: BatchFiles
) -> Moderation:
    """Also refuses links and uploads of what is blocked."""
    made = Moderation(store, artifacts, shares, uploads.settings, batches.remove)
    shares.check_new = made.check_shared
    uploads.checks = made.block_list
    return made


def _readable(text: str) -> str:
    """Without control characters and halves of characters, which no database stores."""
    return "".join(c for c in text if c in JOINERS or c.isprintable() or c.isspace()).strip()


def _no_clip() -> KinoraError:
    return KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")


def _invalid(field: str, sentence: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": field})
