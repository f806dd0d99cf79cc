"""Pages of the gallery: every clip once, in any order, at the same price for thousands.
`test_postgresql` runs this as well."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from errors import ErrorCode, KinoraError
from jobs import gallery_sql
from jobs.gallery import Gallery
from jobs.gallery_query import GalleryQuery, Sort, parse_position
from jobs.gallery_sql import page_statements
from jobs.job import State, new_id
from jobs.store import JobStore
from tests.jobs.conftest import MakeJob, accept
from tests.jobs.many_clips_of_one import fill
from tests.jobs.test_gallery import ME, OTHER, code_of, found

SORTS = {
    Sort.NEWEST: lambda job: (-job.created_at, [-ord(c) for c in job.id]),
    Sort.OLDEST: lambda job: (job.created_at, job.id),
    Sort.LONGEST: lambda job: (
        -job.fitted.duration_s, -job.created_at, [-ord(c) for c in job.id],
    ),
    Sort.SHORTEST: lambda job: (job.fitted.duration_s, job.created_at, job.id),
    Sort.MODEL: lambda job: (job.fitted.model, -job.created_at, [-ord(c) for c in job.id]),
}  # fmt: skip
CLIPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([9, 17, 25]), st.sampled_from("abc")), max_size=14
)


@given(CLIPS, st.integers(1, 5), st.sampled_from(Sort), st.lists(st.integers(0, 4), max_size=6))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_pages_in_any_order_have_every_clip_once_though_some_are_deleted(
    store: JobStore,
    gallery: Gallery,
    make_job: MakeJob,
    described: list[tuple[int, int, str]],
    limit: int,
    sort: Sort,
    deleted: list[int],
) -> None:
    """Many of the same moment, length and model. `deleted`: a clip of each page that is deleted
    before the next one is requested."""
    owner = new_id()
    made = []
    for at, frames, model in described:
        job = make_job(owner=owner, num_frames=frames)
        fitted = job.fitted.model_copy(update={"model": model})
        made.append(
            job.model_copy(
                update={"created_at": 1e9 + at, "fitted": fitted, "state": State.FAILED}
                | {"ended_at": 1e9}
            )
        )
    if made:
        store.add_all(made, max_queue=10_000, max_per_owner=10_000)
    seen: list[str] = []
    cursor: str | None = None
    removes = iter(deleted)
    while True:
        page = gallery.page(owner, GalleryQuery(sort=sort, after=parse_position(cursor)), limit)
        assert (page.total is None) == (cursor is not None)
        assert page.total in (None, len(made))
        seen += [clip.job.id for clip in page.clips]
        cursor = page.next
        if cursor is None:
            break
        gone = next(removes, 9)
        if gone < len(page.clips):
            assert store.delete(page.clips[gone].job.id)
    assert seen == [job.id for job in sorted(made, key=SORTS[sort])]


@pytest.mark.parametrize(
    "cursor", ["nonsense", "W10", "WzEsMiwzXQ", "WyJhIiwgMSwgIlx1MDAwMCJd", "é", "A" * 999]
)
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(KinoraError) as refused:
        parse_position(cursor)
    assert code_of(refused) is ErrorCode.INVALID_INPUT


def test_a_cursor_of_another_order_is_refused(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    for _ in range(3):
        accept(store, make_job(owner=ME))
    cursors = {
        sort: parse_position(gallery.page(ME, GalleryQuery(sort=sort), 2).next) for sort in Sort
    }
    for sort, other in [
        (Sort.LONGEST, Sort.NEWEST), (Sort.MODEL, Sort.LONGEST), (Sort.OLDEST, Sort.MODEL),
    ]:  # fmt: skip
        with pytest.raises(KinoraError) as refused:
            gallery.page(ME, GalleryQuery(sort=sort, after=cursors[other]))
        assert code_of(refused) is ErrorCode.INVALID_INPUT


def test_only_ones_own_clips_and_not_the_discarded_ones(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    mine, other, discarded = make_job(owner=ME), make_job(owner=OTHER), make_job(owner=ME)
    for job in (mine, other):
        accept(store, job)
    accept(store, discarded.model_copy(update={"state": State.CANCELLED, "ended_at": 1.0}))
    assert found(gallery) == [mine.id]
    assert found(gallery, OTHER) == [other.id]
    assert [clip.job.id for clip in gallery.clips(ME, [other.id, mine.id, "?"])] == [mine.id]
    with pytest.raises(KinoraError) as refused:
        gallery.clip(ME, other.id)
    assert code_of(refused) is ErrorCode.NOT_FOUND


def steps(store: JobStore, query: GalleryQuery) -> int:
    """What SQLite does for the first page, in units of 20 instructions of its virtual machine."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    with store.database.reading.begin() as tx:
        raw = tx.connection.driver_connection
        assert raw is not None
        raw.set_progress_handler(step, 20)
        try:
            gallery_sql.page_rows(tx, ME, query, 60)
        finally:
            raw.set_progress_handler(None, 0)
    return count


def test_a_page_reads_as_much_of_thousands_of_clips_as_of_two_hundred(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    fill(store, make_job(owner=ME), 200)
    fill(store, make_job(owner=OTHER), 200)
    few = {sort: steps(store, GalleryQuery(sort=sort)) for sort in Sort}
    fill(store, make_job(owner=ME), 1_800, seed=2)
    for sort in Sort:
        assert steps(store, GalleryQuery(sort=sort)) <= 1.1 * few[sort] + 5, sort
    page = gallery.page(ME, GalleryQuery(), 60)
    assert page.total == 2_000
    for _ in range(20):
        page = gallery.page(ME, GalleryQuery(after=parse_position(page.next)), 60)
    late = steps(store, GalleryQuery(after=parse_position(page.next)))
    assert late <= 1.1 * few[Sort.NEWEST] + 5, "the twentieth page as quickly as the first"


def test_every_order_has_an_index_and_nothing_is_sorted(
    store: JobStore, gallery: Gallery, make_job: MakeJob
) -> None:
    """As the database itself explains it."""
    fill(store, make_job(owner=ME), 2_000)
    is_sqlite = store.database.is_sqlite
    with store.database.durable.begin() as tx:
        tx.execute(text("ANALYZE"))
    for sort in Sort:
        page = gallery.page(ME, GalleryQuery(sort=sort), 60)
        for after in (None, parse_position(page.next)):
            for statement in page_statements(ME, GalleryQuery(sort=sort, after=after)):
                with store.database.reading.begin() as tx:
                    compiled = statement.limit(60).compile(
                        tx.engine, compile_kwargs={"literal_binds": True}
                    )
                    how = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
                    rows = tx.exec_driver_sql(f"{how} {compiled}".replace("%", "%%"))
                    plan = "\n".join(str(row[-1]) for row in rows)
                assert "clips_by_" in plan, plan
                assert not re.search("TEMP B-TREE|Sort", plan), plan
                assert "Seq Scan" not in plan, plan
