"""Stands in for ZeroGPU's device API, hardware we do not have, in the words of the `spaces` client.

    POST /startup-report, /allow, /release
    POST /schedule    200 JSON       a GPU at once
                      200 SSE        `ping` events until `succeeded` or `failed`
                      401            the caller's token is too old
                      429 JSON       {left, wait}: not within the quota; wait < 0: never
                      503            no GPU

By default it grants what the caller's quota allows. `script` holds the next answers to /schedule.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

Answer = Literal["ok", "queue", "timeout", "expired", "quota", "illegal", "pending", "busy"]
PING_S = 0.2


class DeviceApi(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.script: deque[Answer] = deque()
        self.expired: set[str] = set()
        self.free = threading.Event()
        """Set: those that queue get their GPU."""
        self.level: Literal["regular", "pro"] | None = None
        self.quota_s = 10_000.0
        """Of one request, as it counts; more is illegal."""
        self.left_s = 10_000.0
        self.hung_up = 0
        """How many left the queue before there was a GPU."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def asked(self, path: str = "/schedule") -> list[dict[str, str]]:
        with self.lock:
            return [query for called, query in self.calls if called == path]

    def reset(self) -> None:
        with self.lock:
            self.calls.clear()
            self.script.clear()
            self.expired.clear()
        self.free.clear()
        self.level, self.quota_s, self.left_s, self.hung_up = None, 10_000.0, 10_000.0, 0


@contextmanager
def running() -> Iterator[DeviceApi]:
    with DeviceApi() as api:
        thread = threading.Thread(target=api.serve_forever)
        thread.start()
        yield api
        api.free.set()
        api.shutdown()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        api = self.server
        assert isinstance(api, DeviceApi)
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        with api.lock:
            api.calls.append((url.path, query))
            number = len(api.calls)
            scripted = url.path == "/schedule" and api.script
            answer: Answer = api.script.popleft() if scripted else "ok"
        if url.path != "/schedule":
            self._json(200, {})
            return
        counted = float(query.get("durationSeconds", 0))
        counted *= 2 if query.get("gpuSize") == "xlarge" else 1
        if answer in ("ok", "queue"):
            if query.get("token") in api.expired:
                answer = "expired"
            elif counted > api.quota_s:
                answer = "illegal"
            elif counted > api.left_s:
                answer = "quota"
        granted = {
            "idle": False,
            "nvidiaIndex": 0,
            "nvidiaUUID": "GPU-x",
            "allowToken": f"t{number}",
        }
        match answer:
            case "ok":
                self._json(200, granted)
            case "queue" | "timeout":
                self._queue(granted if answer == "queue" else None)
            case "expired":
                self._json(401, {"detail": "token expired"})
            case "busy":
                self._json(503, {})
            case "quota":
                self._json(429, {"left": int(api.left_s), "wait": 3600}, "quota-exceeded")
            case "illegal":
                self._json(429, {"left": int(api.left_s), "wait": -1}, "illegal-duration")
            case "pending":
                self._json(429, {"left": 0, "wait": 60}, "pending-overquota-exceeded")

    def _json(self, status: int, body: dict[str, Any], result: str | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self._say_who(result)
        self.end_headers()
        self.wfile.write(data)

    def _queue(self, granted: dict[str, Any] | None) -> None:
        api = self.server
        assert isinstance(api, DeviceApi)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Queuing-Reason", "node")
        self._say_who(None)
        self.end_headers()
        try:
            while not api.free.is_set():
                self._send("event: ping\n\n")
                if granted is None:
                    break
                api.free.wait(PING_S)
            time.sleep(0.05)  # an event of its own: the client takes what comes together for one
            if granted is None:
                self._send("event: failed\n\n")
            else:
                self._send(f"event: succeeded\ndata: {json.dumps(granted)}\n\n")
        except OSError:
            api.hung_up += 1

    def _send(self, event: str) -> None:
        self.wfile.write(event.encode())
        self.wfile.flush()

    def _say_who(self, result: str | None) -> None:
        api = self.server
        assert isinstance(api, DeviceApi)
        if api.level:
            self.send_header("X-Authenticated", api.level)
        if result:
            self.send_header("X-Approve-Result", result)

    def log_message(self, format: str, *args: object) -> None:
        pass
