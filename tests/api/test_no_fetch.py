"""The server calls nobody that somebody names: every connection it makes is written down.

`watchman` is loaded into the server's processes and notes each name that is looked up and each
address that is connected to; a listener nearby, and one on every address of this machine, count
who calls.
"""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import SECRET, ApiServer, make
from tests.api.test_tools import call, over_mcp
from tests.goals import Goal, rounds

HUB_PORT = 9
"""Where nobody is: what is asked of the Hub is not what a caller names."""
NAMES_LIKE_ADDRESSES = (
    "169.254.169.254/latest",
    "localhost/a.png",
    "127.0.0.1/a",
    "evil.example/x",
)

WATCHMAN = """
import os, socket, sys

def note(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        said = f"connect {args[1][0]} {args[1][1]}"
    elif event == "socket.getaddrinfo":
        said = f"look up {args[0]} {args[1]}"
    elif event == "socket.sendto" and isinstance(args[1], tuple):
        said = f"send to {args[1][0]} {args[1][1]}"
    elif event == "urllib.Request":
        said = f"urllib {args[0]}"
    else:
        return
    with open(os.environ["WATCHMAN_BOOK"], "a") as book:
        book.write(said + chr(10))

sys.addaudithook(note)
"""


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[int, list[bytes]]]:
    heard: list[bytes] = []

    class Hear(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(200))
            self.request.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n")

    with socketserver.ThreadingTCPServer(("0.0.0.0", 0), Hear) as server:  # noqa: S104
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], heard
        server.shutdown()


class Guarded(ApiServer):
    """Online as far as it knows, with the Hub at a port where nobody is."""

    def start(self) -> None:
        self.environment = {k: v for k, v in self.environment.items() if k != "HF_HUB_OFFLINE"}
        super().start()

    def connections(self) -> list[str]:
        book = Path(self.environment["WATCHMAN_BOOK"])
        known = (self.port, HUB_PORT)
        own = [f"{how} 127.0.0.1 {port}" for how in ("connect", "look up") for port in known]
        lines = book.read_text().splitlines() if book.exists() else []
        return [line for line in lines if line not in own]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, api_models_dir: Path) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCHMAN)
    running = Guarded(
        folder / "data", api_models_dir,
        PYTHONPATH=str(folder / "watch"), WATCHMAN_BOOK=str(folder / "book"),
        HF_ENDPOINT=f"http://127.0.0.1:{HUB_PORT}",
    )  # fmt: skip
    yield running
    running.stop()


def addresses(port: int) -> list[str]:
    """Private, indirect and odd: each of them once led somebody's server astray."""
    hosts = (
        "127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "017700000001",  # noqa: S104
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "127.0.0.1.nip.io", "localtest.me", "127.000.000.1",
        "example.org@127.0.0.1", "127.0.0.1%23@example.org", "①②⑦.⓪.⓪.①", "rebind.network",
    )  # fmt: skip
    made = [f"http://{host}:{port}/a.png" for host in hosts]
    made += [
        f"https://127.0.0.1:{port}/a.png", f"HTTP://127.0.0.1:{port}/A.PNG", f"//127.0.0.1:{port}/",
        f"http:127.0.0.1:{port}/a.png", f"ftp://127.0.0.1:{port}/a", f"gopher://127.0.0.1:{port}/_a",
        f"dict://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/", f"s3://127.0.0.1:{port}/a",
        f"tcp://127.0.0.1:{port}", f"rtmp://127.0.0.1:{port}/a", f"concat:http://127.0.0.1:{port}/a",
        "http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/",
        "http://10.0.0.1/a.png", "http://192.168.0.1/a.png", "http://172.16.0.1/", "http://[fd00::1]/",
        "https://huggingface.co/a.png", "https://example.org/a.png", "http://1.1.1.1/a.png",
        "file:///etc/hostname", "data:text/html,<img src=http://127.0.0.1>", "jar:http://127.0.0.1!/",
    ]  # fmt: skip
    return made


