"""Gallery: an owner's clips to look through, sort, name, collect and delete.

What is deleted is hidden at once and removed when the time to undo is over, also after a restart:
the deadline is in the database (`gallery_deadlines`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from errors import ErrorCode, KinoraError
from jobs import gallery_rows, gallery_sql
from jobs.artifacts import Artifacts
from jobs.clip_collections import Collections
from jobs.clip_zip import clip_zip
from jobs.database import Database
from jobs.gallery_query import (
    MAX_PAGE,
    Facets,
    GalleryClip,
    GalleryPage,
    GalleryQuery,
    Storage,
    check_query,
    invalid,
    is_storable,
)
from jobs.job import Job, new_id
from jobs.job_rows import job_of
from settings import Settings

UNDO_S = 10.0
"""How long a deletion can be undone."""
GRACE_S = 2.0
"""Longer than that on the server: a press in the last moment takes a while to arrive."""
MAX_IDS = 10_000
"""Clips that one request may name."""
MAX_TITLE = 120
MAX_RELATIVES = 60
SELECTION_S = 3600


class Deletion(NamedTuple):
    """What became of a deletion."""

    deleted: list[str]
    unfinished: list[str]
    """Not deleted: they are still being made."""
    undo_until: float
    """Unix seconds."""


class Relative(NamedTuple):
    """`relation`: parent, variation, draft (beside it), or how one was made from the other:
    continued_from, edited_from, picture_from, continued_to, edited_to, picture_to; edit_of and edit
    for the clips of an edit and the edits of a clip; shot for another take or shot of its film."""

    relation: str
    clip: GalleryClip


class Gallery:
    """Thread-safe. For another owner, clips and collections do not exist."""

    def __init__(
        self,
        database: Database,
        artifacts: Artifacts,
        settings: Settings,
        on_deadline: Callable[[float], None],
    ) -> None:
        """`on_deadline` is called with the time at which deleted clips are to be removed."""
        self._database = database
        self._artifacts = artifacts
        self._settings = settings
        self._on_deadline = on_deadline
        self._is_complete = threading.Event()
        self._completing = threading.Lock()
        self.collections = Collections(database)

    def complete(self) -> int:
        """Adds what is missing of jobs that an earlier version has accepted; returns how many."""
        with self._completing:
            added = gallery_rows.add_missing_rows(self._database)
            self._is_complete.set()
        return added

    def tidy(self) -> None:
        """Every ten minutes: jobs of another version's server get their rows, and collections that
        nobody can see any more are removed."""
        self.complete()
        self.collections.remove_of_past_visitors()

    # -- look through ------------------------------------------------------------------------------

    def page(self, owner: str, query: GalleryQuery, limit: int = 60) -> GalleryPage:
        """Raises KinoraError(INVALID_INPUT)."""
        check_query(query)
        self._wait_until_complete()
        limit = max(1, min(limit, MAX_PAGE))
        with self._database.reading.begin() as tx:
            rows = gallery_sql.page_rows(tx, owner, query, limit)
            total = None if query.after else gallery_sql.count(tx, owner, query)
        is_last = len(rows) < limit
        cursor = None if is_last else gallery_sql.position_of(rows[-1], query.sort).encode()
        return GalleryPage(self._clips(rows), cursor, total)

    def ids(self, owner: str, query: GalleryQuery) -> list[str]:
        """The ids of all that a query finds, to select them. Raises KinoraError(INVALID_INPUT)."""
        check_query(query)
        self._wait_until_complete()
        with self._database.reading.begin() as tx:
            return gallery_sql.ids(tx, owner, query, MAX_IDS)

    def clips(self, owner: str, job_ids: Sequence[str]) -> list[GalleryClip]:
        """Those of the ids that are the owner's and not deleted, in the order of the ids."""
        self._wait_until_complete()
        with self._database.reading.begin() as tx:
            rows = gallery_sql.rows_of(tx, owner, _checked(job_ids))
        by_id = {clip.job.id: clip for clip in self._clips(rows)}
        return [by_id[each] for each in job_ids if each in by_id]

    def clip(self, owner: str, job_id: str) -> GalleryClip:
        """Raises KinoraError(NOT_FOUND)."""
        found = self.clips(owner, [job_id])
        if not found:
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
        return found[0]

    def family(self, owner: str, job_id: str) -> list[Relative]:
        """The clips around one: what it was made from, what was made from it, its other drafts.
        Raises KinoraError(NOT_FOUND)."""
        self._wait_until_complete()
        with self._database.reading.begin() as tx:
            rows = gallery_sql.rows_of(tx, owner, _checked([job_id]))
            if not rows:
                raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
            found = gallery_sql.relatives(tx, rows[0], MAX_RELATIVES)
        relations: dict[str, str] = {}
        for each, relation in found:
            relations.setdefault(each, relation)
        relatives = self.clips(owner, list(relations))
        return [Relative(relations[clip.job.id], clip) for clip in relatives]

    def facets(self, owner: str) -> Facets:
        """What there is to filter by."""
        self._wait_until_complete()
        with self._database.reading.begin() as tx:
            return gallery_sql.facets(tx, owner)

    def storage(self, owner: str) -> Storage:
        self._wait_until_complete()
        limit, days = self._settings.max_disk_gb, self._settings.keep_clips_days
        with self._database.reading.begin() as tx:
            clips, used = gallery_sql.used_bytes(tx, owner)
            of_all = gallery_sql.used_bytes(tx)[1] if limit else 0
            oldest = gallery_sql.oldest_ended_at(tx, owner) if days else None
        return Storage(
            clips=clips,
            bytes=used,
            limit_bytes=int(limit * 1e9) if limit else None,
            used_share=min(1.0, of_all / (limit * 1e9)) if limit else None,
            keep_days=days,
            oldest_goes_at=oldest + days * 86400 if oldest and days else None,
        )

    # -- name, star --------------------------------------------------------------------------------

    def rename(self, owner: str, job_id: str, title: str | None) -> GalleryClip:
        """An empty title is none. Raises KinoraError: INVALID_INPUT, NOT_FOUND."""
        title = " ".join((title or "").split()) or None
        if title and (len(title) > MAX_TITLE or not is_storable(title)):
            raise invalid("title", f"A title has at most {MAX_TITLE} letters.")
        job = self.clip(owner, job_id).job
        with self._database.durable.begin() as tx:
            gallery_rows.rename(tx, job.id, title, job.fitted)
        return self.clip(owner, job_id)

    def star(self, owner: str, job_ids: Sequence[str], starred: bool) -> int:
        """Returns how many of the ids are the owner's."""
        self._wait_until_complete()
        with self._database.durable.begin() as tx:
            return gallery_sql.star(tx, owner, _checked(job_ids), starred)

    # -- delete and undo ---------------------------------------------------------------------------

    def delete(self, owner: str, job_ids: Sequence[str]) -> Deletion:
        """Hides the clips now and removes them in ten seconds, unless they are restored. Those that
        are still being made stay."""
        self._wait_until_complete()
        now = time.time()
        with self._database.durable.begin() as tx:
            found = gallery_sql.deletable(tx, owner, _checked(job_ids))
            marked = gallery_sql.mark_deleted(tx, found.ended, now + UNDO_S + GRACE_S)
        if marked:
            self._on_deadline(now + UNDO_S + GRACE_S)
        return Deletion(marked, found.unfinished, now + UNDO_S)

    def restore(self, owner: str, job_ids: Sequence[str]) -> list[str]:
        """Undoes a deletion; returns the ids of the clips that are back. Raises KinoraError(GONE)
        if it is too late for all of them."""
        with self._database.durable.begin() as tx:
            restored = gallery_sql.restore(tx, owner, _checked(job_ids))
        if job_ids and not restored:
            raise KinoraError(ErrorCode.GONE, "It is too late: the clips are deleted.")
        return restored

    def deleted(self, owner: str) -> Deletion | None:
        """The clips that can still be restored, as after a reload of the page."""
        with self._database.reading.begin() as tx:
            found = gallery_sql.deleted(tx, owner)
        until = max((delete_at for _, delete_at in found), default=0.0) - GRACE_S
        left = [job_id for job_id, delete_at in found if delete_at - GRACE_S > time.time()]
        return Deletion(left, [], until) if left else None

    # -- zip ---------------------------------------------------------------------------------------

    def zip(self, owner: str, job_ids: Sequence[str]) -> Iterator[bytes]:
        """The pieces of a zip of the finished clips, written while it is read. Raises
        KinoraError(CONFLICT) if there is none among them."""
        clips = [clip for clip in self.clips(owner, job_ids) if _has_file(clip.job)]
        if not clips:
            raise KinoraError(ErrorCode.CONFLICT, "None of these clips has a file.")
        return clip_zip(clips, self._artifacts)

    def select(self, owner: str, job_ids: Sequence[str]) -> str:
        """Stores which clips a zip is to have, for an address that a browser can open; returns the
        id of the selection, which is kept for an hour."""
        now, ids = time.time(), json.dumps(list(_checked(job_ids)))
        row = {"id": new_id(), "owner": owner, "ids": ids, "at": now}
        with self._database.light.begin() as tx:
            gallery_sql.add_selection(tx, row, now - SELECTION_S)
        return row["id"]

    def selection(self, selection_id: str) -> tuple[str, list[str]]:
        """The owner and the clips. Raises KinoraError(NOT_FOUND)."""
        with self._database.reading.begin() as tx:
            found = gallery_sql.find_selection(tx, selection_id)
        if found is None:
            raise KinoraError(ErrorCode.NOT_FOUND, "This address has expired. Select them again.")
        return found[0], json.loads(found[1])

    # -- family ------------------------------------------------------------------------------------

    def remember_input(self, owner: str, upload: str, job_id: str) -> None:
        """An upload was made of that clip: what the owner makes from it is of its family."""
        with self._database.light.begin() as tx:
            gallery_sql.remember_input(tx, owner, upload, job_id)

    # -- helpers -----------------------------------------------------------------------------------

    def _wait_until_complete(self) -> None:
        if not self._is_complete.is_set():
            self.complete()

    def _clips(self, rows: Sequence[gallery_sql.Row]) -> tuple[GalleryClip, ...]:
        of_clips = self.collections.of_clips([row["job_id"] for row in rows])
        return tuple(
            GalleryClip(
                job=job_of(_job_columns(row)),
                title=row["title"],
                starred=bool(row["starred"]),
                collections=of_clips.get(row["job_id"], ()),
            )
            for row in rows
        )


def _job_columns(row: gallery_sql.Row) -> dict[str, Any]:
    return {name[2:]: value for name, value in row.items() if name.startswith("j_")}


def _has_file(job: Job) -> bool:
    return bool(job.result and not job.result.gone)


def _checked(job_ids: Sequence[str]) -> Sequence[str]:
    if len(job_ids) > MAX_IDS:
        raise invalid("ids", f"At most {MAX_IDS} clips at a time.")
    if not all(is_storable(each) for each in job_ids):
        raise invalid("ids", "An id has 32 hexadecimal digits.")
    return job_ids
