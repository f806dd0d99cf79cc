"""Every way in, in this process and without a server: what was typed at a door, and what became
of it. Nothing is made: jobs are accepted and stay in the queue.

Knows how each door is spoken to. What is asserted is for the tests to say.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import yaml
from starlette.requests import Request
from starlette.testclient import TestClient
from typer.testing import CliRunner

from api.site import build, is_ours
from app import build_service
from cli.commands import Parts, app
from cli.request_options import option_name
from errors import KinoraError
from jobs.job import Job
from jobs.service import JobService
from jobs.workers.foreground import ForegroundExecutor
from pipelines.request import REQUEST_FIELDS, Task
from pipelines.request_fields import Kind
from settings import Settings
from tests import tiny
from tests.zoo import svd, wan
from ui import page
from ui.form import Form, defaults
from ui.handlers import Handlers
from ui.model_picker import Models
from web.guard import Guard
from web.identity import Callers
from web.metrics import Metrics

SECRET = "a-secret-of-the-test-of-all-doors-0123456789"  # noqa: S105
PROMPT = "a dog in the snow"
WAIT_S = 60.0
Typed = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """A job, or a refusal."""

    job: Job | None = None
    sentence: str = ""
    field: str = ""

    @property
    def adjusted(self) -> set[str]:
        return {change.field for change in self.job.fitted.adjustments} if self.job else set()


def cards(folder: Path) -> None:
    """One that takes nearly everything, a distilled one, one with samplers, one without words."""
    repo = folder / "nowhere"
    tiny.write_card(folder, repo, tasks=["t2v", "i2v", "v2v"])
    plain = tiny.CARD["limits"] | {"max_guidance": 1.0, "max_steps": 8}  # type: ignore[operator]
    distilled = tiny.CARD["defaults"] | {"guidance_scale": 1.0}  # type: ignore[operator]
    takes = {"guidance": False, "negative_prompt": False}
    tiny.write_card(folder, repo, id="distilled", limits=plain, defaults=distilled, takes=takes)
    for name, specimen in (("wan", wan.SPECIMENS[0]), ("svd", svd.SPECIMENS[0])):
        card = specimen.card | {"id": name, "repo": str(repo)}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")


class Doors:
    def __init__(self, folder: Path) -> None:
        cards(folder / "cards")
        self.environment = {
            "KINORA_DATA_DIR": str(folder / "data"),
            "KINORA_MODELS_DIR": str(folder / "cards"),
            "KINORA_LORA_HUB": "false",
            "KINORA_MAX_JOBS_PER_VISITOR": "1000000",
            "KINORA_MAX_QUEUE": "1000000",
            "KINORA_CLIPS_PER_MINUTE": "0",
            "KINORA_ALLOW_ANY_MODEL": "false",
        }
        os.environ.update(self.environment)
        self.settings = Settings.load()
        self.loop = asyncio.new_event_loop()
        self.service = self.build_service()
        metrics = Metrics(self.service)
        api = build(self.service, self.settings, metrics)
        site = Guard(_nothing, api, is_ours, self.settings, metrics)
        self.http = TestClient(site, raise_server_exceptions=False)
        identify = Callers(self.settings).identify

        async def make() -> gr.Blocks:  # without a running loop Gradio makes one and leaves it open
            return page.build(self.service, self.service.cards, self.settings, identify)

        self.demo = self.loop.run_until_complete(make())
        self.endpoints: dict[Any, Any] = {fn.api_name: fn for fn in self.demo.fns.values()}

    def build_service(self, *arguments: Any) -> JobService:
        """With these doors' settings; the command line also gives its executor."""
        executor = arguments[1] if len(arguments) > 1 else ForegroundExecutor(self.settings)
        return build_service(self.settings, executor)

    def close(self) -> None:
        self.http.close()
        self.loop.close()
        self.service.close()
        for name in self.environment:
            os.environ.pop(name, None)

    # ---- programs

    def rest(self, typed: Typed) -> Outcome:
        return self._answer(self._post("/api/generate", content=_json(typed)))

    def form(self, typed: Typed) -> Outcome:
        return self._answer(self._post("/api/generate", data=_texts(typed)))

    def openai(self, typed: Typed) -> Outcome:
        return self._answer(self._post("/v1/videos", data=_texts(typed)))

    def batch(self, typed: Typed) -> Outcome:
        typed = dict(typed)
        body = {"prompts": [typed.pop("prompt", "")], **typed}
        return self._answer(self._post("/api/batches", content=_json(body)))

    def requests(self, typed: Typed) -> Outcome:
        return self._answer(self._post("/api/batches", content=_json({"requests": [typed]})))

    def _post(self, path: str, **body: Any) -> Any:
        """Each as another caller: none has the clips of another door."""
        secret = f"{SECRET}-{time.time_ns()}"
        return self.http.post(path, headers={"Authorization": f"Bearer {secret}"}, **body)

    def _answer(self, answer: Any) -> Outcome:
        body = answer.json()
        if answer.status_code >= 400:
            assert answer.status_code < 500, body
            error = body["error"]
            field = error["param"] if isinstance(error, dict) else body["details"].get("field")
            return Outcome(sentence=body["message"], field=str(field or ""))
        job_id = body.get("job_id") or body.get("id") or body["jobs"][0]["job_id"]
        return Outcome(self.service.get(job_id))

    # ---- the page

    def page(self, typed: Typed) -> Outcome:
        """The controls of the tab, as the browser sends them."""
        typed = dict(typed)
        card = self.service.cards[typed.get("model") or "pocket"]
        task = Task.TEXT_TO_VIDEO if Task.TEXT_TO_VIDEO in card.tasks else card.tasks[0]
        own = {id_: card for id_, card in self.service.cards.items() if task in card.tasks}
        models = Models(self.service.cards, self.settings)
        answers = Handlers(task, self.service, own, self.settings, models)
        own = defaults(card, task, self.settings)
        form = dict(zip(Form.names(), own, strict=True)) | typed
        values = [form[name] for name in Form.names()]
        try:
            job = self.service.submit(answers._request((*values, None)), "visitor")
        except KinoraError as error:
            return Outcome(sentence=error.message, field=error.details.get("field", ""))
        return Outcome(job)

    # ---- gradio_client and agents

    def client(self, typed: Typed) -> Outcome:
        """/text_to_video, up to the moment when it waits for its clip."""
        endpoint = self.endpoints["text_to_video"]
        given = _arguments(endpoint, typed)
        if isinstance(given, Outcome):
            return given
        owner = f"client:{time.time_ns()}"
        request = gr.Request(_request())
        request.request.state.visitor = owner  # type: ignore[union-attr]

        async def call() -> Outcome:
            from web.identity import owner_of

            asked = asyncio.ensure_future(endpoint.fn(*given, request, _no_progress))
            until = time.monotonic() + WAIT_S
            try:
                while not asked.done():
                    assert time.monotonic() < until
                    found = self.service.list(owner_of(owner), 1)
                    if found:
                        return Outcome(found[0])
                    await asyncio.sleep(0.002)
                return Outcome(sentence=str(_refusal(asked.exception())))
            finally:
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)

        return self.loop.run_until_complete(call())

    def tool(self, typed: Typed) -> Outcome:
        """make_clip, which answers at once."""
        endpoint = self.endpoints["make_clip"]
        given = _arguments(endpoint, typed)
        if isinstance(given, Outcome):
            return given
        try:
            state = endpoint.fn(*given, gr.Request(_request()))
        except gr.Error as error:
            return Outcome(sentence=_refusal(error))
        return Outcome(self.service.get(state["job_id"]))

    # ---- the command line

    def run(self, *arguments: str) -> Any:
        parts = Parts(lambda: None, self.build_service)
        return CliRunner().invoke(app, arguments, obj=parts, env=self.environment)

    def command(self, typed: Typed) -> Outcome:
        typed = dict(typed)
        arguments = ["generate", "--model", str(typed.pop("model", "pocket"))]
        for name, value in typed.items():
            if name == "loras":
                for each in value:
                    weight = f":{each['weight']}" if "weight" in each else ""
                    arguments += ["--lora", f"{each['source']}{weight}"]
            elif name in REQUEST_FIELDS and REQUEST_FIELDS[name].kind is Kind.BOOLEAN:
                arguments += [option_name(REQUEST_FIELDS[name])] if value else []
            elif name != "prompt":
                field = REQUEST_FIELDS.get(name)
                option = option_name(field) if field else f"--{name}"
                arguments.append(f"{option}={value}")
        arguments += ["--", str(typed.get("prompt", ""))]
        before = {job.id for job in self.service.list("cli", 500)}
        done = self.run(*arguments)
        new = [job for job in self.service.list("cli", 500) if job.id not in before]
        if new:  # then it found no weights to load
            return Outcome(new[0])
        error = done.exception
        if isinstance(error, KinoraError):
            return Outcome(sentence=error.message, field=error.details.get("field", ""))
        assert done.exit_code == 2, (done.exit_code, done.output, error)
        return Outcome(sentence=done.output)


