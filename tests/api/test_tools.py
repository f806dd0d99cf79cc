"""The tools: driven by the `mcp` client package, and by gradio_client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from tests.api.conftest import LONG, OTHER_SECRET, SECRET, WAIT_S, ApiServer

Do = Callable[[ClientSession], Awaitable[Any]]
LONG_TOOL: dict[str, Any] = {
    "num_inference_steps": LONG["num_inference_steps"],
    "width": 128,
    "height": 128,
    "duration_s": 4.0,
}
PATIENCE = timedelta(seconds=WAIT_S)
"""The client itself would wait for ever for an answer that was lost."""


def over_mcp(server: ApiServer, do: Do, secret: str = SECRET) -> Any:
    async def run() -> Any:
        url, headers = f"{server.url}/gradio_api/mcp/", {"Authorization": f"Bearer {secret}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=WAIT_S, trust_env=False) as http,
            streamable_http_client(url, http_client=http) as (read, write, _),
            ClientSession(read, write, read_timeout_seconds=PATIENCE) as session,
        ):
            await session.initialize()
            return await do(session)

    return asyncio.run(run())


async def call(session: ClientSession, tool: str, **arguments: Any) -> Any:
    names = [each.name for each in (await session.list_tools()).tools]
    (name,) = [each for each in names if each.endswith(tool)]
    answer = await session.call_tool(name, arguments)
    text = answer.content[0].text  # type: ignore[union-attr]
    return {"refused": text} if answer.isError else json.loads(text)


def test_an_agent_makes_a_clip_follows_it_and_lists_models(server: ApiServer) -> None:
    async def do(session: ClientSession) -> None:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        (making,) = [tool for name, tool in tools.items() if name.endswith("make_clip")]
        assert "Start a video clip from words" in (making.description or "")
        assert set(making.inputSchema["properties"]) >= {"prompt", "seed", "model"}

        state = await call(
            session, "make_clip", prompt="a dog", num_inference_steps=2, guidance_scale=2.5
        )
        until = time.monotonic() + WAIT_S
        while state["state"] not in ("succeeded", "failed"):
            assert time.monotonic() < until
            state = await call(session, "clip_state", job_id=state["job_id"])
        assert state["state"] == "succeeded"
        assert state["url"] == f"{server.url}/api/result/{state['job_id']}"
        assert state["used"]["guidance_scale"] == 2.5
        (listing,) = [name for name in tools if name.endswith("models")]
        models = await session.call_tool(listing, {})
        assert "pocket" in models.content[0].text  # type: ignore[union-attr]

    over_mcp(server, do)


def test_an_agent_lets_a_clip_go_on(server: ApiServer) -> None:
    async def ended(session: ClientSession, state: Any) -> Any:
        until = time.monotonic() + WAIT_S
        while state["state"] not in ("succeeded", "failed"):
            assert time.monotonic() < until
            state = await call(session, "clip_state", job_id=state["job_id"])
        return state

    async def do(session: ClientSession) -> None:
        made = await call(session, "make_clip", prompt="a dog", num_inference_steps=2)
        early = await call(session, "continue_clip", job_id="0" * 32, prompt="on")
        assert "no such clip" in early["refused"]
        first = await ended(session, made)
        on = await call(
            session, "continue_clip", job_id=first["job_id"], prompt="it jumps", duration_s=1
        )
        longer = await ended(session, on)
        assert longer["state"] == "succeeded"
        assert longer["used"]["prompt"] == "it jumps"
        assert longer["used"]["continue_from"]

    over_mcp(server, do)


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("make_clip", {"prompt": ""}, "the prompt is empty"),
        ("make_clip", {"prompt": "a", "model": "sora-2"}, "There is no model called"),
        ("make_clip", {"prompt": "a", "width": 5000}, "32 to 128"),
        ("clip_state", {"job_id": "0" * 32}, "There is no such clip here."),
        ("discard_clip", {"job_id": "nonsense"}, "There is no such clip here."),
        ("batch_state", {"batch_id": "0" * 32}, "There is no such batch here."),
        ("make_batch", {"prompts": []}, "A batch has 1 to"),
    ],
)
def test_what_an_agent_cannot_have_is_a_tool_error_with_the_sentence(
    server: ApiServer, tool: str, arguments: dict[str, Any], says: str
) -> None:
    async def do(session: ClientSession) -> Any:
        return await call(session, tool, **arguments)

    refused = over_mcp(server, do)["refused"]
    assert says in refused
    assert "Traceback" not in refused


def test_an_agents_clip_is_nobody_elses_and_can_be_discarded(server: ApiServer) -> None:
    async def start(session: ClientSession) -> Any:
        return await call(session, "make_clip", prompt="a long one", **LONG_TOOL)

    job_id = over_mcp(server, start)["job_id"]

    async def look(session: ClientSession) -> Any:
        return await call(session, "clip_state", job_id=job_id)

    refused = over_mcp(server, look, OTHER_SECRET)["refused"]
    assert "no such clip" in refused
    assert "Traceback" not in refused

    async def discard(session: ClientSession) -> Any:
        return await call(session, "discard_clip", job_id=job_id)

    over_mcp(server, discard)
    until = time.monotonic() + WAIT_S
    while over_mcp(server, look)["state"] == "running":
        assert time.monotonic() < until
    assert over_mcp(server, look)["state"] == "cancelled"


@pytest.fixture
def client(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    client = Client(
        server.url, verbose=False, analytics_enabled=False,
        headers={"Authorization": f"Bearer {SECRET}"},
        httpx_kwargs={"timeout": 60, "trust_env": False},
    )  # fmt: skip
    yield client
    client.close()


def test_gradio_client_starts_a_clip_and_comes_back_for_it(client: Any) -> None:
    state = client.predict(prompt="a dog", num_inference_steps=2, api_name="/make_clip")
    until = time.monotonic() + WAIT_S
    while state["state"] != "succeeded":
        assert time.monotonic() < until
        state = client.predict(state["job_id"], api_name="/clip_state")
    with pytest.raises(AppError, match="no such clip"):
        client.predict("0" * 32, api_name="/clip_state")


def test_gradio_client_makes_a_batch(client: Any) -> None:
    batch = client.predict(["a dog", "a cat"], None, None, 2, api_name="/make_batch")
    assert len(batch["clips"]) == 2
    until = time.monotonic() + WAIT_S
    while not batch["ended"]:
        assert time.monotonic() < until
        batch = client.predict(batch["batch_id"], api_name="/batch_state")
    assert [clip["state"] for clip in batch["clips"]] == ["succeeded", "succeeded"]
    assert batch["progress"] == 1.0


def test_gradio_client_saves_a_look_and_makes_clips_of_it(client: Any) -> None:
    settings = {"prompt": "a {dog|dog}", "style": "anime", "wildcards": True,
                "num_inference_steps": 2}  # fmt: skip
    client.predict("Evening light", settings, api_name="/save_look")
    (look,) = client.predict(api_name="/looks")
    assert (look["name"], look["settings"]) == ("Evening light", settings)
    estimate = client.predict(**look["settings"], api_name="/estimate")
    assert estimate["used"]["prompt"].startswith("a dog, anime style")
    state = client.predict("Evening light", seed=7, api_name="/make_clip_from_look")
    assert state["used"]["prompt"] == estimate["used"]["prompt"]
    assert (state["used"]["seed"], state["used"]["num_inference_steps"]) == (7, 2)
    client.predict(state["job_id"], api_name="/discard_clip")
    client.predict("Evening light", api_name="/delete_look")
    assert client.predict(api_name="/looks") == []
    with pytest.raises(AppError, match="You have no look"):
        client.predict("Evening light", api_name="/make_clip_from_look")


def test_gradio_client_makes_a_batch_from_a_csv(client: Any) -> None:
    table = 'prompt;steps;style\n"a dog; asleep";2;anime\na cat;;\n'
    batch = client.predict(table, num_inference_steps=3, seed=4, api_name="/make_batch_from_csv")
    client.predict(batch["batch_id"], api_name="/discard_batch")
    used = [clip["used"] for clip in batch["clips"]]
    assert [each["num_inference_steps"] for each in used] == [2, 3]
    assert used[0]["prompt"].startswith("a dog; asleep, anime style") and used[1]["seed"] == 4
    with pytest.raises(AppError, match="line 3, column “steps”"):
        client.predict("prompt,steps\na,2\nb,many", api_name="/make_batch_from_csv")


def test_cancelling_a_waiting_call_discards_its_clip(client: Any, server: ApiServer) -> None:
    job = client.submit(prompt="a long one", **LONG_TOOL, api_name="/text_to_video")
    until = time.monotonic() + WAIT_S
    while not any(unit.desc for unit in job.status().progress_data or []):
        assert time.monotonic() < until
        time.sleep(0.05)
    job.cancel()
    while client.predict(api_name="/health")["running"]:
        assert time.monotonic() < until
        time.sleep(0.1)
