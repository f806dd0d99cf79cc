"""Improving prompts, with a real HTTP server as the operator's language model."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from errors import ErrorCode, KinoraError
from pipelines.field_types import MAX_PROMPT
from pipelines.models.cards import load_cards
from pipelines.models.rules import RULES
from pipelines.request import Task
from settings import ROOT, Settings
from web.enhancer import (
    MAX_BYTES,
    Enhancer,
    Improvement,
    NoImprovement,
    checked,
    load_texts,
)

CARDS = load_cards(ROOT / "presets" / "models")
WAN, LTX, SVD, POCKET = CARDS["wan-2.1-t2v-1.3b"], CARDS["ltx-video"], CARDS["svd"], CARDS["pocket"]
KEY = "a-key-of-the-operator-0123456789"
PROMPT = "a cat on a wall"
BETTER = "A ginger cat walks along a brick wall in soft evening light."


@dataclass
class LanguageModel:
    """What the server answers, and the requests that it got."""

    url: str
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    got: list[dict[str, Any]] = field(default_factory=list)

    def says(self, content: object, **choice: Any) -> None:
        message = {"message": {"role": "assistant", "content": content}} | choice
        self.body = json.dumps({"choices": [message]}).encode()


@pytest.fixture
def model() -> Iterator[LanguageModel]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            known.got.append(
                {"path": self.path, "headers": dict(self.headers), "body": json.loads(data)}
            )
            time.sleep(known.wait_s)
            try:
                self.send_response(known.status)
                for name, value in known.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(known.body)))
                self.end_headers()
                self.wfile.write(known.body)
            except OSError:  # the caller did not wait
                pass

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known = LanguageModel(f"http://127.0.0.1:{server.server_address[1]}/v1")
    known.says(BETTER)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


def improve(
    model: LanguageModel, prompt: str = PROMPT, card: Any = WAN, task: Task = Task.TEXT_TO_VIDEO,
    **more: Any,
) -> Improvement:  # fmt: skip
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        enhancer_url=model.url,
        enhancer_key=SecretStr(KEY),
        enhancer_model="some-model",
        **more,
    )
    return asyncio.run(Enhancer(settings).improve(prompt, card, task))


def test_the_improved_prompt_stands_beside_the_one_that_was_sent(model: LanguageModel) -> None:
    assert improve(model) == Improvement(prompt=PROMPT, improved=BETTER)
    (got,) = model.got
    assert got["path"] == "/v1/chat/completions"
    assert got["headers"]["Authorization"] == f"Bearer {KEY}"
    assert got["body"]["model"] == "some-model"
    system, user = got["body"]["messages"]
    assert (system["role"], user) == ("system", {"role": "user", "content": PROMPT})


def test_the_whole_address_may_be_set(model: LanguageModel) -> None:
    model.url += "/chat/completions"
    assert improve(model).improved == BETTER
    assert model.got[0]["path"] == "/v1/chat/completions"


def test_families_and_tasks_have_texts_of_their_own(model: LanguageModel) -> None:
    improve(model)
    improve(model, card=LTX)
    improve(model, card=LTX, task=Task.IMAGE_TO_VIDEO)
    improve(model, card=POCKET)
    texts = [got["body"]["messages"][0]["content"] for got in model.got]
    assert len(set(texts)) == 4
    assert "dinosaur" in texts[3], "a model of a small world gets its words"
    assert set(load_texts().families) <= set(RULES)


@pytest.mark.parametrize(
    "content",
    [
        f'"{BETTER}"', f"“{BETTER}”", f"```\n{BETTER}\n```", f"Prompt: {BETTER}",
        f"<think>Hm, a cat?</think>\n\n{BETTER}\n", BETTER.replace(" ", "\n", 2),
        f"**Improved prompt:** {BETTER}",
    ],
)  # fmt: skip
def test_wrapping_is_taken_off(content: str) -> None:
    assert checked(content, PROMPT) == BETTER


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no usable prompt"),
        ("   \n", "no usable prompt"),
        (None, "no usable prompt"),
        ([BETTER], "no usable prompt"),
        ("x" * (MAX_PROMPT + 1), "no usable prompt"),
        ("a\x00cat", "no usable prompt"),
        ("!?!? 1234567 ----", "no usable prompt"),
        ("<think>a cat, hm", "no usable prompt"),
        ("I'm sorry, but I can't help with that.", "declined"),
        ("I cannot assist with this request.", "declined"),
        (PROMPT.upper(), "needs no improvement"),
        ("z " * MAX_BYTES, "no usable prompt"),
    ],
)
def test_nonsense_and_refusals_end_in_a_sentence(
    model: LanguageModel, content: object, words: str
) -> None:
    model.says(content)
    made = improve(model)
    assert (made.prompt, made.improved) == (PROMPT, None)
    assert words in (made.message or "")
    assert len(model.got) == 1, "nothing is tried again"


def test_a_refusal_by_its_field_counts(model: LanguageModel) -> None:
    model.body = json.dumps({"choices": [{"message": {"content": None, "refusal": "no"}}]}).encode()
    assert "declined" in (improve(model).message or "")
    model.says(BETTER, finish_reason="content_filter")
    assert "declined" in (improve(model).message or "")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"choices": []}', b"\xff", b"[" * 9000]
)
def test_a_malformed_answer_ends_in_a_sentence(model: LanguageModel, body: bytes) -> None:
    model.body = body
    assert "no usable prompt" in (improve(model).message or "")


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_a_failing_endpoint_ends_in_a_sentence_and_no_key_is_logged(
    model: LanguageModel, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model.status, model.body = status, f"wrong key {KEY}".encode()
    made = improve(model)
    assert made.improved is None
    assert "right now" in (made.message or "")
    assert f"status={status}" in caplog.text
    assert KEY not in caplog.text + repr(made)


def test_nobody_there_ends_in_a_sentence() -> None:
    assert "right now" in (improve(LanguageModel("http://127.0.0.1:9/v1")).message or "")


def test_a_slow_endpoint_ends_in_a_sentence(model: LanguageModel) -> None:
    model.wait_s = 0.5
    began = time.monotonic()
    assert "too long" in (improve(model, enhancer_timeout_s=0.1).message or "")
    assert time.monotonic() - began < 0.45


def test_a_redirect_is_not_followed(model: LanguageModel) -> None:
    """Only the operator's address is called, and the key goes nowhere else."""
    others = LanguageModel("")

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            others.got.append({})

        do_POST = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        for model.status in (301, 302, 303, 307, 308):
            model.headers = {"Location": f"http://127.0.0.1:{server.server_address[1]}/v1"}
            assert improve(model).improved is None
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert others.got == []


