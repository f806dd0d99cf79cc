"""Hundreds of clients in a process of their own: some follow clips, others submit them.

    python -m tests.api.load_clients '{"port": 7860, "database": "kinora.db", "watchers": 200, ...}'

Speaks HTTP by hand over asyncio, so that the clients take little CPU time from the
server. Prints one JSON object: milliseconds of every submit, lag of every event, what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

CONNECTING_AT_ONCE = 20
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Plan:
    port: int
    database: str
    """Where it is looked up which clips are being made: the API has no such list for everybody."""
    watchers: int
    submitters: int
    seconds: float
    every_s: float = 1.0
    """How often each submitter hands in a clip."""
    warm_up_s: float = 3.0
    rest_s: float = 2.0
    """At most so long a watcher looks at the clip that is done before turning to the next."""


@dataclass
class Seen:
    post_ms: list[float] = field(default_factory=list)
    lag_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    gaps: int = 0
    streams: int = 0
    watching: list[int] = field(default_factory=list)
    """How many streams were open, five times a second."""


class Crowd:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen = Seen()
        self.running: list[str] = []
        self.over = asyncio.Event()
        self.counts = False
        self._open = 0
        self._door = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def gather(self) -> Seen:
        """Everybody comes; what happens while all of them are there is counted."""
        looking = asyncio.create_task(self._look())
        while not self.running:
            await asyncio.sleep(0.05)
        watchers = [asyncio.create_task(self._watch(n)) for n in range(self.plan.watchers)]
        submitters = [asyncio.create_task(self._submit(n)) for n in range(self.plan.submitters)]
        await asyncio.sleep(self.plan.warm_up_s)
        await _until(lambda: 2 * self._open >= self.plan.watchers)
        self.counts = True
        await asyncio.sleep(self.plan.seconds)
        await _until(self._enough)
        self.counts = False
        self.over.set()
        everybody = [looking, *watchers, *submitters]
        if submitters:
            await asyncio.wait(submitters, timeout=PATIENCE_S)
        for task in everybody:
            task.cancel()
        for task in await asyncio.gather(*everybody, return_exceptions=True):
            if isinstance(task, Exception):
                self._wrong(repr(task))
        return self.seen

    def _enough(self) -> bool:
        """Of what a machine that stood still for a while has seen too little."""
        submits, events = len(self.seen.post_ms), len(self.seen.lag_ms)
        return submits >= self.plan.submitters and events >= self.plan.watchers

    async def _look(self) -> None:
        """The clips that are being made, read where they are kept."""
        query = "SELECT id FROM jobs WHERE state = 'running' ORDER BY started_at"
        kept = sqlite3.connect(f"file:{self.plan.database}?mode=ro", uri=True)
        while True:
            self.running = [row[0] for row in kept.execute(query)]
            if self.counts:
                self.seen.watching.append(self._open)
            await asyncio.sleep(0.2)

    # -- those who follow ------------------------------------------------------------------------

    async def _watch(self, number: int) -> None:
        """One clip after the other, each from its first event to its last."""
        chance = random.Random(number)
        while not self.over.is_set():
            if not self.running:
                await asyncio.sleep(0.05)
                continue
            await self._follow(self.running[number % len(self.running)], number)
            await asyncio.sleep(chance.uniform(0, self.plan.rest_s))

    async def _follow(self, job_id: str, number: int) -> None:
        async with self._door:
            came, went = await asyncio.open_connection("127.0.0.1", self.plan.port)
        try:
            went.write(_request("GET", f"/api/jobs/{job_id}/events", _address(number)))
            status = (await came.readline()).split(b" ")[1:2]
            if status not in ([b"200"], [b"204"]):
                self._wrong(f"events answered {status}")
                return
            self.seen.streams += 1
            self._open += 1
            since, last = time.time(), 0
            while line := await came.readline():
                if line.startswith(b"id: "):
                    self.seen.gaps += int(line[4:]) != last + 1
                    last = int(line[4:])
                elif line.startswith(b"data: "):
                    data = json.loads(line[6:])
                    at = data.get("emitted_at", data["at"])  # the worker's clock, if sent
                    is_preview = "frames" in data  # has no time of the worker
                    if self.counts and at > since and not is_preview:  # new since we came
                        self.seen.lag_ms.append(1000 * (time.time() - at))
                elif line == b"0\r\n":
                    break
            else:
                self._wrong("a stream broke off")
            self._open -= 1
        finally:
            went.close()

    # -- those who hand in -----------------------------------------------------------------------

    async def _submit(self, number: int) -> None:
        """A clip every second or so, from its own address, over one line."""
        chance = random.Random(number)
        await asyncio.sleep(self.plan.every_s * chance.random())
        async with self._door:
            line = await asyncio.open_connection("127.0.0.1", self.plan.port)
        due = time.monotonic()
        while not self.over.is_set():
            body = {"prompt": "a dog", "seed": chance.randrange(2**31), "num_inference_steps": 4}
            began = time.perf_counter()
            status, told = await self._ask(line, _address(1000 + number), body)
            if self.counts:
                self.seen.post_ms.append(1000 * (time.perf_counter() - began))
            if status != 202:
                self._wrong(f"generate answered {status}: {told}")
            due += self.plan.every_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        line[1].close()

    async def _ask(
        self,
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        address: str,
        body: dict[str, Any],
    ) -> tuple[int, dict[str, Any]]:
        came, went = line
        went.write(_request("POST", "/api/generate", address, body))
        status, length = int((await came.readline()).split(b" ")[1]), 0
        while (head := await came.readline()) not in (b"\r\n", b""):
            name, _, value = head.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return status, json.loads(await came.readexactly(length))

    def _wrong(self, what: str) -> None:
        if not self.over.is_set():
            self.seen.errors.append(what)


async def _until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < ends:
        await asyncio.sleep(0.05)


def _address(number: int) -> str:
    """Everybody comes from elsewhere, as behind a proxy."""
    return f"10.7.{number // 250}.{1 + number % 250}"


def _request(method: str, path: str, address: str, body: dict[str, Any] | None = None) -> bytes:
    sent = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: {address}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
    )
    return head.encode() + sent


if __name__ == "__main__":
    plan = Plan(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(asyncio.run(Crowd(plan).gather()))))
