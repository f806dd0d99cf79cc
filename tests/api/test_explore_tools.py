"""Drafts and comparisons as an agent has them: the tools, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request

from jobs.service import JobService
from tests.api.test_batch_files import finish
from tests.api.test_explore import service  # noqa: F401  # a fixture
from ui.mcp_tools import Tools
from web.identity import Callers

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(service: JobService) -> Call:  # noqa: F811
    tools = Tools(service, Callers(service.settings).identify)
    functions = {function.__name__: function for function in tools._functions()}
    secret = f"a-secret-of-an-agent-{time.time_ns()}"

    def call(name: str, **arguments: Any) -> dict[str, Any]:
        headers = [(b"authorization", f"Bearer {arguments.pop('secret', secret)}".encode()),
                   (b"host", b"kinora.example")]  # fmt: skip
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "state": {},
                 "query_string": b"", "client": ("127.0.0.1", 1), "scheme": "https",
                 "server": ("kinora.example", 443)}  # fmt: skip
        return functions[name](**arguments, request=gr.Request(Request(scope)))

    return call


def test_an_agent_makes_drafts_and_renders_the_best(call: Call, service: JobService) -> None:  # noqa: F811
    batch = call("start_drafts", prompt="a dog", drafts=2, seed=5)
    assert (batch["kind"], batch["ended"], len(batch["clips"])) == ("drafts", False, 2)
    assert "sheet" not in batch
    picked = batch["clips"][1]
    full = call("render_draft", job_id=picked["job_id"])
    assert full["used"]["seed"] == picked["used"]["seed"]
    finish(service, picked["job_id"], 90)
    state = call("batch_state", batch_id=batch["batch_id"])
    urls = [state[name].partition("/api/")[2] for name in ("sheet", "grid", "zip")]
    files = ("sheet.png", "grid.mp4", "clips.zip")
    assert urls == [f"batches/{batch['batch_id']}/{name}" for name in files]
    stopped = call("discard_batch", batch_id=batch["batch_id"])
    assert [clip["state"] for clip in stopped["clips"]] == ["cancelled", "succeeded"]
    again = call("make_again", job_id=batch["clips"][0]["job_id"])
    assert again["used"]["seed"] == 5
    after = call("batch_state", batch_id=batch["batch_id"])
    assert [clip["job_id"] for clip in after["clips"]] == [again["job_id"], picked["job_id"]]


def test_an_agent_compares_settings(call: Call) -> None:
    batch = call("compare", prompt="a dog", settings=["model=pocket,distilled", "guidance=2,4"])
    assert [axis["label"] for axis in batch["axes"]] == ["Model", "Guidance"]
    assert (len(batch["cells"]), len(batch["clips"])) == (4, 3)


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("start_drafts", {"prompt": "a", "drafts": 9}, "from 2 to 8"),
        ("start_drafts", {"prompt": ""}, "the prompt is empty"),
        ("render_draft", {"job_id": "0" * 32}, "no such clip"),
        ("compare", {"prompt": "a", "settings": ["colour=1,2"]}, "no setting called"),
        ("compare", {"prompt": "a", "settings": []}, "not 0"),
        ("discard_batch", {"batch_id": "0" * 32}, "no such batch"),
        ("make_again", {"job_id": "0" * 32}, "no such clip"),
    ],
)
def test_what_an_agent_cannot_have_is_a_sentence(
    call: Call, tool: str, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(gr.Error, match=says):
        call(tool, **arguments)


def test_another_agents_drafts_do_not_exist(call: Call) -> None:
    batch = call("start_drafts", prompt="a dog", drafts=2)
    other = "a-secret-of-another-agent-0123456789"
    for tool, arguments in (
        ("batch_state", {"batch_id": batch["batch_id"]}),
        ("discard_batch", {"batch_id": batch["batch_id"]}),
        ("render_draft", {"job_id": batch["clips"][0]["job_id"]}),
        ("make_again", {"job_id": batch["clips"][0]["job_id"]}),
    ):
        with pytest.raises(gr.Error, match="no such"):
            call(tool, **arguments, secret=other)
