"""Server-sent events: the one loop behind the streams of the page, the API and its batches.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from errors import ErrorCode, KinoraError
from web.errors import NO_STORE, SAFE

HEARTBEAT_S = 15.0
"""A proxy closes a connection on which nothing was sent for about a minute."""
HEARTBEAT = b": still here\n\n"
END = b"event: end\ndata: {}\n\n"
MAX_DIGITS = 15

Source = AsyncGenerator[bytes | None, None]
"""Messages to send. It yields None at least every HEARTBEAT_S where there is nothing to send, and
ends when the stream is over: after the last event, or because the server shuts down."""


def message(data: str, *, event: str | None = None, id: int | None = None) -> bytes:
    """`data` is one line."""
    head = (f"id: {id}\n" if id is not None else "") + (f"event: {event}\n" if event else "")
    return f"{head}data: {data}\n\n".encode()


def last_event_id(request: Request) -> int:
    """What a client that comes back has seen already; 0 for a new one. Raises
    KinoraError(INVALID_INPUT)."""
    last = request.headers.get("last-event-id", "0").strip() or "0"
    if not (last.isascii() and last.isdigit() and len(last) <= MAX_DIGITS):
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            "Last-Event-ID must be the number of an event of this clip.",
            details={"field": "Last-Event-ID"},
        )
    return int(last)


class EventStream(StreamingResponse):
    """Sends what `source` yields, with heartbeats between. The source is closed when the client
    disconnects, even while a message is being sent, so that its subscriptions end at once."""

    def __init__(self, source: Source, *, retry_ms: int | None = None) -> None:
        headers = {"X-Accel-Buffering": "no", **NO_STORE, **SAFE}
        self._chunks = _with_heartbeats(source, retry_ms)
        super().__init__(self._chunks, media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks):
            await super().__call__(scope, receive, send)


async def _with_heartbeats(source: Source, retry_ms: int | None) -> AsyncGenerator[bytes, None]:
    async with aclosing(source):
        if retry_ms is not None:
            yield f"retry: {retry_ms}\n\n".encode()
        sent_at = time.monotonic()
        async for chunk in source:
            if chunk is None and time.monotonic() - sent_at < HEARTBEAT_S:
                continue
            sent_at = time.monotonic()
            yield HEARTBEAT if chunk is None else chunk


async def states(
    changes: AsyncGenerator[object, None],
    read: Callable[[], Awaitable[tuple[str, bool]]],
    *,
    event: str | None = None,
    pause_s: float = 0.0,
) -> Source:
    """Whole states: reads the state after each change and yields it if it differs from the one
    before, so a client may miss any of them. `read` returns the state and whether it is the last
    one; after the last one comes an `end` event. It may raise KinoraError, if the job was deleted:
    that ends the stream. `pause_s` is the least time between two reads: changes that come in it are
    read together."""
    last = ""
    async with aclosing(changes):
        async for _ in changes:
            try:
                state, is_last = await read()
            except KinoraError:  # a client that comes back gets 404
                return
            yield None if state == last else message(state, event=event)
            last = state
            if is_last:
                yield END
                return
            if pause_s:
                await asyncio.sleep(pause_s)
