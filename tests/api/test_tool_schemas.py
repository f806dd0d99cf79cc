"""What an agent sees of the tools: schemas that are schemas, JSON, and addresses it can open.

Every tool is called through the official client, which checks arguments by the schemas itself.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Tool
from starlette.requests import HTTPConnection

from tests import tiny
from tests.api.conftest import SECRET, WAIT_S, ApiServer
from tests.api.conftest import ended as wait_until_ended
from tests.api.test_tools import PATIENCE
from web.addresses import ROOT_PATH, public_root

pytestmark = pytest.mark.slow
Do = Callable[[ClientSession], Awaitable[Any]]
PUBLIC = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "you-kinora.hf.space"}
AT = "https://you-kinora.hf.space"
QUICK = {"num_inference_steps": 2, "seed": 5}
NOWHERE = "0" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_repo: Path) -> Iterator[ApiServer]:
    """With a model for each of the three tasks, behind what a Space's proxy says."""
    folder = tmp_path_factory.mktemp("tool-models")
    over = {"tasks": ["t2v", "i2v", "v2v"], "classes": {"v2v": "LTXConditionPipeline"}}
    tiny.write_card(folder, tiny_repo, **over)
    running = ApiServer(tmp_path_factory.mktemp("tools") / "data", folder)
    yield running
    running.stop()


def session_of(server: ApiServer, do: Do, **headers: str) -> Any:
    async def run() -> Any:
        sent = {"Authorization": f"Bearer {SECRET}", **PUBLIC, **headers}
        async with (
            httpx.AsyncClient(headers=sent, timeout=WAIT_S, trust_env=False) as http,
            streamable_http_client(f"{server.url}/gradio_api/mcp/", http_client=http) as (
                read,
                write,
                _,
            ),
            ClientSession(read, write, read_timeout_seconds=PATIENCE) as session,
        ):
            await session.initialize()
            return await do(session)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def tools(server: ApiServer) -> dict[str, Tool]:
    async def do(session: ClientSession) -> Any:
        return (await session.list_tools()).tools

    return {tool.name: tool for tool in session_of(server, do)}


def call(server: ApiServer, tool: str, **arguments: Any) -> CallToolResult:
    async def do(session: ClientSession) -> Any:
        return await session.call_tool(tool, arguments)

    return session_of(server, do)


def texts(answer: CallToolResult) -> list[str]:
    return [each.text for each in answer.content]  # type: ignore[union-attr]


def parsed(answer: CallToolResult) -> Any:
    """The JSON of a tool that answers with one thing."""
    assert not answer.isError, texts(answer)
    (text,) = texts(answer)
    return json.loads(text)


