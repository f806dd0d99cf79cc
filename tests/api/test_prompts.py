"""Improving a prompt at the API's door, with a language model set."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.site import build
from app import executor_for
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard
from settings import Settings
from web.metrics import Metrics

BETTER = "A dog runs along a beach at dawn, seen from the side."
KEY = "a-key-of-the-operator-0123456789"


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            choices = [{"message": {"content": BETTER}}] if "Bearer" in str(self.headers) else []
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"choices": choices}).encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(
    url: str, tiny_settings: Settings, tiny_cards: dict[str, ModelCard]
) -> Iterator[TestClient]:
    more = {"enhancer_url": url, "enhancer_key": SecretStr(KEY), "enhancer_per_minute": 2}
    settings = tiny_settings.model_copy(update=more)
    store = JobStore(settings.database_url)
    service = JobService(store, executor_for(settings), tiny_cards, settings)
    with TestClient(build(service, settings, Metrics(service))) as client:
        yield client
    service.close()


def test_a_prompt_is_improved_so_many_times_a_minute(client: TestClient) -> None:
    assert client.get("/api/prompt").json()["improve"] is True
    assert "/api/prompt/improve" in client.get("/api/openapi.json").json()["paths"]
    for _ in range(2):
        answer = client.post("/api/prompt/improve", json={"prompt": "a dog", "task": "i2v"})
        assert answer.json() == {"prompt": "a dog", "improved": BETTER, "message": None}
        assert KEY not in answer.text
    refused = client.post("/api/prompt/improve", json={"prompt": "a dog"})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) <= 61
    wrong = client.post("/api/prompt/improve", json={"prompt": "a dog", "task": "audio"})
    assert wrong.status_code == 422
