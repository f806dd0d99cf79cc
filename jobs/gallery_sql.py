"""The statements of the gallery: pages, stars, titles, deletion with undo, storage.

Pages go by the key of the last clip, so the hundredth costs as much as the first. Each function
runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)
from typing_extensions import Unpack

from jobs.database import jobs
from jobs.film_rows import siblings
from jobs.gallery_query import ClipStatus, Facets, GalleryQuery, Position, Sort
from jobs.gallery_rows import fold
from jobs.gallery_tables import clip_inputs, clips, collection_clips, edit_sources, selections
from jobs.job import State

IDS_PER_QUERY = 500
UNFINISHED = (State.QUEUED.value, State.RUNNING.value)
IS_SHOWN = and_(clips.c.delete_at.is_(None), jobs.c.state != State.CANCELLED.value)
STATES = {
    ClipStatus.RUNNING: UNFINISHED,
    ClipStatus.READY: (State.SUCCEEDED.value,),
    ClipStatus.FAILED: (State.FAILED.value,),
}
Rows = Select[Unpack[tuple[Any, ...]]]
Condition = ColumnElement[bool]
Row = RowMapping
"""The columns of `clips` by their names, and those of `jobs` as `j_...`."""


class Deletable(NamedTuple):
    """Which of some clips can be deleted: not those that are still being made."""

    ended: list[str]
    unfinished: list[str]


# -- pages -----------------------------------------------------------------------------------------


def page_rows(tx: Connection, owner: str, query: GalleryQuery, limit: int) -> list[RowMapping]:
    """The rows of `clips` and `jobs` of the next page, in order."""
    found: list[RowMapping] = []
    for statement in page_statements(owner, query):
        found += tx.execute(statement.limit(limit - len(found))).mappings()
        if len(found) == limit:
            break
    return found


def page_statements(owner: str, query: GalleryQuery) -> Iterator[Rows]:
    """One after the other they give everything after `query.after`. Each reads one range of an
    index, in its order: a condition with OR would make the database sort all of them."""
    columns = select(*clips.c, *(c.label(f"j_{c.name}") for c in jobs.c))
    found = columns.join(jobs, jobs.c.id == clips.c.job_id).where(
        clips.c.owner == owner, IS_SHOWN, *filters(owner, query)
    )
    place = clips.c.created_at, clips.c.job_id
    after = query.after
    at = (after.created_at, after.job_id) if after else None
    newest_first = [each.desc() for each in place]
    match query.sort:
        case Sort.NEWEST:
            found = found.where(tuple_(*place) < at) if at else found
            yield found.order_by(*newest_first)
        case Sort.OLDEST:
            found = found.where(tuple_(*place) > at) if at else found
            yield found.order_by(*place)
        case Sort.LONGEST | Sort.SHORTEST:
            key, is_down = (clips.c.seconds, *place), query.sort is Sort.LONGEST
            if after and at:
                last, of_clip = (after.key, *at), tuple_(*key)
                found = found.where(of_clip < last if is_down else of_clip > last)
            yield found.order_by(*(each.desc() if is_down else each for each in key))
        case Sort.MODEL:
            yield from _by_model(found, after, newest_first)


def _by_model(
    found: Rows, after: Position | None, newest_first: Sequence[ColumnElement[Any]]
) -> Iterator[Rows]:
    """By name; the newest clip of a model first, which is against the order of the names. So the
    rest of the model that the page before ended in comes first, then each next model."""
    model = after.key if after else None
    if after:
        place = tuple_(clips.c.created_at, clips.c.job_id)
        rest = found.where(clips.c.model == model, place < (after.created_at, after.job_id))
        yield rest.order_by(*newest_first)
        found = found.where(clips.c.model > model)
    yield found.order_by(clips.c.model, *newest_first)


def position_of(row: RowMapping, sort: Sort) -> Position:
    key = None
    if sort in (Sort.LONGEST, Sort.SHORTEST):
        key = row["seconds"]
    elif sort is Sort.MODEL:
        key = row["model"]
    return Position(key, row["created_at"], row["job_id"])


def filters(owner: str, query: GalleryQuery) -> Iterator[Condition]:
    if query.task:
        yield clips.c.task == query.task.value
    if query.model:
        yield clips.c.model == query.model
    if query.size:
        yield and_(clips.c.width == query.size[0], clips.c.height == query.size[1])
    if query.since is not None:
        yield clips.c.created_at >= query.since
    if query.until is not None:
        yield clips.c.created_at < query.until
    if query.starred:
        yield clips.c.starred == 1
    if query.status is ClipStatus.READY:
        yield jobs.c.state == State.SUCCEEDED.value
    elif query.status:  # few of many: found by the index of the states
        few = select(jobs.c.id).where(jobs.c.state.in_(STATES[query.status]), jobs.c.owner == owner)
        yield clips.c.job_id.in_(few)
    if query.collection:
        within = select(collection_clips.c.job_id)
        yield clips.c.job_id.in_(within.where(collection_clips.c.collection == query.collection))
    for word in query.words:
        yield clips.c.text.contains(fold(word), autoescape=True)


def count(tx: Connection, owner: str, query: GalleryQuery) -> int:
    """How many there are on all pages."""
    return tx.execute(_shown(func.count(), owner, query)).scalar_one()


def ids(tx: Connection, owner: str, query: GalleryQuery, limit: int) -> list[str]:
    """The ids of all that a query finds, newest first."""
    found = _shown(clips.c.job_id, owner, query)
    return list(tx.execute(found.order_by(clips.c.created_at.desc()).limit(limit)).scalars())


def _shown(what: Any, owner: str, query: GalleryQuery) -> Rows:
    found = select(what).select_from(clips).where(clips.c.owner == owner, *filters(owner, query))
    if query.status is ClipStatus.READY:
        return found.join(jobs, jobs.c.id == clips.c.job_id).where(IS_SHOWN)
    # looking up ten thousand jobs takes longer than all the rest of a page
    discarded = select(jobs.c.id).where(
        jobs.c.state == State.CANCELLED.value, jobs.c.owner == owner
    )
    return found.where(clips.c.delete_at.is_(None), clips.c.job_id.not_in(discarded))


def rows_of(tx: Connection, owner: str, job_ids: Sequence[str]) -> list[RowMapping]:
    """The rows of those ids that are the owner's and not deleted, in no order."""
    columns = select(*clips.c, *(c.label(f"j_{c.name}") for c in jobs.c))
    found = columns.join(jobs, jobs.c.id == clips.c.job_id).where(clips.c.owner == owner, IS_SHOWN)
    rows: list[RowMapping] = []
    for chunk in chunks(job_ids):
        rows += tx.execute(found.where(clips.c.job_id.in_(chunk))).mappings()
    return rows


