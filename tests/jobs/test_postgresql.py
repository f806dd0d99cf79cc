"""What the store promises, once more on a real PostgreSQL; and what only several machines need."""

from __future__ import annotations

import inspect
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.event import listen

from errors import ErrorCode, KinoraError
from jobs.database import Database
from jobs.estimate import Estimator
from jobs.event_types import StepDone
from jobs.events import EventLog
from jobs.job import State
from jobs.lifecycle import JobLifecycle
from jobs.liveness import Heartbeat
from jobs.migrations import MIGRATIONS, migrate
from jobs.recovery import recover
from jobs.store import JobStore
from tests.jobs import (
    test_admission_sql,
    test_batches,
    test_events,
    test_gallery,
    test_gallery_pages,
    test_moderation,
    test_paging,
    test_shares,
    test_store,
)
from tests.jobs.conftest import MakeJob, accept, until
from tests.jobs.services import PostgresServer

ONLY_SQLITE = {
    "test_accepting_is_synced_to_the_disk_and_progress_need_not_be",
    "test_a_page_reads_as_much_of_thousands_of_clips_as_of_two_hundred",
}

for _module in (
    test_store, test_admission_sql, test_batches, test_events, test_gallery, test_gallery_pages,
    test_moderation, test_paging, test_shares,
):  # fmt: skip
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and inspect.isfunction(_test) and _name not in ONLY_SQLITE:
            _wants = set(inspect.signature(_test).parameters)
            if _wants & {"store", "store_url"} and "service" not in _wants:
                globals()[_name] = _test

log = test_events.log


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> str:
    url = postgres.database()
    JobStore(url).close()
    return url


@pytest.fixture
def store_url(database: str) -> str:
    return emptied(database)


def emptied(url: str) -> str:
    engine = create_engine(url.replace("postgresql", "postgresql+psycopg", 1))
    with engine.begin() as tx:
        tables = "jobs, events, keys, timings, servers, removed, batches, shares, collections"
        tables += ", reports, takedowns, blocked_files, blocked_callers, moderation_keys"
        tx.execute(text(f"TRUNCATE {tables} CASCADE"))
    engine.dispose()
    return url


def test_progress_is_written_without_waiting_for_the_disk(store: JobStore) -> None:
    def synchronous(way: str) -> object:
        with getattr(store.database, way).begin() as tx:
            return tx.exec_driver_sql("SHOW synchronous_commit").scalar()

    assert (synchronous("durable"), synchronous("light")) == ("on", "off")


