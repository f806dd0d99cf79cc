"""What no answer may hold: a path of this machine, a traceback, a token. Read in all test traffic.

`watched()` stands between the test clients (httpx, the openai SDK, gradio_client, MCP, Starlette's
own) and the server, and reads every answer as it passes. It changes nothing.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette import testclient

from settings import ROOT

SECRETS: set[str] = set()
"""Whatever the tests use as a key or a token; added where it is defined."""

OF_THIS_MACHINE = "|".join(
    re.escape(str(place).rstrip("/"))
    for place in sorted({ROOT, Path(sys.prefix), Path(tempfile.gettempdir()), Path.home()})
    if str(place) != "/"
)
LEAKS = {
    "a traceback": re.compile(rb'Traceback \(most|File "[^"]{1,300}", line \d'),
    "an exception as Python writes it": re.compile(
        rb"\[Errno \d|\b[A-Z]\w+(Error|Exception)\(|<class '|<\w[\w.]+ object at 0x"
    ),
    "a path of this machine": re.compile(
        rf"(?<![\w./-])({OF_THIS_MACHINE})/|site-packages|dist-packages".encode()
    ),
    "an address with a password": re.compile(
        rb"\b(postgresql|redis|s3)(\+\w+)?://[^\s\"/]*:[^@]*@"
    ),
    "a token": re.compile(rb"\bhf_[A-Za-z0-9]{16,}"),
}
GRADIOS_COPY = re.compile(rb"(?<![^\s\"'=])[^\s\"'=]*/gradio/[0-9a-f]{32,64}/")
"""Where Gradio keeps what was uploaded or is handed out: its clients name files by that.

Looked for only where a word begins: from every letter of a picture in base64 it takes minutes.
"""
OTHERS_CODE = re.compile(r"javascript|text/css|font|image/|video/|octet-stream")
LONGEST_LEAK = 400


def leaks_in(text: bytes) -> list[str]:
    text = GRADIOS_COPY.sub(b"", text)
    found = [what for what, pattern in LEAKS.items() if pattern.search(text)]
    return found + ["a key of the test run" for each in SECRETS if each.encode() in text]


@dataclass
class Traffic:
    """How much was read, and what was found where it must not be."""

    answers: int = 0
    bytes_read: int = 0
    server_errors: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    def read(self, name: str, text: bytes) -> None:
        self.bytes_read += len(text)
        for what in leaks_in(text):
            self.leaks.append(f"{name}: {what}")
            raise AssertionError(f"{name} answers with {what}: {text[-2000:]!r}")


TRAFFIC = Traffic()


class Reader:
    """Of one answer: reads it part by part, and over the seams."""

    def __init__(self, request: httpx.Request, response: httpx.Response) -> None:
        self.name = f"{request.method} {request.url.path}"
        TRAFFIC.answers += 1
        if response.status_code >= 500:
            TRAFFIC.server_errors.append(f"{self.name}: {response.status_code}")
        headers = b"\n".join(name + b": " + value for name, value in response.headers.raw)
        TRAFFIC.read(self.name, headers)
        kind = response.headers.get("content-type", "")
        own = httpx.Response(200, headers=response.headers)
        self._decoder = None if OTHERS_CODE.search(kind) else own._get_content_decoder()
        self._kept = b""

    def see(self, chunk: bytes) -> None:
        if self._decoder is not None:
            self._read(self._decoder.decode(chunk))

    def end(self) -> None:
        if self._decoder is not None:
            self._read(self._decoder.flush())

    def _read(self, text: bytes) -> None:
        TRAFFIC.read(self.name, self._kept + text)
        self._kept = (self._kept + text)[-LONGEST_LEAK:]


CLIENTS = tuple(dict.fromkeys((httpx, testclient.httpx)))
"""Starlette's own client may be built on another generation of httpx."""
SYNC: tuple[Any, ...] = tuple(each.SyncByteStream for each in CLIENTS)
ASYNC: tuple[Any, ...] = tuple(each.AsyncByteStream for each in CLIENTS)


class Sync(*SYNC):
    def __init__(self, stream: Any, reader: Reader) -> None:
        self.stream, self.reader = stream, reader

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.stream:
            self.reader.see(chunk)
            yield chunk
        self.reader.end()

    def close(self) -> None:
        self.stream.close()


class Async(*ASYNC):
    def __init__(self, stream: Any, reader: Reader) -> None:
        self.stream, self.reader = stream, reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.stream:
            self.reader.see(chunk)
            yield chunk
        self.reader.end()

    async def aclose(self) -> None:
        await self.stream.aclose()


@contextmanager
def watched() -> Iterator[Traffic]:
    with pytest.MonkeyPatch.context() as patch:
        _watch(patch, testclient._TestClientTransport)
        for client in CLIENTS:
            _watch(patch, client.HTTPTransport)
            _watch_async(patch, client.AsyncHTTPTransport)
            _watch_async(patch, client.ASGITransport)
        yield TRAFFIC


def _watch(patch: pytest.MonkeyPatch, kind: Any) -> None:
    handle = kind.handle_request

    def handle_request(self: Any, request: httpx.Request) -> httpx.Response:
        response = handle(self, request)
        response.stream = Sync(response.stream, Reader(request, response))
        return response

    patch.setattr(kind, "handle_request", handle_request)


def _watch_async(patch: pytest.MonkeyPatch, kind: Any) -> None:
    handle = kind.handle_async_request

    async def handle_async_request(self: Any, request: httpx.Request) -> httpx.Response:
        response = await handle(self, request)
        response.stream = Async(response.stream, Reader(request, response))
        return response

    patch.setattr(kind, "handle_async_request", handle_async_request)