def ended(server: ApiServer, job_id: str) -> dict[str, Any]:
    """The clip as `clip_state` shows it once it has ended; waited for at another door."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as rest:
        wait_until_ended(rest, job_id)
    return parsed(call(server, "clip_state", job_id=job_id))


def as_data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def fetch(address: str, server: ApiServer) -> bytes:
    """What stands at a public address, asked for as the proxy would ask for it."""
    path = address.removeprefix(AT)
    headers = {"Authorization": f"Bearer {SECRET}", **PUBLIC}
    return httpx.get(server.url + path, headers=headers, timeout=60, trust_env=False).content


# -- schemas -------------------------------------------------------------------------------------


def test_every_tools_schema_is_a_json_schema(server: ApiServer, tools: dict[str, Tool]) -> None:
    assert len(tools) == 34
    for tool in tools.values():
        Draft202012Validator.check_schema(tool.inputSchema)
        assert tool.inputSchema["type"] == "object"
        if tool.outputSchema is not None:
            Draft202012Validator.check_schema(tool.outputSchema)
    listed = httpx.get(f"{server.url}/gradio_api/mcp/schema", trust_env=False).json()
    assert {each["name"] for each in listed} == set(tools)
    for each in listed:
        Draft202012Validator.check_schema(each["inputSchema"])


def test_what_gradio_says_of_its_endpoints_is_json_schema_too(server: ApiServer) -> None:
    info = httpx.get(f"{server.url}/gradio_api/info", trust_env=False).json()
    asked = [
        parameter
        for endpoint in info["named_endpoints"].values()
        for parameter in endpoint["parameters"]
    ]
    assert len(asked) > 60
    for parameter in asked:
        Draft202012Validator.check_schema(parameter["type"])
        assert "{}" not in parameter["python_type"]["type"]
    (loras,) = {p["python_type"]["type"] for p in asked if p["parameter_name"] == "loras"}
    assert loras.startswith("None | list[dict(source: str")


def test_what_is_optional_may_be_left_out_or_be_null_or_be_its_default(
    tools: dict[str, Tool],
) -> None:
    """Models fill in every parameter, and write null where they have nothing to say."""
    for tool in tools.values():
        properties = tool.inputSchema["properties"]
        for name in set(properties) - set(tool.inputSchema.get("required", [])):
            checks = Draft202012Validator(properties[name])
            default = properties[name].get("default")
            is_text = properties[name].get("type") in ("string", "boolean", "number")
            assert checks.is_valid(None) or is_text, f"{tool.name}.{name}"
            assert default is None or checks.is_valid(default), f"{tool.name}.{name}"


@pytest.mark.parametrize(
    ("loras", "valid"),
    [
        (None, True),
        ([], True),
        ([{"source": "a", "weight": 0.5}], True),
        ([{"source": "owner/name"}, {"source": "b"}], True),
        ([{"weight": 1}], False),
        ([{"source": "a", "weight": 9}], False),
        ([{"source": "a", "weight": "strong"}], False),
        ({"source": "a"}, False),
        ("a", False),
    ],
)
def test_loras_say_what_they_are(tools: dict[str, Tool], loras: Any, valid: bool) -> None:
    for name in ("text_to_video", "image_to_video", "video_to_video"):
        schema = tools[name].inputSchema["properties"]["loras"]
        assert Draft202012Validator(schema).is_valid(loras) is valid


# -- every tool, called --------------------------------------------------------------------------


def test_every_tool_answers_in_json_with_addresses_that_can_be_opened(
    server: ApiServer, tools: dict[str, Tool], png: bytes
) -> None:
    called: set[str] = set()

    def ask(tool: str, **arguments: Any) -> Any:
        called.add(tool)
        return parsed(call(server, tool, **arguments))

    def make(tool: str, **arguments: Any) -> tuple[bytes, dict[str, Any]]:
        """A tool that waits: the file's address, and what was used."""
        called.add(tool)
        answer = call(server, tool, **arguments, **QUICK)
        assert not answer.isError, texts(answer)
        address, used = texts(answer)
        assert address.startswith(f"{AT}/gradio_api/file=")
        clip = fetch(address, server)
        assert clip[4:8] == b"ftyp"
        return clip, json.loads(used)

    assert {model["id"] for model in ask("models")} == {"pocket"}
    assert ask("health")["state"] in ("starting", "ready", "busy")
    estimate = ask("estimate", num_frames=9, model=None)
    assert estimate["low"] <= estimate["seconds"] <= estimate["high"]

    styles = call(server, "styles", model=None)
    called.add("styles")
    assert "cinematic" in texts(styles)[0]
    final = ask("final_prompt", prompt="a {red} dog", wildcards=True, style=None)
    assert final["prompt"] == "a red dog"
    assert ask("suggest_prompts", prompt="a dog")["suggestions"][0].startswith("a dog ")

    nothing = {"model": None, "loras": None, "sampler": None, "width": None}
    clip, used = make("text_to_video", prompt="a dog", **nothing)
    assert (used["seed"], used["prompt"]) == (5, "a dog")
    _, used = make("image_to_video", image=as_data("image/png", png), last_image=None)
    assert len(used["image"]) == 64
    _, used = make("video_to_video", video=as_data("video/mp4", clip), prompt="in chalk", loras=[])
    assert len(used["video"]) == 64

    state = ask("make_clip", prompt="a dog", **QUICK)
    done = ended(server, state["job_id"])
    called.add("clip_state")
    assert done["url"] == f"{AT}/api/result/{state['job_id']}"
    assert fetch(done["url"], server)[4:8] == b"ftyp"
    shared = ask("share_clip", job_id=state["job_id"], title="A dog", expires_in_days=7)
    assert fetch(shared["url"], server).startswith(b"<!DOCTYPE html>")
    assert ask("unshare_clip", job_id=state["job_id"])["shared"] is False
    longer = ask("continue_clip", job_id=state["job_id"], prompt="it jumps", duration_s=None)
    assert ended(server, longer["job_id"])["state"] == "succeeded"
    batch = ask("make_batch", prompts=["a dog", "a cat"], seed=None, num_inference_steps=2)
    assert len(ask("batch_state", batch_id=batch["batch_id"])["clips"]) == 2
    for one in batch["clips"]:
        ended(server, one["job_id"])
    urls = [one["url"] for one in ask("batch_state", batch_id=batch["batch_id"])["clips"]]
    assert all(url.startswith(f"{AT}/api/result/") for url in urls)
    slow = ask("make_clip", prompt="a long one", num_inference_steps=50, width=128, height=128,
               duration_s=4)  # fmt: skip
    assert ask("discard_clip", job_id=slow["job_id"])["job_id"] == slow["job_id"]

    drafts = ask("start_drafts", prompt="a dog", drafts=2, **QUICK)
    picked, other = (clip["job_id"] for clip in drafts["clips"])
    full = ask("render_draft", job_id=picked)
    assert ended(server, full["job_id"])["state"] == "succeeded"
    ended(server, picked)
    stopped = ask("discard_batch", batch_id=drafts["batch_id"])
    if ended(server, other)["state"] == "cancelled":
        assert ask("make_again", job_id=other)["state"] in ("queued", "running")
    else:
        refused = call(server, "make_again", job_id=other)
        assert "there already" in texts(refused)[0]
        called.add("make_again")
    assert fetch(stopped["sheet"], server)[1:4] == b"PNG"
    assert fetch(stopped["grid"], server)[4:8] == b"ftyp"
    assert fetch(stopped["zip"], server)[:2] == b"PK"
    ask("discard_batch", batch_id=drafts["batch_id"])
    compared = ask("compare", prompt="a dog", settings=["steps=1,2"], **QUICK)
    assert [cell["labels"] for cell in compared["cells"]] == [["1"], ["2"]]

    settings = {"prompt": "a dog", "style": "anime", **QUICK}
    assert ask("save_look", name="Evening", settings=settings)["settings"] == settings
    assert [look["name"] for look in ask("looks")] == ["Evening"]
    made = ask("make_clip_from_look", name="Evening", prompt="a cat", seed=None)
    assert made["used"]["prompt"].startswith("a cat, anime style")
    assert (made["used"]["seed"], made["used"]["num_inference_steps"]) == (5, 2)
    assert ask("delete_look", name="Evening") == {"deleted": "Evening"}
    table = ask("make_batch_from_csv", csv="prompt,seed\na dog,3\na cat,\n", seed=4,
                num_inference_steps=2, style=None)  # fmt: skip
    assert [(clip["used"]["prompt"], clip["used"]["seed"]) for clip in table["clips"]] == [
        ("a dog", 3), ("a cat", 4),
    ]  # fmt: skip
    styled = ask("estimate", prompt="a {dog|dog}", style="anime", wildcards=True)
    assert styled["used"]["prompt"].startswith("a dog, anime style")

    assert any("trim" in json.dumps(each) for each in ask("clip_operations")["operations"])
    edited = ask("edit_clip", job_ids=[state["job_id"]], operations=["trim=0:0.5"], format=None)
    assert ended(server, edited["job_id"])["state"] == "succeeded"
    answer = call(server, "edit_file", clip=as_data("video/mp4", clip), operations=["reverse"])
    called.add("edit_file")
    assert fetch(texts(answer)[0], server)[4:8] == b"ftyp"
    film = ask("make_film", shots=[{"prompt": "a dog"}, {"prompt": "a cat"}], settings=QUICK)
    assert len(ask("film_state", film_id=film["film_id"])["shots"]) == 2
    assert ask("cancel_film", film_id=film["film_id"])["film_id"] == film["film_id"]
    assert ask("redo_shot", film_id=film["film_id"], number=1, prompt=None)["film_id"]
    ask("cancel_film", film_id=film["film_id"])
    assert called == set(tools), "a tool is not called here"


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("text_to_video", {"prompt": " "}, "the prompt is empty"),
    ("text_to_video", {"prompt": "a", "guidance_scale": 20}, "guidance must be between"),
    ("text_to_video", {"prompt": "a", "seed": "seven"}, "'seven' is not valid"),
    ("text_to_video", {"prompt": "a", "loras": [{}]}, "'source' is a required property"),
    ("text_to_video", {}, "'prompt' is a required property"),
    ("image_to_video", {"image": "https://example.org/a.png"}, "send the file itself"),
    ("image_to_video", {"image": "nonsense"}, "Invalid file data format"),
    ("image_to_video", {"image": "data:image/png;base64,AAAA"}, "picture"),
    ("video_to_video", {"video": "data:video/mp4;base64,AAAA", "prompt": "a"}, "clip"),
    ("models", {"of": "them"}, "not a valid key-word argument"),
    ("health", {"of": "it"}, "not a valid key-word argument"),
    ("estimate", {"model": "sora-2"}, "There is no model called"),
    ("estimate", {"num_frames": 10**9}, "frames"),
    ("make_clip", {"prompt": "a", "width": 5000}, "32 to 128"),
    ("continue_clip", {"job_id": NOWHERE, "prompt": "on"}, "no such clip"),
    ("clip_state", {"job_id": NOWHERE}, "There is no such clip here."),
    ("discard_clip", {"job_id": "nonsense"}, "There is no such clip here."),
    ("make_batch", {"prompts": []}, "A batch has 1 to"),
    ("make_batch", {"prompts": "a dog"}, "is not of type 'array'"),
    ("batch_state", {"batch_id": NOWHERE}, "There is no such batch here."),
    ("styles", {"model": "sora-2"}, "There is no model called"),
    ("final_prompt", {"prompt": "a {red", "wildcards": True}, "column 3"),
    ("suggest_prompts", {"prompt": "a", "model": "sora-2"}, "There is no model called"),
    ("discard_batch", {"batch_id": NOWHERE}, "There is no such batch here."),
    ("start_drafts", {"prompt": "a", "drafts": 9}, "from 2 to 8"),
    ("start_drafts", {"drafts": 2}, "'prompt' is a required property"),
    ("render_draft", {"job_id": NOWHERE}, "There is no such clip here."),
    ("compare", {"prompt": "a", "settings": ["colour=1,2"]}, "no setting called"),
    ("compare", {"prompt": "a", "settings": "steps=1,2"}, "is not of type 'array'"),
    ("make_again", {"job_id": NOWHERE}, "There is no such clip here."),
    ("estimate", {"style": "anima"}, "Did you mean “anime”"),
    ("estimate", {"prompt": "a {red", "wildcards": True}, "column 3"),
    ("make_batch_from_csv", {"csv": "prompt,seed\na,x"}, "line 2, column “seed”"),
    ("make_batch_from_csv", {"csv": "prompt,steps\na,2\nb,60"}, "line 3, column “steps”"),
    ("make_batch_from_csv", {"csv": "prompt,image\na,dog.png"}, "line 2, column “image”"),
    ("make_batch_from_csv", {"csv": ""}, "The CSV cannot be used"),
    ("save_look", {"name": "a/b", "settings": {}}, "no slash"),
    ("save_look", {"name": "a", "settings": {"seed": "x"}}, "seed"),
    ("save_look", {"name": "a", "settings": "x"}, "is not of type 'object'"),
    ("delete_look", {"name": "none"}, "You have no look “none”"),
    ("make_clip_from_look", {"name": "none"}, "You have no look “none”"),
    ("looks", {"of": "them"}, "not a valid key-word argument"),
    ("share_clip", {"job_id": NOWHERE}, "There is no such clip here."),
    ("unshare_clip", {"job_id": NOWHERE}, "There is no such clip here."),
    ("edit_clip", {"job_ids": [NOWHERE], "operations": ["reverse"]}, "no"),
    ("edit_clip", {"job_ids": [], "operations": ["reverse"]}, "clip"),
    ("edit_clip", {"job_ids": [NOWHERE], "operations": ["fly"]}, "no operation “fly”"),
    ("edit_file", {"clip": "data:video/mp4;base64,AAAA", "operations": ["reverse"]}, "clip"),
    ("clip_operations", {"of": "them"}, "not a valid key-word argument"),
    ("make_film", {"shots": []}, "shot"),
    ("make_film", {"shots": [{"prompt": "a", "cut": "x"}]}, "cut"),
    ("film_state", {"film_id": NOWHERE}, "no such film"),
    ("redo_shot", {"film_id": NOWHERE, "number": 1}, "no such film"),
    ("cancel_film", {"film_id": NOWHERE}, "no such film"),
]