def test_servers_that_start_at_the_same_moment_migrate_once(postgres: PostgresServer) -> None:
    databases = [Database(postgres.database()) for _ in range(1)]
    url = databases[0].durable.engine.url.render_as_string(hide_password=False)
    databases += [Database(url) for _ in range(3)]
    done: list[str] = []
    threads = [
        threading.Thread(target=lambda d=d: done.extend(migrate(d.durable.engine)))
        for d in databases
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in databases:
        each.close()
    assert Counter(done) == Counter(name for name, _ in MIGRATIONS)


def test_the_limits_hold_across_servers(store_url: str, make_job: MakeJob) -> None:
    """Two servers, each with its own lock, ten at a time: not one more than allowed."""
    stores = [JobStore(store_url, f"server-{n}") for n in range(2)]
    outcomes: list[bool] = []

    def submit(store: JobStore) -> None:
        try:
            store.add(make_job(owner="one"), max_queue=100, max_per_owner=3)
            outcomes.append(True)
        except KinoraError as error:
            assert error.code is ErrorCode.RATE_LIMITED
            outcomes.append(False)

    threads = [threading.Thread(target=submit, args=(stores[n % 2],)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert Counter(outcomes) == {True: 3, False: 17}


class Server:
    """Of one process what matters here: its store, its sign of life, its lifecycle."""

    def __init__(self, url: str, tmp_path: object, silent_s: float = 1.5) -> None:
        self.store = JobStore(url)
        self.presence = Heartbeat(self.store.database, silent_s)
        self.store.server = self.presence.name
        events, estimator = EventLog(self.store), Estimator(self.store, {}, "here")
        self.lifecycle = JobLifecycle(self.store, events, estimator, tmp_path)  # type: ignore[arg-type]

    def dies(self) -> None:
        """It says nothing any more, and cleans up nothing."""
        self.presence._closed.set()
        self.presence._thread.join()

    def close(self) -> None:
        self.presence.close()
        self.store.close()


@pytest.fixture
def pair(
    store_url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Server, Server]]:
    monkeypatch.setattr("jobs.liveness.BEAT_S", 0.2)
    pair = Server(store_url, tmp_path), Server(store_url, tmp_path)
    yield pair
    for server in pair:
        server.close()


@pytest.fixture
def patient_pair(
    store_url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Server, Server]]:
    """Whose hearts may stand still for a while, as all on a busy machine do."""
    monkeypatch.setattr("jobs.liveness.BEAT_S", 0.2)
    pair = Server(store_url, tmp_path, 5), Server(store_url, tmp_path, 5)
    yield pair
    for server in pair:
        server.close()


def test_a_living_server_keeps_its_work(
    patient_pair: tuple[Server, Server], make_job: MakeJob
) -> None:
    here, there = patient_pair
    job = accept(there.store, make_job())
    time.sleep(5.5)
    assert recover(here.lifecycle, here.presence) == 0
    claimed = there.store.claim()
    assert claimed and claimed.id == job.id


def test_the_work_of_a_silent_server_is_taken_up_by_the_others(
    pair: tuple[Server, Server], make_job: MakeJob
) -> None:
    here, there = pair
    waiting = accept(there.store, make_job())
    running = accept(there.store, make_job(owner="b"))
    assert there.store.claim({running.id})
    here.presence.watch(lambda: recover(here.lifecycle, here.presence))
    there.dies()
    until(lambda: {j.id for j in here.store.unfinished(here.store.server)} == {
        waiting.id, running.id
    }, 20)  # fmt: skip
    kinds = [event.kind for event in here.store.events(running.id)]
    assert kinds == ["queued", "started", "requeued"]
    until(lambda: there.presence.name not in here.presence.expired())


def test_only_one_server_takes_up_the_work_of_a_silent_one(
    store_url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch, make_job: MakeJob
) -> None:
    monkeypatch.setattr("jobs.liveness.BEAT_S", 0.2)
    servers = [Server(store_url, tmp_path) for _ in range(4)]
    gone = servers.pop()
    ids = [accept(gone.store, make_job(owner=str(n))).id for n in range(10)]
    for job_id in ids[:5]:
        assert gone.store.claim({job_id})
    gone.dies()
    time.sleep(2)
    threads = [threading.Thread(target=recover, args=(s.lifecycle, s.presence)) for s in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = [[e.kind for e in servers[0].store.events(job_id)] for job_id in ids]
    assert kinds == [["queued", "started", "requeued"]] * 5 + [["queued"]] * 5
    assert servers[0].store.servers() <= {s.store.server for s in servers}
    for server in [*servers, gone]:
        server.close()


def test_a_clip_that_another_server_goes_on_with_is_followed_without_a_gap(
    pair: tuple[Server, Server], make_job: MakeJob
) -> None:
    """The watcher's server has the log's beginning in memory, and hears nothing of its end."""
    here, there = pair
    job = accept(here.store, make_job())
    heard: list[str] = []
    watcher = threading.Thread(
        target=lambda: heard.extend(e.kind for e in here.lifecycle.events.watch(job.id))
    )
    watcher.start()
    until(lambda: heard == ["queued"], 5)
    assert there.store.take_over_queued(here.store.server) == 1
    claimed = there.store.claim()
    assert claimed
    there.store.append(job.id, StepDone(1))
    there.lifecycle.fail(claimed, KinoraError(ErrorCode.INTERNAL))
    watcher.join(20)
    assert heard == ["queued", "started", "step", "failed"]


def test_a_clip_that_went_to_another_server_meanwhile_is_not_claimed(
    store_url: str, make_job: MakeJob
) -> None:
    """A server that was silent for a while, and comes back in the middle of a claim."""
    late, other = JobStore(store_url, "late"), JobStore(store_url, "other")
    job = accept(late, make_job())

    def adopt(_db: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE jobs") and not adopted:
            adopted.append(other.take_over_queued("late"))

    adopted: list[int] = []
    listen(late.database.durable.engine, "before_cursor_execute", adopt)
    try:
        assert late.claim() is None
        assert adopted == [1]
        claimed = other.claim()
        assert claimed and claimed.id == job.id
    finally:
        late.close()
        other.close()


def test_a_database_that_is_away_is_a_sentence_and_comes_back(make_job: MakeJob) -> None:
    postgres = PostgresServer()
    store = JobStore(postgres.database())
    job = accept(store, make_job())
    postgres.stop()
    for attempt in (lambda: accept(store, make_job()), lambda: store.get(job.id), store.claim):
        with pytest.raises(KinoraError) as refused:
            attempt()
        assert refused.value.code is ErrorCode.UNAVAILABLE
        assert "127.0.0.1" not in refused.value.message
    postgres.start()
    found = store.get(job.id)
    assert found and found.state is State.QUEUED
    claimed = store.claim()
    assert claimed and claimed.id == job.id
    store.close()
    postgres.close()
