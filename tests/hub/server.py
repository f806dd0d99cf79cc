"""A small Hugging Face Hub: enough of its protocol for huggingface_hub, with faults on order.

Serves folders as repositories over real HTTP: model info, the paged tree, resolve with ETag, Range
and the redirect of large files, and the error headers. `spaces` has the other direction: Spaces
that are created and uploaded. Knows nothing of Kinora.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.spaces import Spaces

RIGHT_TOKEN = "hf_right"  # noqa: S105  # opens what is gated here
PAGE = 10
"""Files on one page of a tree: small, so that pages are followed."""


@dataclass(frozen=True)
class File:
    data: bytes
    claimed_size: int | None = None
    """What the listing says, where it lies."""

    @property
    def size(self) -> int:
        return len(self.data) if self.claimed_size is None else self.claimed_size

    @property
    def blob_id(self) -> str:
        header = b"blob %d\0" % len(self.data)
        return hashlib.sha1(header + self.data, usedforsecurity=False).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class Repo:
    files: dict[str, File]
    gated: bool = False
    private: bool = False

    @property
    def commit(self) -> str:
        names = "".join(f"{path} {self.files[path].blob_id}\n" for path in sorted(self.files))
        return hashlib.sha1(names.encode(), usedforsecurity=False).hexdigest()

    def is_large(self, path: str) -> bool:
        return path.endswith((".safetensors", ".bin", ".onnx", ".msgpack"))


@dataclass
class Fault:
    """What goes wrong with the requests whose path matches, so many times."""

    path: str
    times: int = 10**9
    method: str = "GET|HEAD"
    status: int | None = None
    cut_after: int | None = None
    """Closes the connection after so many bytes of the body."""
    flip: bool = False
    """The body arrives with another first byte."""
    no_ranges: bool = False
    bytes_per_s: float | None = None
    stall_s: float = 0.0
    """Says nothing for so long, then hangs up."""


@dataclass
class Seen:
    method: str
    path: str
    range: str | None
    token: str | None
    sent: int = 0
    """Bytes of the body that were sent."""


@dataclass
class TestHub:
    """Use as a context manager; `url` is what HF_ENDPOINT takes."""

    __test__ = False
    repos: dict[str, Repo] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    spaces: Spaces = field(default_factory=lambda: Spaces(""))
    url: str = ""
    cdn_url: str = ""
    """Where large files are kept, if not here."""

    def __enter__(self) -> TestHub:
        hub = self

        class Bound(_Handler):
            pass

        Bound.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._server.daemon_threads = True
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.spaces.url = self.url
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(
        self,
        name: str,
        folder: Path,
        *,
        add: dict[str, bytes | File] | None = None,
        drop: str | None = None,
        gated: bool = False,
        private: bool = False,
    ) -> Repo:
        """A repository from a folder; `add` replaces files, `drop` removes those that match."""
        files = {
            path.relative_to(folder).as_posix(): File(path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        files = {path: file for path, file in files.items() if not (drop and re.search(drop, path))}
        for path, file in (add or {}).items():
            files[path] = file if isinstance(file, File) else File(file)
        self.repos[name] = Repo(files, gated=gated, private=private)
        return self.repos[name]

    def fault(self, path: str, **what: Any) -> Fault:
        fault = Fault(path, **what)
        self.faults.append(fault)
        return fault

    def bytes_sent(self, path: str) -> int:
        """Of the bodies of all matching requests."""
        return sum(seen.sent for seen in self.seen if re.search(path, seen.path))

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if (
                    fault.times > 0
                    and re.search(fault.path, path)
                    and re.search(fault.method, method)
                ):
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    hub: TestHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        bearer = self.headers.get("Authorization")
        token = bearer.removeprefix("Bearer ") if bearer else None
        self.seen = Seen(self.command, path, self.headers.get("Range"), token)
        self.hub.seen.append(self.seen)
        # read whole before anything is answered, or it would be taken for the next request
        given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.fault = self.hub.take_fault(self.command, path)
        if self.fault and self.fault.stall_s:
            time.sleep(self.fault.stall_s)
            self.close_connection = True
            return
        if self.fault and self.fault.status:
            self._error(self.fault.status)
            return
        answer = self.hub.spaces.answer(self.command, path, parse_qs(url.query), token, given)
        if answer is not None:
            self._send(
                answer.status,
                json.dumps(answer.value).encode(),
                {"Content-Type": "application/json", **answer.headers},
            )
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(found[1], found[2])
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            self._tree(found[1], found[2], parse_qs(url.query))
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(found[1], found[2], found[3])
        elif found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            self._body(self.hub.repos[found[1]].files[found[2]].data, {})
        else:
            self._error(404)

    def _repo(self, name: str, revision: str | None) -> Repo | None:
        """The repository, or None once the refusal is sent."""
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self.seen.token != RIGHT_TOKEN):
            # as the real one: who is not known cannot tell the missing from the private
            self._error(404 if self.seen.token else 401, "RepoNotFound")
            return None
        if revision not in (None, "main", repo.commit):
            self._error(404, "RevisionNotFound")
            return None
        return repo

    def _may_read(self, repo: Repo) -> bool:
        if not repo.gated or self.seen.token == RIGHT_TOKEN:
            return True
        self._error(403 if self.seen.token else 401, "GatedRepo")
        return False

    def _info(self, name: str, revision: str | None) -> None:
        if repo := self._repo(name, revision):
            siblings = [{"rfilename": path} for path in sorted(repo.files)]
            info = {
                "id": name,
                "sha": repo.commit,
                "private": repo.private,
                "gated": "auto" if repo.gated else False,
                "siblings": siblings,
            }
            self._json(info)

    def _tree(self, name: str, revision: str, query: dict[str, list[str]]) -> None:
        repo = self._repo(name, revision)
        if repo is None:
            return
        entries: list[dict[str, Any]] = []
        folders = {path.rpartition("/")[0] for path in repo.files} - {""}
        entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": f} for f in folders]
        for path, file in repo.files.items():
            entry = {"type": "file", "oid": file.blob_id, "size": file.size, "path": path}
            if repo.is_large(path):
                entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 130}
            entries.append(entry)
        entries.sort(key=lambda entry: entry["path"])
        start = int(query.get("cursor", ["0"])[0])
        more = {}
        if start + PAGE < len(entries):
            next_page = f"{self.hub.url}/api/models/{name}/tree/{revision}"
            link = f"{next_page}?recursive=true&cursor={start + PAGE}"
            more = {"Link": f'<{link}>; rel="next"'}
        self._json(entries[start : start + PAGE], more)

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repo = self._repo(name, revision)
        if repo is None or not self._may_read(repo):
            return
        file = repo.files.get(path)
        if file is None:
            self._error(404, "EntryNotFound", {"X-Repo-Commit": repo.commit})
            return
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{file.blob_id}"'}
        if not repo.is_large(path):
            self._body(file.data, headers)
            return
        headers |= {
            "X-Linked-ETag": f'"{file.sha256}"',
            "X-Linked-Size": str(file.size),
            "Location": f"{self.hub.cdn_url or self.hub.url}/cdn/{name}/{path}",
        }
        self._send(302, b"", headers)

    def _json(self, value: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self._send(200, body, {"Content-Type": "application/json"} | (headers or {}))

    def _error(self, status: int, code: str = "", headers: dict[str, str] | None = None) -> None:
        told = {"X-Error-Code": code, "X-Error-Message": code} if code else {}
        self._send(status, b'{"error": "no"}', told | (headers or {}))

    def _body(self, data: bytes, headers: dict[str, str]) -> None:
        if self.fault and self.fault.flip:
            data = bytes([data[0] ^ 1]) + data[1:]
        start, end = 0, len(data) - 1
        status = 200
        wanted = "" if self.fault and self.fault.no_ranges else self.seen.range or ""
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", wanted):
            start = int(asked[1])
            end = int(asked[2] or end)
            if start >= len(data):
                self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            status = 206
            headers = headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        self._send(status, data[start : end + 1], headers | {"Accept-Ranges": "bytes"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        fault = self.fault
        whole = body
        if fault and fault.cut_after is not None:
            body = body[: fault.cut_after]
        try:
            self._write(body, fault.bytes_per_s if fault else None)
        except OSError:
            self.close_connection = True
        if len(body) < len(whole):
            self.close_connection = True

    def _write(self, body: bytes, bytes_per_s: float | None) -> None:
        step = max(1, int(bytes_per_s / 20)) if bytes_per_s else len(body) or 1
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            self.wfile.flush()
            self.seen.sent += len(body[start : start + step])
            if bytes_per_s:
                time.sleep(1 / 20)
