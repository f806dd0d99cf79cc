"""ServerLink: a remote worker's connection to its servers: heartbeats, messages, stop requests.

One thread does everything. While Redis is unreachable, it keeps the messages and the job continues.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError

from errors import ErrorCode, KinoraError
from jobs.event_types import Failed, PreviewReady, WorkerEvent
from jobs.fleet.messages import RENEWS_DEADLINE, Begun, Message, Outcome, to_fields
from jobs.fleet.protocol import (
    BEAT_S,
    MAX_MESSAGES,
    RESERVED_S,
    RedisProtocol,
    RunTicket,
    WorkerInfo,
)
from jobs.workers.timing import Deadline
from pipelines.preview import Preview

log = logging.getLogger(__name__)

POLL_S = 0.2  # how often a stop request is read while a job runs
UNSENT_AT_MOST = 2000
OVERDUE_S = 30.0  # past the request timeout, which run_job normally keeps itself
HUNG = 4
"""Exit status of a worker whose job does not end: only a new process can run the next one."""


class ServerLink:
    """Thread-safe. `_changed` guards every field except `on_heartbeat`."""

    def __init__(self, fleet: RedisProtocol, info: WorkerInfo, timeout_s: float) -> None:
        self._fleet = fleet
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._info = info
        self._ticket: RunTicket | None = None
        self._deadline = Deadline(timeout_s + OVERDUE_S)
        self._stop_request: str | None = None
        self._unsent: deque[Message] = deque()
        self._previews = 0
        self._closed = False
        self._show = True
        self.on_heartbeat: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="server-link", daemon=True)
        self._thread.start()

    # -- for the worker --------------------------------------------------------------------------

    @property
    def info(self) -> WorkerInfo:
        return self._info

    def update(self, **changes: Any) -> None:
        """Changes what the next heartbeat, which is sent at once, reports about the worker."""
        with self._changed:
            self._info = self._info.model_copy(update=changes)
            self._show = True
            self._changed.notify_all()

    def begin(self, ticket: RunTicket) -> None:
        with self._changed:
            self._ticket, self._stop_request, self._previews = ticket, None, 0
            parts = ticket.job.fitted.parts
            self._deadline = Deadline(self._timeout_s * parts + OVERDUE_S)
            self.update(ticket=ticket.id, job_id=ticket.job.id)
            self._put(Message(ticket, Begun()))

    def send(self, event: WorkerEvent) -> None:
        with self._changed:
            if self._ticket is None:
                return
            if isinstance(event, RENEWS_DEADLINE):
                self._deadline.renew()
            match event:
                case Preview():
                    self._previews += 1
                    ready = PreviewReady.of(replace(event, number=self._previews))
                    self._put(Message(self._ticket, ready, event.jpeg))
                case _:
                    self._put(Message(self._ticket, event))

    def end(self, outcome: Outcome, warm: tuple[str, ...]) -> None:
        """Sends the last message of the run; with it the worker is free again."""
        with self._changed:
            if self._ticket is None:
                return
            self._put(Message(self._ticket, outcome))
            self._ticket = None
            done = self._info.done + 1
            self._info = self._info.model_copy(
                update={"ticket": None, "job_id": None, "warm": warm, "done": done}
            )

    def may_publish(self, ticket: RunTicket) -> bool:
        """False if the ticket was revoked in the meantime. Waits while Redis is unreachable: the
        server could not be notified anyway, and two workers must not write the same files."""
        while True:
            try:
                held = self._fleet.ticket(ticket.job.id)
                if held is not None and held.id != ticket.id:
                    return False
                return self._fleet.stop_request(ticket.id) != "revoked"
            except RedisError:
                time.sleep(POLL_S)

    def discard(self) -> None:
        """For RQ's own stop command."""
        with self._changed:
            self._stop_request = "discard"

    def cancelled(self) -> bool:
        return self._stop_request in ("discard", "revoked")

    def finish_now(self) -> bool:
        return self._stop_request == "finish"

    def close(self, wait_s: float = 5.0) -> None:
        """Sends the remaining messages, if Redis is reachable within `wait_s`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(wait_s)
        with contextlib.suppress(RedisError):
            self._fleet.leave(self._info.name)

    # -- the thread ------------------------------------------------------------------------------

    def _put(self, message: Message) -> None:
        if len(self._unsent) >= UNSENT_AT_MOST and not message.is_last:
            return  # Redis was unreachable for long: the events of that time are dropped
        self._unsent.append(message)
        self._changed.notify_all()

    def _run(self) -> None:
        sent_at = 0.0
        while True:
            with self._changed:
                timeout_s = POLL_S if self._ticket else BEAT_S
                self._changed.wait_for(
                    lambda: self._unsent or self._show or self._closed, timeout_s
                )
                if self._closed and not self._unsent:
                    return
            self._end_if_hung()
            try:
                while self._unsent:
                    self._send(self._unsent[0])
                    self._unsent.popleft()
                if self._show or time.monotonic() - sent_at > BEAT_S:
                    self._send_heartbeat()
                    sent_at = time.monotonic()
                self._read_stop_request()
            except RedisError:
                if self._closed:
                    return
                time.sleep(POLL_S)
            except Exception:  # without heartbeats the worker counts as lost; unsent messages stay
                log.exception("Server link failed, retrying.")
                time.sleep(POLL_S)

    def _send(self, message: Message) -> None:
        ticket = message.ticket
        with self._fleet.redis.pipeline() as pipe:
            if isinstance(message.body, PreviewReady) and message.jpeg is not None:
                self._fleet.show_preview(ticket.job.id, message.body, message.jpeg, pipe)
            if message.is_last:
                pipe.delete(f"kinora:slot:{self._info.name}", f"kinora:asked:{ticket.id}")
                self._fleet.show(self._info, pipe)
            stream = f"kinora:news:{ticket.server}"
            pipe.xadd(stream, to_fields(message), maxlen=MAX_MESSAGES, approximate=True)
            pipe.execute()

    def _send_heartbeat(self) -> None:
        with self._changed:
            info, self._show = self._info, False
        with self._fleet.redis.pipeline() as pipe:
            self._fleet.show(info, pipe)
            if info.ticket:
                pipe.set(f"kinora:slot:{info.name}", info.ticket, ex=RESERVED_S)
            pipe.execute()
        if info.ticket:
            self.on_heartbeat()

    def _read_stop_request(self) -> None:
        ticket = self._ticket
        if ticket is None:
            return
        what = self._fleet.stop_request(ticket.id)
        with self._changed:
            if what and self._ticket is ticket and self._stop_request != "discard":
                self._stop_request = what

    def _end_if_hung(self) -> None:
        ticket = self._ticket
        if ticket and self._deadline.is_over():
            log.error(
                "Job %s does not stop after its timeout; restarting the worker.",
                ticket.job.id,
            )
            with contextlib.suppress(RedisError):  # else the server notices the missing heartbeat
                self._send(Message(ticket, Failed.of(KinoraError(ErrorCode.TIMEOUT))))
                self._fleet.leave(self._info.name)
            os._exit(HUNG)