def _json(typed: Typed) -> bytes:
    return json.dumps(dict(typed)).encode()


def _texts(typed: Typed) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in typed.items()
    }


def _arguments(endpoint: Any, typed: Typed) -> list[Any] | Outcome:
    """As the route does: by name, with the defaults, each through its component."""
    names = [name for name in _parameters(endpoint.fn) if name not in ("request", "progress")]
    unknown = set(typed) - set(names)
    if unknown:  # the client itself refuses these
        return Outcome(sentence=f"{unknown.pop()} is no parameter.")
    given = _parameters(endpoint.fn) | dict(typed)
    return [
        component.preprocess(given[name])
        for name, component in zip(names, endpoint.inputs, strict=True)
    ]


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    import inspect

    return {
        name: None if each.default is each.empty else each.default
        for name, each in inspect.signature(function).parameters.items()
    }


def _refusal(error: BaseException | None) -> str:
    assert isinstance(error, gr.Error), error
    return str(error.message)


def _request() -> Request:
    headers = [(b"authorization", f"Bearer {SECRET}".encode())]
    scope = {
        "type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b"",
        "client": ("127.0.0.1", 1), "state": {},
    }  # fmt: skip
    return Request(scope)


def _no_progress(*_: Any, **__: Any) -> None: ...


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})