def facets(tx: Connection, owner: str) -> Facets:
    def counted(*columns: Any) -> list[Any]:
        query = select(*columns, func.count()).select_from(clips)
        query = query.join(jobs, jobs.c.id == clips.c.job_id)
        query = query.where(clips.c.owner == owner, IS_SHOWN).group_by(*columns)
        return list(tx.execute(query.order_by(func.count().desc())))

    return Facets(
        models={model: n for model, n in counted(clips.c.model) if model},
        sizes={(width, height): n for width, height, n in counted(clips.c.width, clips.c.height)},
        tasks={task: n for task, n in counted(clips.c.task)},
    )


# -- stars -----------------------------------------------------------------------------------------


def star(tx: Connection, owner: str, job_ids: Sequence[str], starred: bool) -> int:
    """Returns how many of the ids are the owner's."""
    changed = 0
    for chunk in chunks(job_ids):
        mine = and_(clips.c.owner == owner, clips.c.job_id.in_(chunk))
        changed += tx.execute(update(clips).where(mine).values(starred=int(starred))).rowcount
    return changed


# -- deletion with undo ----------------------------------------------------------------------------


def deletable(tx: Connection, owner: str, job_ids: Sequence[str]) -> Deletable:
    found = Deletable([], [])
    query = select(jobs.c.id, jobs.c.state).where(jobs.c.owner == owner)
    for chunk in chunks(job_ids):
        for job_id, state in tx.execute(query.where(jobs.c.id.in_(chunk))):
            (found.unfinished if state in UNFINISHED else found.ended).append(job_id)
    return found


def mark_deleted(tx: Connection, job_ids: Sequence[str], delete_at: float) -> list[str]:
    """Returns the ids of those that are marked now and were not before."""
    marked: list[str] = []
    for chunk in chunks(job_ids):
        these = and_(clips.c.job_id.in_(chunk), clips.c.delete_at.is_(None))
        changed = update(clips).where(these).values(delete_at=delete_at).returning(clips.c.job_id)
        marked += tx.execute(changed).scalars()
    return marked


def restore(tx: Connection, owner: str, job_ids: Sequence[str]) -> list[str]:
    """Takes the mark from those that are still there; returns their ids."""
    restored: list[str] = []
    for chunk in chunks(job_ids):
        these = and_(
            clips.c.owner == owner, clips.c.job_id.in_(chunk), clips.c.delete_at.is_not(None)
        )
        changed = update(clips).where(these).values(delete_at=None).returning(clips.c.job_id)
        restored += tx.execute(changed).scalars()
    return restored


def deleted(tx: Connection, owner: str) -> list[tuple[str, float]]:
    """The owner's clips that are marked, and until when."""
    query = select(clips.c.job_id, clips.c.delete_at).where(
        clips.c.owner == owner, clips.c.delete_at.is_not(None)
    )
    return [(job_id, delete_at) for job_id, delete_at in tx.execute(query)]


