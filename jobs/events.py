"""EventLog: follows the events of a job from any number on, in threads and event loops.

Logs of unfinished jobs are also kept in memory, so followers cause no database queries. Previews
are kept in memory only: the newest one of each job.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from dataclasses import replace
from typing import TypeVar

from jobs.event_types import TERMINAL_KINDS, Event, EventBody
from jobs.store import JobStore
from pipelines.preview import Preview

Body = TypeVar("Body", bound=EventBody)

KEPT_LOGS = 256
KEPT_EVENTS = 2048
KEPT_PREVIEWS = 64
RECHECK_S = 2.0  # how often the database is queried for a log in memory, where others write too
ELSEWHERE_S = 1.0  # how often it is queried for a job that another process works on


class Waiter(asyncio.Event):
    """Set in the event loop of the one who waits, after an event of a job it subscribed to."""

    async def wait_for(self, timeout_s: float | None) -> bool:
        """False after a timeout. `asyncio.wait_for` would make a task for every wait, and thousands
        of followers wait each second."""
        if timeout_s is None:
            return await self.wait()
        is_late = False

        def time_out() -> None:
            nonlocal is_late
            is_late = not self.is_set()
            self.set()

        timer = asyncio.get_running_loop().call_later(timeout_s, time_out)
        try:
            await self.wait()
        finally:
            timer.cancel()
        return not is_late


def _set_all(waiters: tuple[Waiter, ...]) -> None:
    for waiter in waiters:
        waiter.set()


class EventLog:
    """Thread-safe. `_changed` guards every field; it is never held during a database query, and it
    is the store's lock that keeps `_add` in the order of the events' numbers."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._changed = threading.Condition(threading.RLock())
        self._logs: dict[str, list[Event]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._waiters: dict[str, dict[asyncio.AbstractEventLoop, set[Waiter]]] = {}
        self._previews: OrderedDict[str, Preview] = OrderedDict()
        self._closed = False
        self.preview_elsewhere: Callable[[str], Preview | None] = lambda _job_id: None
        """The newest preview of a job that another server follows."""
        store.subscribe(self._add)

    def since(self, job_id: str, after: int = 0) -> list[Event]:
        """The events so far with a number above `after`."""
        known = self._in_memory(job_id, after)
        return self._store.events(job_id, after) if known is None else known

    def newest(self, job_id: str, body: type[Body]) -> tuple[Event, Body] | None:
        """The last event with a body of that type, without a copy of the whole log where it is in
        memory."""
        with self._changed:
            log = self._logs.get(job_id)
            if log and log[0].n == 1:
                return _newest(log, body)
        return _newest(self._store.events(job_id), body)

    # -- following --------------------------------------------------------------------------------

    def watch(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """Every event with a number above `after`, then new ones as they come, until the job has
        ended or is deleted, or the log is closed."""
        return (event for event in self.follow(job_id, after) if event is not None)

    async def awatch(self, job_id: str, after: int = 0) -> AsyncIterator[Event]:
        async for event in self.afollow(job_id, after):
            if event is not None:
                yield event

    def follow(
        self, job_id: str, after: int = 0, tick_s: float | None = None
    ) -> Iterator[Event | None]:
        """As `watch`, and yields None whenever there was no event for `tick_s`."""
        while not self._closed:
            for event in (fresh := self.since(job_id, after)):
                yield event
                after = event.n
                if _ends(event, fresh):
                    return
            last = self._last(job_id)
            if last is None or (last.n <= after and last.kind in TERMINAL_KINDS):
                return
            if last.n <= after and not self._wait(job_id, after, tick_s):
                self._recheck(job_id)
                if tick_s:
                    yield None

    async def afollow(
        self, job_id: str, after: int = 0, tick_s: float | None = None
    ) -> AsyncGenerator[Event | None, None]:
        """As `follow`, in an event loop."""
        with self._subscribed([job_id]) as waiter:
            while not self._closed:
                waiter.clear()
                fresh = self._in_memory(job_id, after)
                if fresh is None:
                    fresh = await asyncio.to_thread(self._store.events, job_id, after)
                for event in fresh:
                    yield event
                    after = event.n
                    if _ends(event, fresh):
                        return
                last = self._last_in_memory(job_id) or await asyncio.to_thread(self._last, job_id)
                if last is None or (last.n <= after and last.kind in TERMINAL_KINDS):
                    return
                if last.n > after:
                    continue
                if not await waiter.wait_for(self._timeout_s(job_id, tick_s)):
                    if self._store.is_shared:
                        await asyncio.to_thread(self._recheck, job_id)
                    if tick_s:
                        yield None

    async def achanges(self, job_ids: Collection[str], tick_s: float) -> AsyncGenerator[None, None]:
        """One subscription for several jobs: yields at once, then whenever any of them may have new
        events, once for all that came since. It also yields after `tick_s` without any; where other
        processes may write, after RECHECK_S. Ends when the log is closed. Reads no database."""
        with self._subscribed(job_ids) as waiter:
            while not self._closed:
                waiter.clear()
                yield
                is_shared = self._store.is_shared
                await waiter.wait_for(min(tick_s, RECHECK_S) if is_shared else tick_s)

    @contextlib.contextmanager
    def _subscribed(self, job_ids: Collection[str]) -> Iterator[Waiter]:
        loop, waiter = asyncio.get_running_loop(), Waiter()
        with self._changed:
            for job_id in job_ids:
                self._waiters.setdefault(job_id, {}).setdefault(loop, set()).add(waiter)
        try:
            yield waiter
        finally:
            with self._changed:
                for job_id in job_ids:
                    loops = self._waiters.get(job_id, {})
                    loops.get(loop, set()).discard(waiter)
                    if not loops.get(loop):
                        loops.pop(loop, None)
                    if not loops:
                        self._waiters.pop(job_id, None)

    def forget(self, job_id: str) -> None:
        """The job was deleted: its followers end."""
        with self._changed:
            self._logs.pop(job_id, None)
            self._ended.pop(job_id, None)
            self._previews.pop(job_id, None)
            self._wake(job_id)

    def wake(self, job_id: str) -> None:
        """The job has left its batch: the followers of the batch check what is in it."""
        with self._changed:
            self._wake(job_id)

    def wake_all(self) -> None:
        """Every follower checks for events again: from now on other processes may write them."""
        with self._changed:
            for job_id in list(self._waiters):
                self._wake(job_id)
            self._changed.notify_all()

    def close(self) -> None:
        """Ends every follower."""
        with self._changed:
            self._closed = True
            for job_id in list(self._waiters):
                self._wake(job_id)
            self._changed.notify_all()

    # -- previews --------------------------------------------------------------------------------

    def keep_preview(self, job_id: str, preview: Preview) -> Preview:
        """Returns it with its number, which counts from 1."""
        with self._changed:
            before = self._previews.pop(job_id, None)
            preview = replace(preview, number=before.number + 1 if before else 1)
            self._previews[job_id] = preview
            while len(self._previews) > KEPT_PREVIEWS:
                self._previews.popitem(last=False)
        return preview

    def drop_preview(self, job_id: str) -> None:
        with self._changed:
            self._previews.pop(job_id, None)

    def latest_preview(self, job_id: str) -> Preview | None:
        with self._changed:
            newest = self._previews.get(job_id)
        return newest or self.preview_elsewhere(job_id)

    # -- inside ----------------------------------------------------------------------------------

    def _add(self, event: Event) -> None:
        """The store calls it for each event it has stored, in the order of their numbers."""
        with self._changed:
            log = self._logs.setdefault(event.job_id, [])
            if log and log[-1].n != event.n - 1:  # another process wrote in between
                log.clear()
            log.append(event)
            if len(log) > KEPT_EVENTS:
                del log[: KEPT_EVENTS // 2]
            self._ended.pop(event.job_id, None)
            if event.kind in TERMINAL_KINDS:
                self._ended[event.job_id] = None
                self._trim()
            self._wake(event.job_id)

    def _trim(self) -> None:
        """Removes the logs of the jobs that ended longest ago from memory."""
        while len(self._ended) > KEPT_LOGS:
            job_id, _ = self._ended.popitem(last=False)
            self._logs.pop(job_id, None)

    def _wake(self, job_id: str) -> None:
        """One call for each event loop, however many followers it has."""
        self._changed.notify_all()
        for loop, waiters in self._waiters.get(job_id, {}).items():
            with contextlib.suppress(RuntimeError):  # the loop is closed, so are its followers
                loop.call_soon_threadsafe(_set_all, tuple(waiters))

    def _in_memory(self, job_id: str, after: int) -> list[Event] | None:
        """The events after that number, or None if the log in memory does not reach back so far."""
        with self._changed:
            log = self._logs.get(job_id)
            if not log or after < log[0].n - 1:
                return None
            return log[max(0, after - log[0].n + 1) :]

    def _last_in_memory(self, job_id: str) -> Event | None:
        with self._changed:
            log = self._logs.get(job_id)
            return log[-1] if log else None

    def _last(self, job_id: str) -> Event | None:
        return self._last_in_memory(job_id) or next(
            iter(self._store.events(job_id, after=-1)[-1:]), None
        )

    def _timeout_s(self, job_id: str, tick_s: float | None) -> float | None:
        if not self._last_in_memory(job_id):
            return min(tick_s or ELSEWHERE_S, ELSEWHERE_S)
        if self._store.is_shared:
            return min(tick_s or RECHECK_S, RECHECK_S)
        return tick_s

    def _recheck(self, job_id: str) -> None:
        """Drops a log that another process has continued, so that the store is read instead."""
        known = self._last_in_memory(job_id)
        if known and self._store.is_shared and self._store.events(job_id, after=known.n):
            with self._changed:
                if self._last_in_memory(job_id) == known:
                    self._logs.pop(job_id, None)

    def _wait(self, job_id: str, after: int, tick_s: float | None) -> bool:
        """True as soon as there may be an event with a number above `after`; False after a
        timeout."""
        timeout_s = self._timeout_s(job_id, tick_s)
        with self._changed:
            was_in_memory = job_id in self._logs

            def may_go_on() -> bool:
                log = self._logs.get(job_id)
                if log is None:
                    return self._closed or was_in_memory  # the job was deleted
                return self._closed or log[-1].n > after

            return self._changed.wait_for(may_go_on, timeout_s)


def _ends(event: Event, fresh: list[Event]) -> bool:
    """A failed job may be queued again to retry decoding, so only the newest event ends a log."""
    return event.kind in TERMINAL_KINDS and event is fresh[-1]


def _newest(log: list[Event], body: type[Body]) -> tuple[Event, Body] | None:
    for event in reversed(log):
        if isinstance(event.body, body):
            return event, event.body
    return None
