"""EventLog: following a job from any number on, from any thread or event loop, without gaps.

The log of every job that is alive in this process is also kept in memory, so a hundred watchers do
not ask the database. Previews are in memory only: the newest of each job, its picture as bytes.
Knows the store; does not know who makes events or who watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from jobs.event_types import TERMINAL_KINDS, Event, EventBody
from jobs.store import JobStore
from pipelines.preview import Preview

Body = TypeVar("Body", bound=EventBody)

KEPT_LOGS = 256
KEPT_EVENTS = 2048
KEPT_PREVIEWS = 64
RECHECK_S = 2.0  # how often to doubt one's memory where other machines write too
ELSEWHERE_S = 1.0  # how often to look for news of a job that another process works on


class Waiter(asyncio.Event):
    """One watcher's, rung in its own event loop."""

    async def rings_within(self, patience_s: float | None) -> bool:
        """As `asyncio.wait_for`, which makes a task for every wait, and thousands wait a second."""
        if patience_s is None:
            return await self.wait()
        late = False

        def give_up() -> None:
            nonlocal late
            late = not self.is_set()
            self.set()

        timer = asyncio.get_running_loop().call_later(patience_s, give_up)
        try:
            await self.wait()
        finally:
            timer.cancel()
        return not late


def _ring(bells: tuple[Waiter, ...]) -> None:
    for bell in bells:
        bell.set()


class EventLog:
    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._changed = threading.Condition(threading.RLock())
        self._logs: dict[str, list[Event]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._bells: dict[str, dict[asyncio.AbstractEventLoop, set[Waiter]]] = {}
        self._previews: OrderedDict[str, Preview] = OrderedDict()
        self._closed = False
        self.preview_elsewhere: Callable[[str], Preview | None] = lambda _job_id: None
        """Where clips are followed by several servers, the others' previews."""
        store.listeners.append(self._heard)

    def append(self, job_id: str, event: EventBody) -> Event | None:
        """Progress of a running job; None if it is not running any more."""
        return self._store.append(job_id, event)

    def since(self, job_id: str, after: int = 0) -> list[Event]:
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

    # -- watching --------------------------------------------------------------------------------

    def watch(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """Every event with a number above `after`, then new ones as they come, to the last."""
        return (event for event in self.follow(job_id, after) if event is not None)

    async def awatch(self, job_id: str, after: int = 0) -> AsyncIterator[Event]:
        async for event in self.afollow(job_id, after):
            if event is not None:
                yield event

    def follow(
        self, job_id: str, after: int = 0, tick_s: float | None = None
    ) -> Iterator[Event | None]:
        """As `watch`, with a None whenever nothing has happened for `tick_s`: a heartbeat."""
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
    ) -> AsyncIterator[Event | None]:
        loop, bell = asyncio.get_running_loop(), Waiter()
        with self._changed:
            self._bells.setdefault(job_id, {}).setdefault(loop, set()).add(bell)
        try:
            while not self._closed:
                bell.clear()
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
                if not await bell.rings_within(self._patience(job_id, tick_s)):
                    if self._store.is_shared:
                        await asyncio.to_thread(self._recheck, job_id)
                    if tick_s:
                        yield None
        finally:
            with self._changed:
                bells = self._bells.get(job_id, {})
                bells.get(loop, set()).discard(bell)
                if not bells.get(loop):
                    bells.pop(loop, None)
                if not bells:
                    self._bells.pop(job_id, None)

    def forget(self, job_id: str) -> None:
        """The job was deleted: its watchers end."""
        with self._changed:
            self._logs.pop(job_id, None)
            self._ended.pop(job_id, None)
            self._previews.pop(job_id, None)
            self._wake(job_id)

    def wake_all(self) -> None:
        """Every watcher looks once more."""
        with self._changed:
            for job_id in list(self._bells):
                self._wake(job_id)
            self._changed.notify_all()

    def close(self) -> None:
        """Ends every watcher."""
        with self._changed:
            self._closed = True
            for job_id in list(self._bells):
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

    def latest_preview(self, job_id: str) -> Preview | None:
        with self._changed:
            newest = self._previews.get(job_id)
        return newest or self.preview_elsewhere(job_id)

    # -- inside ----------------------------------------------------------------------------------

    def _heard(self, event: Event) -> None:
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
        """Forgets the logs of the jobs that ended longest ago; live ones stay."""
        while len(self._ended) > KEPT_LOGS:
            job_id, _ = self._ended.popitem(last=False)
            self._logs.pop(job_id, None)

    def _wake(self, job_id: str) -> None:
        """However many watch in one event loop, it is called once."""
        self._changed.notify_all()
        for loop, bells in self._bells.get(job_id, {}).items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is watching
                loop.call_soon_threadsafe(_ring, tuple(bells))

    def _in_memory(self, job_id: str, after: int) -> list[Event] | None:
        """What memory knows after that number, or None if it does not reach back that far."""
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

    def _patience(self, job_id: str, tick_s: float | None) -> float | None:
        if not self._last_in_memory(job_id):
            return min(tick_s or ELSEWHERE_S, ELSEWHERE_S)
        if self._store.is_shared:
            return min(tick_s or RECHECK_S, RECHECK_S)
        return tick_s

    def _recheck(self, job_id: str) -> None:
        """Another machine may have gone on with it: then its log is read from the store."""
        known = self._last_in_memory(job_id)
        if known and self._store.is_shared and self._store.events(job_id, after=known.n):
            with self._changed:
                if self._last_in_memory(job_id) == known:
                    self._logs.pop(job_id, None)

    def _wait(self, job_id: str, after: int, tick_s: float | None) -> bool:
        """True as soon as there may be something after that number."""
        patience = self._patience(job_id, tick_s)

        def is_news() -> bool:
            log = self._logs.get(job_id)
            return self._closed or (log is not None and log[-1].n > after)

        with self._changed:
            known = job_id in self._logs

            def is_over() -> bool:
                return is_news() or (known and job_id not in self._logs)

            return self._changed.wait_for(is_over, patience)


def _ends(event: Event, fresh: list[Event]) -> bool:
    """A failure is the end only if nothing came after it: a clip may be decoded again."""
    return event.kind in TERMINAL_KINDS and event is fresh[-1]


def _newest(log: list[Event], body: type[Body]) -> tuple[Event, Body] | None:
    for event in reversed(log):
        if isinstance(event.body, body):
            return event, event.body
    return None
