"""A worker's line to its servers: signs of life, news out, wishes in. One thread keeps it.

While Redis is away the news waits here and the clip goes on. Knows the fleet's keys; knows no
model and no store.
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
    LONGEST_NEWS,
    RESERVED_S,
    RedisProtocol,
    RunTicket,
    WorkerInfo,
)
from jobs.workers.timing import Deadline
from pipelines.preview import Preview

log = logging.getLogger(__name__)

LOOK_S = 0.2  # how often a wish is looked for while a clip is made
UNSENT_AT_MOST = 2000
OVERDUE_S = 30.0  # past the request timeout, which run_job keeps itself if it can
HUNG = 4
"""Exit status of a worker whose clip does not end: only a new process can go on."""


class ServerLink:
    def __init__(self, fleet: RedisProtocol, card: WorkerInfo, timeout_s: float) -> None:
        self._fleet = fleet
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._card = card
        self._ticket: RunTicket | None = None
        self._deadline = Deadline(timeout_s + OVERDUE_S)
        self._wish: str | None = None
        self._unsent: deque[Message] = deque()
        self._previews = 0
        self._closed = False
        self._show = True
        self.on_beat: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._keep, name="line", daemon=True)
        self._thread.start()

    # -- for the worker --------------------------------------------------------------------------

    @property
    def card(self) -> WorkerInfo:
        return self._card

    def say(self, **changes: Any) -> None:
        """Something of the card has changed."""
        with self._changed:
            self._card = self._card.model_copy(update=changes)
            self._show = True
            self._changed.notify_all()

    def begin(self, ticket: RunTicket) -> None:
        with self._changed:
            self._ticket, self._wish, self._previews = ticket, None, 0
            self._deadline = Deadline(self._timeout_s + OVERDUE_S)
            self.say(ticket=ticket.id, job_id=ticket.job.id)
            self._put(Message(ticket, Begun()))

    def tell(self, event: WorkerEvent) -> None:
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
        """The last word about it: with it the worker is free again."""
        with self._changed:
            if self._ticket is None:
                return
            self._put(Message(self._ticket, outcome))
            self._ticket = None
            done = self._card.done + 1
            self._card = self._card.model_copy(
                update={"ticket": None, "job_id": None, "warm": warm, "done": done}
            )

    def may_publish(self, ticket: RunTicket) -> bool:
        """False if the run was given up meanwhile. Waits while Redis is away: nobody would hear
        of the clip anyway, and two workers must not write the same files."""
        while True:
            try:
                held = self._fleet.ticket(ticket.job.id)
                if held is not None and held.id != ticket.id:
                    return False
                return self._fleet.asked(ticket.id) != "revoked"
            except RedisError:
                time.sleep(LOOK_S)

    def discard(self) -> None:
        """Somebody used RQ's own stop command."""
        with self._changed:
            self._wish = "discard"

    def cancelled(self) -> bool:
        return self._wish in ("discard", "revoked")

    def finish_now(self) -> bool:
        return self._wish == "finish"

    def close(self, wait_s: float = 5.0) -> None:
        """Says what is still unsaid, if Redis listens."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(wait_s)
        with contextlib.suppress(RedisError):
            self._fleet.leave(self._card.name)

    # -- the thread ------------------------------------------------------------------------------

    def _put(self, news: Message) -> None:
        if len(self._unsent) >= UNSENT_AT_MOST and not news.is_last:
            return  # Redis has been away for long: the steps of that time are not told
        self._unsent.append(news)
        self._changed.notify_all()

    def _keep(self) -> None:
        beaten = 0.0
        while True:
            with self._changed:
                patience = LOOK_S if self._ticket else BEAT_S
                self._changed.wait_for(lambda: self._unsent or self._show or self._closed, patience)
                if self._closed and not self._unsent:
                    return
            self._end_if_hung()
            try:
                while self._unsent:
                    self._send(self._unsent[0])
                    self._unsent.popleft()
                if self._show or time.monotonic() - beaten > BEAT_S:
                    self._beat()
                    beaten = time.monotonic()
                self._look()
            except RedisError:
                if self._closed:
                    return
                time.sleep(LOOK_S)
            except Exception:  # without a line the worker is given up; unsent news is kept
                log.exception("Server link failed, retrying.")
                time.sleep(LOOK_S)

    def _send(self, news: Message) -> None:
        ticket = news.ticket
        with self._fleet.redis.pipeline() as pipe:
            if isinstance(news.body, PreviewReady) and news.jpeg is not None:
                self._fleet.show_preview(ticket.job.id, news.body, news.jpeg, pipe)
            if news.is_last:
                pipe.delete(f"kinora:slot:{self._card.name}", f"kinora:asked:{ticket.id}")
                self._fleet.show(self._card, pipe)
            stream = f"kinora:news:{ticket.server}"
            pipe.xadd(stream, to_fields(news), maxlen=LONGEST_NEWS, approximate=True)
            pipe.execute()

    def _beat(self) -> None:
        with self._changed:
            card, self._show = self._card, False
        with self._fleet.redis.pipeline() as pipe:
            self._fleet.show(card, pipe)
            if card.ticket:
                pipe.set(f"kinora:slot:{card.name}", card.ticket, ex=RESERVED_S)
            pipe.execute()
        if card.ticket:
            self.on_beat()

    def _look(self) -> None:
        ticket = self._ticket
        if ticket is None:
            return
        wish = self._fleet.asked(ticket.id)
        with self._changed:
            if wish and self._ticket is ticket and self._wish != "discard":
                self._wish = wish

    def _end_if_hung(self) -> None:
        ticket = self._ticket
        if ticket and self._deadline.is_over():
            log.error(
                "Job %s does not stop after its timeout; restarting the worker.",
                ticket.job.id,
            )
            with contextlib.suppress(RedisError):  # else its server sees for itself
                self._send(Message(ticket, Failed.of(KinoraError(ErrorCode.TIMEOUT))))
                self._fleet.leave(self._card.name)
            os._exit(HUNG)
