"""The one loop behind every stream: heartbeats, states, ends, and clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from starlette.requests import Request
from starlette.types import Message

from api.batches import Batches
from api.core import ApiContext
from api.job_streams import JobStreams
from app import executor_for
from errors import ErrorCode, KinoraError
from jobs.event_types import StepDone
from jobs.job import Job
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from pipelines.request import GenerationRequest
from settings import Settings
from ui.routes import PageRoutes
from web import sse
from web.identity import Caller
from web.limits import ClipLimits

ME = "visitor:me"
CALLER = Caller(ME, "visitor", ME)


@pytest.fixture
def service(tiny_settings: Settings, tiny_cards: dict[str, ModelCard]) -> Iterator[JobService]:
    """Its worker never starts, so events are only those that a test writes."""
    store = JobStore(tiny_settings.database_url)
    idle = JobService(store, executor_for(tiny_settings), tiny_cards, tiny_settings)
    yield idle
    idle.close()


@pytest.fixture
def batch(service: JobService) -> list[Job]:
    wanted = [GenerationRequest(prompt=prompt, seed=1) for prompt in ("a dog", "a cat")]
    return service.submit_batch(wanted, ME)


async def batch_stream(service: JobService, batch_id: str) -> AsyncGenerator[bytes, None]:
    batches = Batches(ApiContext(service, ClipLimits(0, 0)))
    stream = await batches.events(batch_id, CALLER)
    assert isinstance(stream, sse.EventStream)
    return stream.body_iterator  # type: ignore[return-value]


def state_of(chunk: bytes) -> dict[str, Any]:
    head, data, *_ = chunk.decode().split("\n")
    assert head == "event: state"
    return json.loads(data.removeprefix("data: "))


def test_a_batch_is_followed_by_its_events_and_reads_nothing_while_nothing_happens(
    service: JobService, batch: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.batches.PAUSE_S", 0.05)
    queries: list[str] = []
    engine = service._store.database.reading.engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", lambda *call: queries.append(call[2]))

    async def follow() -> None:
        assert batch[0].batch
        stream = await batch_stream(service, batch[0].batch)
        assert state_of(await anext(stream))["state"] == "queued"
        coming = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.2)
        before = len(queries)
        await asyncio.sleep(0.6)
        assert len(queries) == before, "it polls"
        assert not coming.done()

        running = service._store.claim()
        assert running
        assert state_of(await coming)["counts"] == {"running": 1, "queued": 1}
        service._store.append(running.id, StepDone(2, 4))
        assert 0 < state_of(await anext(stream))["progress"] < 1
        for job in batch:
            service.cancel(job.id)
        assert state_of(await anext(stream))["state"] == "running"  # the one asks its worker
        service._lifecycle.cancel(running)
        assert state_of(await anext(stream))["state"] == "ended"
        assert [chunk async for chunk in stream] == [sse.END]

    asyncio.run(asyncio.wait_for(follow(), 30))
    assert not service._events._waiters


def test_many_events_of_a_batch_become_few_states(
    service: JobService, batch: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.batches.PAUSE_S", 0.2)

    async def follow() -> int:
        assert batch[0].batch
        stream = await batch_stream(service, batch[0].batch)
        await anext(stream)
        running = service._store.claim()
        assert running
        for index in range(1, 101):
            await asyncio.to_thread(service._store.append, running.id, StepDone(index, 100))
        service.cancel(batch[1].id)
        service._lifecycle.cancel(running)
        return len([chunk async for chunk in stream])

    assert asyncio.run(asyncio.wait_for(follow(), 30)) < 30


def test_closing_the_service_ends_every_stream(service: JobService, batch: list[Job]) -> None:
    async def follow() -> list[bytes]:
        job = batch[0]
        page = PageRoutes(service, service.settings)
        streams = [
            await batch_stream(service, job.batch or ""),
            sse.EventStream(page._states(job.id, ME)).body_iterator,
            (await JobStreams(service).response(with_header("0"), job, 1, False)).body_iterator,  # type: ignore[attr-defined]
        ]
        for stream in streams:
            await anext(stream)  # type: ignore[arg-type]
        ends = [asyncio.ensure_future(anext(stream, b"over")) for stream in streams]  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        service._events.close()
        return await asyncio.gather(*ends)

    assert asyncio.run(asyncio.wait_for(follow(), 30)) == [b"over"] * 3


def test_the_page_gets_the_state_after_each_event_and_the_end(
    service: JobService, batch: list[Job]
) -> None:
    async def follow() -> list[str]:
        page = PageRoutes(service, service.settings)
        stream = sse.EventStream(page._states(batch[0].id, ME), retry_ms=1500).body_iterator
        seen: list[str] = []
        async for chunk in stream:
            assert isinstance(chunk, bytes)
            seen.append(chunk.decode())
            if '"line": "Waiting' in seen[-1] and len(seen) == 2:
                running = service._store.claim()
                assert running and running.id == batch[0].id
                service._store.append(running.id, StepDone(2, 4))
                service._lifecycle.cancel(running)
        return seen

    retry, *states, end = asyncio.run(asyncio.wait_for(follow(), 30))
    assert (retry, end) == ("retry: 1500\n\n", "event: end\ndata: {}\n\n")
    last = json.loads(states[-1].removeprefix("data: "))
    assert (last["state"], last["phase"]) == ("cancelled", "cancelled")


def test_a_quiet_stream_sends_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.1)

    async def quiet() -> sse.Source:
        yield sse.message("1")
        for _ in range(6):  # more often than a heartbeat is due
            await asyncio.sleep(0.04)
            yield None

    async def follow() -> list[bytes]:
        stream = sse.EventStream(quiet(), retry_ms=5).body_iterator
        return [chunk async for chunk in stream]  # type: ignore[misc]

    retry, first, *beats = asyncio.run(follow())
    assert (retry, first) == (b"retry: 5\n\n", b"data: 1\n\n")
    assert set(beats) == {sse.HEARTBEAT}
    assert 1 <= len(beats) <= 3


def test_a_clip_that_is_deleted_meanwhile_ends_its_stream() -> None:
    states = iter([("queued", False)])

    async def changes() -> AsyncGenerator[None, None]:
        while True:
            yield

    async def read() -> tuple[str, bool]:
        for state in states:
            return state
        raise KinoraError(ErrorCode.NOT_FOUND)

    async def follow() -> list[bytes | None]:
        return [chunk async for chunk in sse.states(changes(), read)]

    assert asyncio.run(asyncio.wait_for(follow(), 30)) == [sse.message("queued")]


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_a_client_that_leaves_closes_the_source(spec_version: str) -> None:
    closed: list[bool] = []

    async def source() -> sse.Source:
        try:
            while True:
                yield sse.message("more")
                await asyncio.sleep(0.01)
        finally:
            closed.append(True)

    async def serve() -> None:
        left = asyncio.Event()

        async def receive() -> Message:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                left.set()
                if spec_version == "2.4":
                    raise OSError("the client is gone")

        scope = {"type": "http", "asgi": {"spec_version": spec_version}}
        try:
            await sse.EventStream(source())(scope, receive, send)
        except Exception as gone:
            assert type(gone).__name__ == "ClientDisconnect"
        assert closed, "only the garbage collection would close it"

    asyncio.run(asyncio.wait_for(serve(), 30))


@pytest.mark.parametrize(("header", "number"), [("7", 7), ("", 0), (" 12 ", 12)])
def test_a_client_says_what_it_has_seen(header: str, number: int) -> None:
    assert sse.last_event_id(with_header(header)) == number


@pytest.mark.parametrize("header", ["-1", "x", "9" * 16, "٣"])
def test_what_is_no_number_of_an_event_is_refused(header: str) -> None:
    with pytest.raises(KinoraError) as refused:
        sse.last_event_id(with_header(header))
    assert refused.value.code is ErrorCode.INVALID_INPUT


def with_header(value: str) -> Request:
    headers = [(b"last-event-id", value.encode())]
    return Request({"type": "http", "headers": headers})
