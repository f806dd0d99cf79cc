"""A page that holds our components and nothing else: no app behind it, no Gradio.

The modules are ours as they are; what Gradio would hand to a component and what the server would
answer is given by the test.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Browser, Page

from ui.assets import STATIC, STYLES

SCRIPTS = "/kinora/static/"
FRAMES, SIDE = 4, 16

PAGE = """<!doctype html><html lang="en" class="k-placed"><head><style>{style}</style>
<script>{store}</script>
<script type="module" src="kinora/static/main.js"></script></head>
<body class="gradio-container"><div id="k-t2v" class="k-studio">
<div class="k-prompt"><textarea></textarea></div><button class="k-generate">Generate</button></div>
<div id="k-i2v" class="k-studio"></div>
<script>
window.ports = {{}};  // what Gradio hands to each component, by its name
window.mount = (name, value, options = {{}}) => {{
  const task = options.task ?? "t2v";
  const element = document.createElement("div");
  element.className = `k-part k-part-${{name}}`;
  document.getElementById(`k-${{task}}`).append(element);
  const watching = [];
  const port = {{
    element, triggered: [], props: {{ value }},
    trigger: (event, data) => port.triggered.push([event, data]),
    watch: (prop, callback) => watching.push(callback),
    answer: (fresh) => {{ port.props.value = fresh; for (const each of watching) each(); }},
  }};
  ports[name] = port;
  (window.kinora ??= []).push([name, element, port, {{ task, ...options }}]);
}};
</script></body></html>"""

STORE = """import("/kinora/static/main.js").then(({ store }) => (window.store = store));"""


def job(**different: Any) -> dict[str, Any]:
    """As the server shows one."""
    return {
        "id": "a" * 32, "task": "t2v", "state": "running", "created_at": 1.0, "prompt": "a dog",
        "width": 64, "height": 64, "duration_s": 1.0, "format": "gif", "phase": "denoise",
        "line": "Step 3 of 20, 9 s left", "ring": 0.25, "preview": None, "adjustments": [],
        "surprises": [], "used": {"prompt": "a dog", "seed": 7, "width": 64, "height": 64},
        "settings": [["Prompt", "a dog"], ["Seed", "7"], ["Size", "64 × 64"]],
        "signed": "sign=s",
    } | different  # fmt: skip


PREVIEW = {"number": 1, "frames": FRAMES, "width": SIDE, "height": SIDE, "fps": 20}


def strip() -> bytes:
    """A preview: frames of different colours side by side."""
    image = Image.new("RGB", (FRAMES * SIDE, SIDE))
    for n, colour in enumerate(("red", "green", "blue", "white")):
        image.paste(Image.new("RGB", (SIDE, SIDE), colour), (n * SIDE, 0))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def clip() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(file, "GIF")
    return file.getvalue()


class Answers:
    """What the server would answer; the requests that came, and what the scripts complained of."""

    def __init__(self) -> None:
        self.live: list[dict[str, Any]] = []
        """The states that a job goes through when the stage follows it."""
        self.models: dict[str, Any] = {"models": [], "any": True}
        self.jobs: list[dict[str, Any]] = []
        """The list of clips."""
        self.styles: list[dict[str, Any]] = []
        self.comparable: list[dict[str, Any]] = []
        self.batches: dict[str, dict[str, Any]] = {}
        """By their ids."""
        self.asked: list[str] = []
        self.trouble: list[str] = []

    def to(self, path: str) -> tuple[str, bytes]:
        """The type and the body."""
        if path == "/":
            style = "\n".join((STATIC / name).read_text("utf-8") for name in STYLES)
            return "text/html", PAGE.format(style=style, store=STORE).encode()
        if path.startswith(SCRIPTS):
            return "text/javascript", (STATIC / path.removeprefix(SCRIPTS)).read_bytes()
        if path.startswith("/kinora/batches/") and path.endswith("/live"):
            return "text/event-stream", b": nothing changes\n\n"
        if path.endswith("/live"):
            states = "".join(f"data: {json.dumps(each)}\n\n" for each in self.live)
            return "text/event-stream", f"{states}event: end\ndata: {{}}\n\n".encode()
        if path.endswith("/preview"):
            return "image/jpeg", strip()
        if path.startswith("/kinora/styles/thumbnails/"):
            return "image/webp", b"no picture" if "broken" in path else clip()
        if path.endswith("/clip"):
            return "image/gif", clip()
        known: dict[str, Any] = {
            "/kinora/visitor": {"kept": True},
            "/kinora/jobs": {"jobs": self.jobs, "last": None},
            "/kinora/models": self.models,
            "/kinora/styles": {"styles": self.styles},
            "/kinora/comparable": {"settings": self.comparable},
        }
        known |= {f"/kinora/jobs/{each['id']}": each for each in self.jobs}
        known |= {f"/kinora/batches/{id_}": batch for id_, batch in self.batches.items()}
        return "application/json", json.dumps(known.get(path, {})).encode()


Here = tuple[Page, Answers]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Files

    def answer(self) -> None:
        path = urlsplit(self.path).path
        self.server.answers.asked.append(f"{self.command} {path}")
        kind, body = self.server.answers.to(path)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        keep = "max-age=3600" if path.startswith(SCRIPTS) else "no-store"
        self.send_header("Cache-Control", keep)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        pass


class Files(ThreadingHTTPServer):
    """The page's files and the answers of a test, on a port of this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = Answers()


@contextmanager
def component_pages(browser: Browser) -> Iterator[Callable[[], AbstractContextManager[Here]]]:
    """Pages of one context, so that the browser reads the scripts once."""
    server = Files()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    context = browser.new_context(viewport={"width": 1000, "height": 800})

    @contextmanager
    def open_page() -> Iterator[Here]:
        """At the end: no script complained."""
        answers = server.answers = Answers()
        page = context.new_page()
        page.on("pageerror", lambda error: answers.trouble.append(str(error)))
        page.on(
            "console",
            lambda line: answers.trouble.append(line.text) if line.type == "error" else None,
        )
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_function("window.store && !Array.isArray(window.kinora)")
        yield page, answers
        page.close()
        assert not answers.trouble, answers.trouble

    yield open_page
    context.close()
    server.shutdown()
    thread.join()
    server.server_close()
