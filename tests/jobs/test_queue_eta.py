"""Where a waiting clip stands: exact while the line is short, read seldom where it is long."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
from sqlalchemy import event

from jobs.estimate import Estimator
from jobs.event_types import Failed, JobCancelled
from jobs.events import EventLog
from jobs.job import Job, State
from jobs.queue_eta import LONG, QueueEta
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from tests.jobs.conftest import MakeJob, accept


@pytest.fixture
def turns(store: JobStore, tiny_cards: Mapping[str, ModelCard]) -> QueueEta:
    return QueueEta(store, EventLog(store), Estimator(store, tiny_cards), lambda: 1)


def places(turns: QueueEta, jobs: list[Job]) -> list[int]:
    return [turns.estimate(job).before for job in jobs]


def test_each_stands_where_it_will_be_started(
    store: JobStore, turns: QueueEta, make_job: MakeJob
) -> None:
    jobs = [accept(store, make_job(owner=owner)) for owner in ("a", "a", "a", "b", "a", "c")]
    by_id = {job.id: job for job in jobs}
    line = store.queued_ids()
    assert places(turns, [by_id[i] for i in line]) == list(range(6))
    assert line.index(jobs[5].id) == 2, "a newcomer goes before the second clip of the others"


def test_who_runs_goes_first_and_who_left_is_not_counted(
    store: JobStore, turns: QueueEta, make_job: MakeJob
) -> None:
    first, second, third, last = (accept(store, make_job()) for _ in range(4))
    assert store.claim()
    assert places(turns, [second, third, last]) == [1, 2, 3]
    store.move(second.id, State.QUEUED, State.CANCELLED, JobCancelled())
    assert places(turns, [third, last]) == [1, 2]
    store.move(first.id, State.RUNNING, State.FAILED, Failed())
    assert places(turns, [third, last]) == [0, 1]


def test_the_wait_is_what_those_before_it_take(
    store: JobStore, turns: QueueEta, make_job: MakeJob
) -> None:
    jobs = [accept(store, make_job()) for _ in range(5)]
    one_s = turns.estimate(jobs[0]).seconds
    for place, job in enumerate(jobs):
        assert turns.estimate(job).seconds == pytest.approx((place + 1) * one_s)


def test_several_workers_share_the_wait(
    store: JobStore, tiny_cards: Mapping[str, ModelCard], make_job: MakeJob
) -> None:
    four = QueueEta(store, EventLog(store), Estimator(store, tiny_cards), lambda: 4)
    jobs = [accept(store, make_job()) for _ in range(9)]
    one_s = four.estimate(jobs[0]).seconds
    assert four.estimate(jobs[8]).seconds == pytest.approx(3 * one_s)


def test_a_long_line_is_read_once_for_all_who_come_meanwhile(
    store: JobStore, turns: QueueEta, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.queue_eta.SHARE", 1e6)  # however slow this machine is
    monkeypatch.setattr("jobs.queue_eta.FRESH_S", 60.0)
    for _ in range(LONG):
        accept(store, make_job(owner="many"))
    read: list[str] = []
    turns.estimate(accept(store, make_job(owner="me")))
    event.listen(store.database.reading.engine, "begin", lambda _: read.append("a reading"))
    mine = accept(store, make_job(owner="newcomer"))
    assert turns.estimate(mine).before == store.queued_ids().index(mine.id)
    mine = accept(store, make_job(owner="many"))
    assert turns.estimate(mine).before == store.queued_ids().index(mine.id) - 1, (
        "one newcomer unheard of"
    )
    assert len(read) <= 2 + 3, "store.queued_ids() twice, and an estimate"


def test_nobody_waits_for_the_one_who_reads_a_long_line(
    store: JobStore, tiny_cards: Mapping[str, ModelCard], make_job: MakeJob
) -> None:
    jobs = [accept(store, make_job()) for _ in range(LONG + 2)]
    reading, go_on = threading.Event(), threading.Event()
    go_on.set()

    def workers() -> int:
        reading.set()
        assert go_on.wait(60)
        return 1

    turns = QueueEta(store, EventLog(store), Estimator(store, tiny_cards), workers)
    assert turns.estimate(jobs[-1]).before == LONG + 1
    assert store.claim()
    turns._snapshot.read_at -= 1.5  # so that it is read anew
    reading.clear()
    go_on.clear()
    slow = threading.Thread(target=turns.estimate, args=(jobs[-1],))
    slow.start()
    assert reading.wait(60)
    assert turns.estimate(jobs[-1]).before == LONG + 1, "as it was, at once"
    go_on.set()
    slow.join(60)
    assert turns.estimate(jobs[1]).before == 1, "and as it is, afterwards"
    assert turns._snapshot.running == 1
