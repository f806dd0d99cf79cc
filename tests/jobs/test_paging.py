"""A list is read to its end whatever is removed meanwhile. `test_postgresql` runs this as well."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from jobs import removed_jobs
from jobs.job import State, new_id
from jobs.migrations import MIGRATIONS
from jobs.store import JobStore
from tests.jobs.conftest import MakeJob

REMOVED = st.sets(st.integers(0, 9))
"""Which of a page's clips are removed before the next page is asked for."""


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12),
    st.integers(1, 5),
    st.booleans(),
    st.lists(REMOVED, max_size=12),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_listing_while_removing_visits_every_clip_exactly_once(
    store: JobStore,
    make_job: MakeJob,
    moments: list[int],
    limit: int,
    oldest_first: bool,
    gone: list[set[int]],
) -> None:
    """`moments`: when each was accepted; many in the same moment."""
    owner = new_id()
    begun = time.time()
    done = {"state": State.CANCELLED, "ended_at": begun}
    made = [
        make_job(owner=owner).model_copy(update={"created_at": begun + at} | done) for at in moments
    ]
    store.add_all(made, max_queue=10_000, max_per_owner=10_000)
    in_order = [
        job.id
        for job in sorted(made, key=lambda job: (job.created_at, job.id), reverse=not oldest_first)
    ]
    seen: list[str] = []
    last: str | None = None
    for removes in [*gone, *[set(range(10))] * len(made)]:
        page = store.history(owner, limit, last, oldest_first=oldest_first)
        seen += [job.id for job in page]
        if not page:
            break
        last = page[-1].id
        for n in removes:
            if n < len(page):
                assert store.delete(page[n].id)
    assert seen == in_order


def test_after_a_clip_that_was_removed_long_ago_or_was_never_ones_own_there_is_no_list(
    store: JobStore, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = (
        make_job(owner=owner).model_copy(update={"state": State.CANCELLED, "ended_at": 1.0})
        for owner in ("me", "another")
    )
    for job in (mine, other):
        store.add(job, max_queue=10_000, max_per_owner=10_000)

    def refused(owner: str, name: str) -> None:
        with pytest.raises(KinoraError) as refusal:
            store.history(owner, 5, name)
        assert refusal.value.code is ErrorCode.NOT_FOUND

    for nonsense in (other.id, new_id(), "nonsense", "'; DROP TABLE jobs", "0" * 64):
        refused("me", nonsense)
    assert store.delete(other.id)
    refused("me", other.id)
    assert store.history("another", 5, other.id) == []
    monkeypatch.setattr(removed_jobs, "KEPT_S", -1)
    assert store.delete(mine.id)  # forgets what is older than that
    refused("another", other.id)


def test_a_database_from_before_keeps_its_clips_and_their_places(
    tmp_path: Path, make_job: MakeJob
) -> None:
    path = tmp_path / "kinora.db"
    store = JobStore(f"sqlite:///{path}")
    ids = []
    for n in range(3):
        job = make_job(owner="me").model_copy(
            update={"state": State.CANCELLED, "ended_at": 1.0, "created_at": float(n)}
        )
        store.add(job, max_queue=10, max_per_owner=10)
        ids.append(job.id)
    store.close()
    with sqlite3.connect(path) as old:  # as an earlier version left it
        names = [name for name, _ in MIGRATIONS if name >= "0006"]
        old.execute("DROP TABLE removed")
        old.executemany("DELETE FROM migrations WHERE name = ?", [(name,) for name in names[:1]])
    old.close()
    store = JobStore(f"sqlite:///{path}")
    try:
        assert store.delete(ids[1])
        assert [job.id for job in store.history("me", 5, ids[1])] == [ids[0]]
    finally:
        store.close()