def due(tx: Connection, now: float, limit: int) -> tuple[list[str], float | None]:
    """The clips whose time to undo is over, and when the next one's is."""
    marked = clips.c.delete_at.is_not(None)
    query = select(clips.c.job_id).where(marked, clips.c.delete_at <= now)
    found = list(tx.execute(query.order_by(clips.c.delete_at).limit(limit)).scalars())
    later = select(func.min(clips.c.delete_at)).where(marked, clips.c.delete_at > now)
    return found, tx.execute(later).scalar()


def is_due(job_id: str, now: float) -> Condition:
    """For a statement on `jobs`: the clip is still marked, and its time is over."""
    marked = select(clips.c.job_id).where(
        clips.c.job_id == job_id, clips.c.delete_at.is_not(None), clips.c.delete_at <= now
    )
    return marked.exists()


def is_deleted(owner: str) -> Condition:
    """For a statement on `jobs`: the owner has deleted the clip and may still undo that."""
    marked = select(clips.c.job_id).where(clips.c.owner == owner, clips.c.delete_at.is_not(None))
    return jobs.c.id.in_(marked)


# -- storage ---------------------------------------------------------------------------------------


def used_bytes(tx: Connection, owner: str | None = None) -> tuple[int, int]:
    """How many clips have a file, and what those take; of all owners if none is named."""
    query = select(func.count(), func.sum(clips.c.bytes)).where(clips.c.bytes > 0)
    found = tx.execute(query.where(clips.c.owner == owner) if owner else query).one()
    return found[0], int(found[1] or 0)


def oldest_ended_at(tx: Connection, owner: str) -> float | None:
    """When the oldest clip that has a file was finished."""
    query = select(func.min(jobs.c.ended_at)).join(clips, clips.c.job_id == jobs.c.id)
    return tx.execute(query.where(clips.c.owner == owner, clips.c.bytes > 0)).scalar()


# -- family ----------------------------------------------------------------------------------------


def remember_input(tx: Connection, owner: str, upload: str, job_id: str) -> None:
    """An upload was made of that clip: what is made from it next belongs to its family."""
    same = and_(clip_inputs.c.owner == owner, clip_inputs.c.upload == upload)
    tx.execute(delete(clip_inputs).where(same))
    tx.execute(insert(clip_inputs), {"owner": owner, "upload": upload, "job_id": job_id})


def relatives(tx: Connection, row: RowMapping, limit: int) -> list[tuple[str, str]]:
    """(id, relation) of the clips around one: what it was made from, what was made from it, and the
    other drafts."""
    found: list[tuple[str, str]] = []
    if row["parent"]:
        found.append((row["parent"], "parent"))
    if row["source"]:
        found.append((row["source"], f"{row['source_kind']}_from"))
    of_edit = select(edit_sources.c.source).where(edit_sources.c.job_id == row["job_id"])
    found += [(each, "edit_of") for each in tx.execute(of_edit.limit(limit)).scalars()]
    newest_first = clips.c.created_at.desc(), clips.c.job_id.desc()
    children = select(clips.c.job_id).where(clips.c.parent == row["job_id"])
    made = select(clips.c.job_id, clips.c.source_kind).where(clips.c.source == row["job_id"])
    found += [
        (each, "variation")
        for each in tx.execute(children.order_by(*newest_first).limit(limit)).scalars()
    ]
    found += [
        (each, f"{kind}_to") for each, kind in tx.execute(made.order_by(*newest_first).limit(limit))
    ]
    edits = select(clips.c.job_id).join(edit_sources, edit_sources.c.job_id == clips.c.job_id)
    edits = edits.where(edit_sources.c.source == row["job_id"]).order_by(*newest_first)
    found += [(each, "edit") for each in tx.execute(edits.limit(limit)).scalars()]
    if row["j_full_request"] and row["j_batch"]:
        drafts = select(jobs.c.id).where(jobs.c.batch == row["j_batch"], jobs.c.id != row["job_id"])
        drafts = drafts.order_by(jobs.c.created_at, jobs.c.id).limit(limit)
        found += [(each, "draft") for each in tx.execute(drafts).scalars()]
    return found + [(each, "shot") for each in siblings(tx, row["job_id"], limit)]


# -- selections ------------------------------------------------------------------------------------


def add_selection(tx: Connection, row: dict[str, Any], oldest: float) -> None:
    """Stores a selection, and removes those from before `oldest`."""
    tx.execute(delete(selections).where(selections.c.at < oldest))
    tx.execute(insert(selections), row)


def find_selection(tx: Connection, selection_id: str) -> tuple[str, str] | None:
    """Its owner and its ids as JSON."""
    query = select(selections.c.owner, selections.c.ids).where(selections.c.id == selection_id)
    found = tx.execute(query).first()
    return (found.owner, found.ids) if found else None


def chunks(job_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(job_ids), IDS_PER_QUERY):
        yield job_ids[start : start + IDS_PER_QUERY]
