"""What the database promises, on a real SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest

from errors import ErrorCode, KinoraError
from jobs.event_types import Event, JobCancelled, Requeued, StepDone, Succeeded
from jobs.job import Result, State
from jobs.migrations import MIGRATIONS
from jobs.store import JobStore
from tests.jobs.conftest import MakeJob, accept

RESULT = Result(
    clip="clip.mp4",
    poster="poster.jpg",
    last_frame="last.png",
    width=64,
    height=64,
    num_frames=9,
    fps=8,
    size_bytes=1,
)


def test_a_job_comes_back_as_it_was_accepted(store: JobStore, make_job: MakeJob) -> None:
    job = accept(store, make_job(prompt="ein Hund “läuft” \N{DOG}"))
    assert store.get(job.id) == job
    assert [e.kind for e in store.events(job.id)] == ["queued"]


def test_an_unknown_job_is_none(store: JobStore) -> None:
    assert store.get("f" * 32) is None


def test_accepting_is_synced_to_the_disk_and_progress_need_not_be(store: JobStore) -> None:
    def pragma(engine: str, name: str) -> object:
        with getattr(store.database, engine).begin() as tx:
            return tx.exec_driver_sql(f"PRAGMA {name}").scalar()

    assert pragma("durable", "journal_mode") == "wal"
    assert pragma("durable", "synchronous") == 2  # FULL
    assert pragma("light", "synchronous") == 1  # NORMAL


def test_migrations_are_named_and_run_once(tmp_path: Path) -> None:
    path = tmp_path / "kinora.db"
    for _ in range(2):
        JobStore(f"sqlite:///{path}").close()
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM migrations ORDER BY name")]
    connection.close()
    assert names == [name for name, _ in MIGRATIONS] == sorted(names)
    numbers = [int(name[:4]) for name in names]
    assert numbers == sorted(set(numbers)), "branches may leave one to each other"


def test_each_job_is_claimed_exactly_once(store_url: str, make_job: MakeJob) -> None:
    """8 claimers, each with a connection of its own as another process would have, 200 jobs."""
    stores = [JobStore(store_url) for _ in range(8)]
    ids = {accept(stores[0], make_job(owner=f"v{i % 7}")).id for i in range(200)}
    claimed: list[str] = []

    def claim_all(store: JobStore) -> None:
        while job := store.claim():
            claimed.append(job.id)

    threads = [threading.Thread(target=claim_all, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert Counter(claimed) == Counter(ids)


def test_a_claim_counts_the_attempt_and_starts_the_log(store: JobStore, make_job: MakeJob) -> None:
    job = accept(store, make_job())
    claimed = store.claim()
    assert claimed and claimed.id == job.id
    assert (claimed.state, claimed.attempts) == (State.RUNNING, 1)
    assert store.events(job.id)[-1].data == {"attempt": 1}
    assert store.claim() is None


def test_a_claim_can_be_limited_to_some_jobs(store: JobStore, make_job: MakeJob) -> None:
    accept(store, make_job())
    later = accept(store, make_job())
    claimed = store.claim({later.id})
    assert claimed and claimed.id == later.id
    assert store.claim(set()) is None


def test_servers_claim_only_what_they_accepted(store_url: str, make_job: MakeJob) -> None:
    page, command_line = JobStore(store_url, "page"), JobStore(store_url, "cli")
    job = accept(page, make_job())
    assert command_line.claim() is None
    assert command_line.servers() == {"page"}
    assert command_line.take_over_queued("page") == 1
    assert page.claim() is None
    claimed = command_line.claim()
    assert claimed and claimed.id == job.id
    page.close()
    command_line.close()


def test_a_move_from_a_state_the_job_has_left_changes_nothing(
    store: JobStore, make_job: MakeJob
) -> None:
    job = accept(store, make_job())
    assert store.move(job.id, State.QUEUED, State.CANCELLED, JobCancelled())
    assert store.move(job.id, State.QUEUED, State.CANCELLED, JobCancelled()) is None
    assert [e.kind for e in store.events(job.id)] == ["queued", "cancelled"]


def test_an_illegal_move_is_refused(store: JobStore, make_job: MakeJob) -> None:
    job = accept(store, make_job())
    with pytest.raises(KinoraError) as refused:
        store.move(job.id, State.QUEUED, State.SUCCEEDED, Succeeded())
    assert refused.value.code is ErrorCode.CONFLICT


def test_a_discard_wins_over_a_clip_that_was_finished_meanwhile(
    store: JobStore, make_job: MakeJob
) -> None:
    job = accept(store, make_job())
    store.claim()
    assert store.request_stop(job.id, "discard")
    assert not store.request_stop(job.id, "finish")  # never taken back
    done = store.move(
        job.id,
        State.RUNNING,
        State.SUCCEEDED,
        Succeeded(),
        result=RESULT,
        unless_stop_request="discard",
    )
    assert done is None


def test_who_listens_badly_costs_neither_the_writer_nor_the_others(
    store: JobStore, make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def fails(event: Event) -> None:
        raise ValueError(event.kind)

    store.subscribe(fails)
    store.subscribe(lambda event: heard.append(event.kind))
    job = make_job()
    store.add(job, max_queue=9, max_per_owner=9)
    claimed = store.claim()
    assert claimed and claimed.id == job.id
    assert store.append(job.id, StepDone())
    assert heard == ["queued", "started", "step"]
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3


def test_late_news_of_an_ended_job_is_dropped(store: JobStore, make_job: MakeJob) -> None:
    job = accept(store, make_job())
    store.claim()
    assert store.append(job.id, StepDone(1))
    store.move(job.id, State.RUNNING, State.SUCCEEDED, Succeeded(), result=RESULT)
    assert store.append(job.id, StepDone(2)) is None
    assert store.append("f" * 32, StepDone()) is None
    assert [e.n for e in store.events(job.id)] == [1, 2, 3, 4]


def test_numbers_have_no_gaps_with_many_writers(store: JobStore, make_job: MakeJob) -> None:
    job = accept(store, make_job())
    store.claim()

    def write() -> None:
        for index in range(25):
            store.append(job.id, StepDone(index))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [e.n for e in store.events(job.id)] == list(range(1, 103))


def test_history_pages_through_an_owners_clips_newest_first(
    store: JobStore, make_job: MakeJob
) -> None:
    mine = [accept(store, make_job()).id for _ in range(7)]
    accept(store, make_job(owner="somebody else"))
    first = [job.id for job in store.history("visitor", limit=3)]
    second = [job.id for job in store.history("visitor", limit=3, before=first[-1])]
    third = [job.id for job in store.history("visitor", limit=3, before=second[-1])]
    assert first + second + third == mine[::-1]


def test_news_of_a_run_that_was_given_up_changes_nothing(
    store: JobStore, make_job: MakeJob
) -> None:
    """Its server was thought dead, and came back when the job ran anew."""
    job = accept(store, make_job())
    first = store.claim()
    assert first and first.started_at
    assert store.move(job.id, State.RUNNING, State.QUEUED, Requeued(), run=first.started_at)
    again = store.claim()
    assert again
    assert not store.move(
        job.id, State.RUNNING, State.SUCCEEDED, Succeeded(), result=RESULT, run=first.started_at
    )
    assert store.move(
        job.id, State.RUNNING, State.SUCCEEDED, Succeeded(), result=RESULT, run=again.started_at
    )


def test_the_line_says_which_model_each_job_wants(store: JobStore, make_job: MakeJob) -> None:
    ids = [accept(store, make_job(owner=owner)).id for owner in "aab"]
    assert [job.id for job in store.waiting()] == store.queued_ids() == [ids[0], ids[2], ids[1]]
    assert {job.model for job in store.waiting()} == {"pocket"}


def test_times_in_the_line_are_exact(store: JobStore, make_job: MakeJob) -> None:
    at = [1795287079.1234567, 1795287079.1234570, 0.1, 1e-9]
    for created_at in at:
        accept(store, make_job(owner="a").model_copy(update={"created_at": created_at}))
    store.claim()
    waiting, served = store.queued()
    assert sorted(job.created_at for job in waiting) == sorted(at)[1:]
    assert served == {"a": store.running()[0].started_at}


def test_the_queue_and_each_visitor_have_a_limit(store: JobStore, make_job: MakeJob) -> None:
    for _ in range(2):
        store.add(make_job(owner="a"), max_queue=3, max_per_owner=2)
    with pytest.raises(KinoraError) as refused:
        store.add(make_job(owner="a"), max_queue=3, max_per_owner=2)
    assert refused.value.code is ErrorCode.RATE_LIMITED
    store.add(make_job(owner="b"), max_queue=3, max_per_owner=2)
    with pytest.raises(KinoraError) as refused:
        store.add(make_job(owner="c"), max_queue=3, max_per_owner=2)
    assert refused.value.code is ErrorCode.QUEUE_FULL


def test_the_limits_hold_against_many_at_once(store: JobStore, make_job: MakeJob) -> None:
    accepted: list[str] = []

    def submit() -> None:
        job = make_job()
        try:
            store.add(job, max_queue=100, max_per_owner=4)
        except KinoraError:
            return
        accepted.append(job.id)

    threads = [threading.Thread(target=submit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 4


def test_only_ended_jobs_can_be_deleted_and_their_events_go_with_them(
    store: JobStore, make_job: MakeJob
) -> None:
    job = accept(store, make_job())
    assert not store.delete(job.id)
    store.move(job.id, State.QUEUED, State.CANCELLED, JobCancelled())
    assert store.delete(job.id)
    assert store.get(job.id) is None
    assert store.events(job.id) == []


def test_a_full_disk_refuses_the_clip_with_a_sentence(tmp_path: Path, make_job: MakeJob) -> None:
    """SQLite's own limit on pages stands for the disk: it gives the very same error."""
    store = JobStore(f"sqlite:///{tmp_path / 'kinora.db'}")
    kept = accept(store, make_job())
    with store.database.durable.begin() as tx:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar()
    listen = store.database.durable.engine.pool
    for connection in [listen.connect() for _ in range(1)]:
        connection.execute(f"PRAGMA max_page_count = {pages}").close()  # type: ignore[attr-defined]
        connection.close()
    with pytest.raises(KinoraError) as refused:
        for _ in range(100):
            accept(store, make_job(prompt="a dog " * 100))
    assert refused.value.code is ErrorCode.OUT_OF_DISK
    assert str(tmp_path) not in refused.value.message
    assert store.get(kept.id) == kept
    store.close()


def test_a_database_that_is_gone_is_a_sentence(tmp_path: Path, make_job: MakeJob) -> None:
    folder = tmp_path / "disk"
    store = JobStore(f"sqlite:///{folder / 'kinora.db'}")
    store.close()
    folder.rename(tmp_path / "unmounted")
    with pytest.raises(KinoraError) as refused:
        accept(store, make_job())
    assert refused.value.code is ErrorCode.UNAVAILABLE
    assert str(tmp_path) not in refused.value.message
    (tmp_path / "unmounted").rename(folder)
    accept(store, make_job())
    store.close()
