"""Following a job's log: nothing is missed, nothing comes twice, and it ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from jobs.event_types import Event, Failed, JobCancelled, StepDone
from jobs.events import KEPT_LOGS, EventLog
from jobs.job import State
from jobs.store import JobStore
from pipelines.preview import Preview
from tests.jobs.conftest import MakeJob, accept, until


@pytest.fixture
def log(store: JobStore) -> EventLog:
    return EventLog(store)


def run(store: JobStore, log: EventLog, make_job: MakeJob, steps: int = 0) -> str:
    """A running job with that many steps behind it."""
    job = accept(store, make_job())
    store.claim()
    for index in range(steps):
        store.append(job.id, StepDone(index))
    return job.id


def end(store: JobStore, job_id: str) -> None:
    store.move(job_id, State.RUNNING, State.FAILED, Failed())


def preview(step: int, jpeg: bytes) -> Preview:
    return Preview(step, jpeg, frames=1, width=8, height=8, fps=8.0)


def numbers(events: Iterator[Event]) -> list[int]:
    return [event.n for event in events]


def test_the_log_of_an_ended_job_replays_from_any_number(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job, steps=5)
    end(store, job_id)
    for after in range(8):
        assert numbers(log.watch(job_id, after)) == list(range(after + 1, 9))
    assert numbers(log.watch(job_id, after=99)) == []


def test_a_log_that_is_not_in_memory_replays_from_the_database(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job, steps=5)
    end(store, job_id)
    assert numbers(EventLog(store).watch(job_id, after=2)) == [3, 4, 5, 6, 7, 8]


def test_a_log_that_began_before_a_restart_joins_up(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job, steps=5)
    after_restart = EventLog(store)
    store.append(job_id, StepDone(5))
    end(store, job_id)
    assert numbers(after_restart.watch(job_id)) == list(range(1, 10))
    assert numbers(after_restart.watch(job_id, after=7)) == [8, 9]


def test_watching_nothing_ends_at_once(log: EventLog) -> None:
    assert numbers(log.watch("f" * 32)) == []


def test_thirty_watchers_who_come_at_any_time_see_everything_in_order(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job)
    seen: list[list[int]] = [[] for _ in range(30)]

    def watch(place: int) -> None:
        seen[place] = numbers(log.watch(job_id, after=place % 3))

    threads = [threading.Thread(target=watch, args=(place,)) for place in range(30)]
    for thread in threads:
        thread.start()
        store.append(job_id, StepDone())
    for _ in range(50):
        store.append(job_id, StepDone())
    end(store, job_id)
    for thread in threads:
        thread.join(30)
    for place, numbers_seen in enumerate(seen):
        assert numbers_seen == list(range(place % 3 + 1, 84))


def test_news_arrives_at_once(store: JobStore, log: EventLog, make_job: MakeJob) -> None:
    job_id = run(store, log, make_job)
    delays: list[float] = []

    def watch() -> None:
        delays.extend(time.time() - event.at for event in log.watch(job_id, after=2))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(10):
        time.sleep(0.02)
        store.append(job_id, StepDone())
    end(store, job_id)
    watcher.join(30)
    assert len(delays) == 11
    assert sorted(delays)[5] < 0.25  # a few ms where nothing else runs


def test_a_quiet_job_gives_heartbeats(store: JobStore, log: EventLog, make_job: MakeJob) -> None:
    job_id = run(store, log, make_job)
    following = log.follow(job_id, after=2, tick_s=0.05)
    assert next(following) is None
    assert next(following) is None
    end(store, job_id)
    assert [e.kind for e in following if e] == ["failed"]


def test_a_watcher_who_leaves_disturbs_nobody(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job)
    leaving = log.watch(job_id)
    next(leaving)
    leaving.close()  # type: ignore[attr-defined]
    end(store, job_id)
    assert numbers(log.watch(job_id)) == [1, 2, 3]


def test_deleting_a_job_ends_its_watchers(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job)
    watched = threading.Event()
    over = threading.Event()

    def watch() -> None:
        for event in log.follow(job_id, after=0, tick_s=0.05):
            if event is None:
                watched.set()
        over.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert watched.wait(30)
    with store.database.durable.begin() as tx:
        tx.exec_driver_sql("DELETE FROM jobs")
    log.forget(job_id)
    assert over.wait(30)
    watcher.join()


def test_closing_the_log_ends_all_watchers(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job)
    watcher = threading.Thread(target=lambda: numbers(log.watch(job_id)))
    watcher.start()
    time.sleep(0.05)
    log.close()
    watcher.join(30)
    assert not watcher.is_alive()


def test_a_job_of_another_process_is_followed_too(store_url: str, make_job: MakeJob) -> None:
    url = store_url
    there, here = JobStore(url), JobStore(url)
    job = accept(there, make_job())
    log = EventLog(here)
    seen: list[int] = []
    watcher = threading.Thread(target=lambda: seen.extend(numbers(log.watch(job.id))))
    watcher.start()
    until(lambda: seen == [] and watcher.is_alive())
    there.claim()
    there.append(job.id, StepDone())
    there.move(job.id, State.RUNNING, State.CANCELLED, JobCancelled())
    watcher.join(30)
    there.close()
    here.close()
    assert seen == [1, 2, 3, 4]


def test_async_watchers_see_everything_in_order(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job)

    async def collect(events: AsyncIterator[Event]) -> list[int]:
        return [event.n async for event in events]

    def work() -> None:
        for _ in range(50):
            store.append(job_id, StepDone())
            time.sleep(0.002)
        end(store, job_id)

    async def watch_all() -> list[list[int]]:
        worker = threading.Thread(target=work)
        worker.start()
        watching = [collect(log.awatch(job_id, after=place % 4)) for place in range(20)]
        seen = await asyncio.wait_for(asyncio.gather(*watching), 30)
        worker.join()
        return seen

    for place, seen in enumerate(asyncio.run(watch_all())):
        assert seen == list(range(place % 4 + 1, 54))


def test_an_async_watcher_gets_heartbeats_and_can_leave(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job)

    async def watch() -> list[object]:
        following = log.afollow(job_id, after=2, tick_s=0.02)
        ticks: list[object] = [await following.__anext__() for _ in range(2)]
        await following.aclose()  # type: ignore[attr-defined]
        return ticks

    assert asyncio.run(watch()) == [None, None]
    end(store, job_id)  # nobody is there to be woken, and nothing breaks
    assert not log._waiters


def test_only_the_latest_preview_is_kept_and_it_is_numbered(log: EventLog) -> None:
    assert log.latest_preview("a") is None
    log.keep_preview("a", preview(1, b"one"))
    log.keep_preview("b", preview(1, b"other"))
    log.keep_preview("a", preview(2, b"two"))
    latest = log.latest_preview("a")
    assert latest and (latest.number, latest.jpeg, latest.index) == (2, b"two", 2)


def test_memory_does_not_grow_with_jobs(
    store: JobStore, log: EventLog, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.events.KEPT_LOGS", 3)
    monkeypatch.setattr("jobs.events.KEPT_PREVIEWS", 3)
    ids = [run(store, log, make_job, steps=2) for _ in range(6)]
    for job_id in ids:
        log.keep_preview(job_id, preview(1, b""))
    for job_id in ids:
        end(store, job_id)
    assert len(log._logs) == 3
    assert len(log._previews) == 3
    assert numbers(log.watch(ids[0])) == [1, 2, 3, 4, 5]


def test_however_many_watch_in_one_loop_it_is_called_once_for_an_event(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    job_id = run(store, log, make_job)
    called: list[object] = []

    async def crowd() -> list[list[int]]:
        loop = asyncio.get_running_loop()
        watchers = [asyncio.ensure_future(seen(log.awatch(job_id, after=2))) for _ in range(100)]
        await asyncio.sleep(0.2)
        really = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *call: called.append(call) or really(*call)  # type: ignore[method-assign]
        store.append(job_id, StepDone())
        end(store, job_id)
        loop.call_soon_threadsafe = really  # type: ignore[method-assign]
        return await asyncio.gather(*watchers)

    async def seen(events: AsyncIterator[Event]) -> list[int]:
        return [event.n async for event in events]

    assert asyncio.run(crowd()) == [[3, 4]] * 100
    assert len(called) == 2


def test_the_logs_of_jobs_that_ended_long_ago_are_forgotten_and_those_alive_are_not(
    store: JobStore, log: EventLog, make_job: MakeJob
) -> None:
    alive = accept(store, make_job())
    ended = [accept(store, make_job()) for _ in range(KEPT_LOGS + 5)]
    for job in ended:
        store.move(job.id, State.QUEUED, State.CANCELLED, JobCancelled())
    assert set(log._logs) == {alive.id, *(job.id for job in ended[5:])}
    assert [event.kind for event in log.watch(ended[0].id)] == ["queued", "cancelled"]