def test_every_tool_refuses_wrong_arguments_with_a_sentence(
    server: ApiServer, tools: dict[str, Tool]
) -> None:
    async def do(session: ClientSession) -> list[tuple[bool, str]]:
        said: list[tuple[bool, str]] = []
        for tool, arguments, _ in WRONG:
            answer = await session.call_tool(tool, arguments)
            said.append((answer.isError, " ".join(texts(answer))))
        return said

    answers = zip(WRONG, session_of(server, do), strict=True)
    unclear = [
        (tool, arguments, said)
        for (tool, arguments, says), (refused, said) in answers
        if not refused or says not in said or re.search(r"Traceback|\.py\b|/tmp/|packages", said)
    ]
    assert not unclear
    assert {tool for tool, _, _ in WRONG} == set(tools)


def test_a_file_that_was_uploaded_is_taken_by_its_address(server: ApiServer, png: bytes) -> None:
    """As Gradio tells agents to send files: upload, then the address."""
    files = {"files": ("dog.png", png, "image/png")}
    answer = httpx.post(f"{server.url}/gradio_api/upload", files=files, trust_env=False)
    (path,) = answer.json()
    made = call(server, "image_to_video", image=f"{AT}/gradio_api/file={path}", **QUICK)
    assert not made.isError, texts(made)
    for elsewhere in (
        f"{AT}.evil.test/gradio_api/file={path}",
        f"{AT}/gradio_api/file=/etc/passwd",
    ):
        refused = call(server, "image_to_video", image=elsewhere, **QUICK)
        assert refused.isError
        assert "root:" not in " ".join(texts(refused))


