"""A reverse proxy that serves the app below a path of its own site, as nginx would."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """`strips`: the app never sees the path that it is served below."""

    def __init__(self, port: int, below: str, *, strips: bool) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # one answer, then the connection ends

            def forward(self) -> None:
                if not (self.path == below or self.path.startswith(f"{below}/")):
                    self.send_error(404, "not below the path")
                    return
                path = (self.path[len(below) :] or "/") if strips else self.path
                size = int(self.headers.get("content-length") or 0)
                there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                there.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() != "connection":
                        there.putheader(name, value)
                there.endheaders(self.rfile.read(size) if size else None)
                answer = there.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "server", "date"):
                        self.send_header(name, value)
                self.end_headers()
                while part := answer.read1(65_536):
                    self.wfile.write(part)
                there.close()

            do_GET = do_POST = do_DELETE = do_HEAD = forward

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}{below}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