def test_a_proxy_of_the_environment_is_not_used(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert improve(model).improved == BETTER


def test_what_cannot_be_improved_is_refused_before_anything_is_sent(model: LanguageModel) -> None:
    for prompt, card in (("  ", WAN), (PROMPT, SVD)):
        with pytest.raises(KinoraError) as caught:
            improve(model, prompt, card)
        assert caught.value.code is ErrorCode.INVALID_INPUT
    assert model.got == []


def test_without_an_address_there_is_no_enhancer(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)  # pyright: ignore[reportCallIssue]
    with pytest.raises(KinoraError) as caught:
        asyncio.run(Enhancer(settings).improve(PROMPT, WAN, Task.TEXT_TO_VIDEO))
    assert caught.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/v1",
        "host/v1",
        "https://me:secret@host/v1",
        "https://host/v1?key=secret",
        "https://",
    ],
)
def test_an_address_with_a_key_in_it_is_refused_without_repeating_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINORA_ENHANCER_URL", address)
    with pytest.raises(KinoraError, match="KINORA_ENHANCER_URL") as caught:
        Settings.load()
    assert "secret" not in caught.value.message


LETTERS = st.characters(max_codepoint=0x2FF)


@given(st.text(LETTERS, max_size=80))
def test_whatever_is_accepted_is_one_line_of_text(answer: str) -> None:
    try:
        made = checked(answer, PROMPT)
    except NoImprovement as why:
        assert why.sentence.endswith(".")
        return
    assert made.isprintable()
    assert 0 < len(made) <= MAX_PROMPT