# -- addresses -----------------------------------------------------------------------------------

HOSTS = st.from_regex(r"[a-z0-9]{1,12}(\.[a-z]{2,5})?(:[1-9][0-9]{0,4})?", fullmatch=True)
PATHS = st.from_regex(r"/?([a-z0-9_-]{1,8}(/[a-z0-9_-]{1,8})?/?)?", fullmatch=True)


@given(
    host=HOSTS,
    forwarded=st.none() | HOSTS,
    proto=st.sampled_from([None, "http", "https", "https, http"]),
    root=PATHS,
)
def test_an_address_is_the_one_by_which_the_caller_came(
    host: str, forwarded: str | None, proto: str | None, root: str
) -> None:
    headers = {"host": host, "x-forwarded-host": forwarded, "x-forwarded-proto": proto}
    scope = {
        "type": "http",
        "scheme": "http",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items() if v],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_PATH, root)
        at = public_root(HTTPConnection(scope))
    scheme = (proto or "http").split(",")[0]
    assert at == f"{scheme}://{forwarded or host}/{root.strip('/')}".rstrip("/")


@pytest.mark.parametrize("root", ["https://example.org/kinora", "https://example.org/kinora/"])
def test_a_root_that_is_a_whole_address_is_taken_as_it_is(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_PATH, root)
    scope = {"type": "http", "scheme": "http", "headers": [(b"host", b"127.0.0.1:7860")]}
    assert public_root(HTTPConnection(scope)) == "https://example.org/kinora"