def through_every_door(client: httpx.Client, url: str) -> int:
    """Each place where a program could put an address; how many there were."""
    host = url.partition("//")[2].encode()
    data = {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}
    remote = {"path": "a.png", "url": url, "meta": {"_type": "gradio.FileData"}, "is_stream": True}
    asked = [
        client.post("/api/generate", json={"image": url}),
        client.post("/api/generate", json={"prompt": "a", "last_image": url}),
        client.post("/api/generate", json={"prompt": "a", "video": url}),
        client.post("/api/generate", json={"prompt": "a", "model": url}),
        client.post("/api/generate", json={"prompt": "a", "loras": [{"source": url}]}),
        client.post("/api/generate", json={"prompt": "a", "webhook": url, "callback_url": url}),
        client.post("/api/generate", data={"image": url, "prompt": url}),
        client.post("/api/estimate", json={"prompt": url, "image": url}),
        client.post("/v1/videos", json={"prompt": "a", "input_reference": {"image_url": url}}),
        client.post("/v1/videos", data={"prompt": "a", "input_reference": url}),
        client.post("/generate", data={"image": url}),
        client.post("/api/batches", json={"images": [url, url], "prompts": ["a", "b"]}),
        client.post("/api/batches", json={"requests": [{"image": url}], "zip": url}),
        client.post("/api/verify", json={"url": url}),
        client.post("/api/video/image-to-video", data={"image": url}),
        client.post("/kinora/pictures", content=url.encode(), headers={"X-Kinora": "1"}),
        client.get("/gradio_api/file=" + url),
        client.get("/gradio_api/proxy=" + url),
        client.get("/", headers={b"Referer": url.encode(), b"X-Forwarded-Host": host}),
        gradio(client, "image_to_video", image=data, prompt="a"),
        gradio(client, "image_to_video", image=remote, prompt="a"),
        gradio(client, "image_to_video", image=url, prompt="a"),
        gradio(client, "video_to_video", video=data, prompt="a"),
        gradio(client, "text_to_video", prompt="a", loras=[data], model=url),
        gradio(client, "estimate", prompt=url, model=url),
    ]  # fmt: skip
    for answer in asked:
        assert answer.status_code < 500, (answer.request.url, answer.text)
    return len(asked)


def gradio(client: httpx.Client, endpoint: str, **body: Any) -> httpx.Response:
    asked = client.post(f"/gradio_api/call/v2/{endpoint}", json=body)
    if not asked.is_success:
        return asked
    return client.get(f"/gradio_api/call/{endpoint}/{asked.json()['event_id']}")


@pytest.mark.slow
@pytest.mark.goal("G13")
def test_nobody_is_called_whom_a_caller_names(
    guarded: Guarded, listener: tuple[int, list[bytes]], goal: Goal
) -> None:
    port, heard = listener
    headers = {"Authorization": f"Bearer {SECRET}"}
    urls, places = addresses(port)[:: rounds(8, 1)], 0
    with httpx.Client(base_url=guarded.url, headers=headers, timeout=60, trust_env=False) as client:
        make(client)
        before, asked_for = guarded.connections(), list[str]()
        make(client, prompt=f"a dog at {urls[0]}")
        for url in urls:
            places += through_every_door(client, url)

        async def agent(session: Any) -> None:
            for url in urls:
                await call(session, "image_to_video", image=url, prompt="a")

        over_mcp(guarded, agent)
        for name in NAMES_LIKE_ADDRESSES:
            for asked in ({"model": name}, {"loras": [{"source": name}]}):
                answer = client.post("/api/generate", json={"prompt": "a", **asked})
                if answer.status_code == 202:
                    asked_for.append(answer.json()["job_id"])
        time.sleep(5)  # the worker goes to the Hub for the first of them, and for no other place
        for job_id in asked_for:
            client.post(f"/api/jobs/{job_id}/cancel")
    made = guarded.connections()[len(before) :]
    goal.count("forms of an address", len(urls), at_least=rounds(5, 30))
    goal.count("requests with one of them", places + len(urls), at_least=rounds(100, 600))
    goal.count("connections and look-ups of the server", len(made), at_most=0)
    goal.count("calls that were heard", len(heard), at_most=0)
    assert not made, made[:10]


@pytest.mark.slow
def test_the_watchman_sees_what_is_called(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    import os
    import subprocess
    import sys

    (tmp_path / "sitecustomize.py").write_text(WATCHMAN)
    code = (
        "import urllib.request, contextlib\n"
        "with contextlib.suppress(OSError): urllib.request.urlopen('http://127.0.0.1:9/')\n"
        "import httpx\n"
        "with contextlib.suppress(httpx.HTTPError): httpx.get('http://localhost:9/')"
    )
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path), "WATCHMAN_BOOK": str(tmp_path / "book"), "NO_PROXY": "*",
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    seen = (tmp_path / "book").read_text()
    assert "connect 127.0.0.1 9" in seen
    assert "look up localhost 9" in seen
