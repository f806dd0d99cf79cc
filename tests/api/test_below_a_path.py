"""Served below a path of another site: every address in an answer leads back here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.conftest import SECRET, WAIT_S, ApiServer
from tests.api.proxy import Proxy
from web.addresses import address, below_root, root_address

BELOW = "/tools/kinora"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, api_models_dir: Path) -> Iterator[ApiServer]:
    data = tmp_path_factory.mktemp("below") / "data"
    running = ApiServer(data, api_models_dir, GRADIO_ROOT_PATH=BELOW)
    yield running
    running.stop()


@pytest.fixture(params=[True, False], ids=["path taken off", "path passed on"])
def site(request: pytest.FixtureRequest, served: ApiServer) -> Iterator[tuple[Proxy, httpx.Client]]:
    proxy = Proxy(served.port, BELOW, strips=request.param)
    headers = {"Authorization": f"Bearer {SECRET}"}
    with httpx.Client(headers=headers, timeout=60, trust_env=False) as client:
        yield proxy, client
    proxy.close()


def urls_in(value: Any) -> list[str]:
    """Whatever looks like an address of ours, at any depth."""
    if isinstance(value, dict):
        return [each for inner in value.values() for each in urls_in(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in urls_in(inner)]
    is_one = isinstance(value, str) and re.match(r"(https?://[^/]+)?(/[\w.-]+)*/(api|v1)/", value)
    return [value] if is_one else []


def test_every_address_in_every_answer_works_from_outside(
    site: tuple[Proxy, httpx.Client],
) -> None:
    proxy, client = site
    found: list[str] = []
    body = {"prompts": ["a dog", "a cat"], "num_inference_steps": 2}
    made = client.post(f"{proxy.url}/api/batches", json=body)
    assert made.status_code == 202, made.text
    found += [made.headers["location"], *urls_in(made.json())]
    one = made.json()["jobs"][0]["job_id"]
    events = client.get(f"{proxy.url}/api/jobs/{one}/events", timeout=WAIT_S).text
    said = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
    assert any("url" in each for each in said), "no preview"
    found += urls_in(said)
    batch = f"{proxy.url}/api/batches/{made.json()['batch_id']}"
    assert "event: end" in client.get(f"{batch}/events", timeout=WAIT_S).text
    for path in (f"/api/jobs/{one}", "/api/jobs", f"/api/status/{one}", f"/v1/videos/{one}",
                 "/v1/videos", f"/api/batches/{made.json()['batch_id']}"):  # fmt: skip
        answer = client.get(f"{proxy.url}{path}")
        assert answer.status_code == 200, path
        found += urls_in(answer.json())
    again = client.post(f"{proxy.url}/api/generate", json={"prompt": "a", "num_inference_steps": 1})
    found += [again.headers["location"], *urls_in(again.json())]
    client.post(urljoin(proxy.origin, again.json()["urls"]["cancel"]))

    assert len(set(found)) > 10
    for url in sorted(set(found)):
        assert url.startswith(f"{BELOW}/"), url
        if url.endswith(("/cancel", "/finish", "/preview", "/events", "/again", "/render")):
            continue  # they lead to what was; the others are asked
        assert client.get(urljoin(proxy.origin, url)).status_code == 200, url
    result = client.get(f"{proxy.url}/api/jobs/{one}").json()["urls"]["result"]
    assert client.get(urljoin(proxy.origin, result)).content[4:8] == b"ftyp"


def test_the_documents_and_the_page_lead_back_here(site: tuple[Proxy, httpx.Client]) -> None:
    proxy, client = site
    document = client.get(f"{proxy.url}/api/openapi.json").json()
    assert document["servers"] == [{"url": BELOW}]
    page = client.get(f"{proxy.url}/api/docs").text
    (link,) = re.findall(r"href='([^']+)'", page)
    assert client.get(urljoin(f"{proxy.url}/api/docs", link)).json() == document
    page = client.get(f"{proxy.url}/").text
    (root,) = set(re.findall(r'"root":\s*"([^"]+)"', page))
    assert root.endswith(BELOW)  # what the page's own scripts ask goes below it
    (script,) = re.findall(
        r"<([^>]+)>; rel=modulepreload", client.get(f"{proxy.url}/").headers["link"]
    )
    assert f'src=\\"{script}\\"' in page
    assert client.get(urljoin(f"{proxy.url}/", script)).status_code == 200
    assert client.get(f"{proxy.url}/kinora/jobs").json()["jobs"] == []
    error = client.get(f"{proxy.url}/v1/videos/{'0' * 32}").json()["error"]
    assert error["code"] == "not_found", "in OpenAI's shape"


def test_what_is_shut_is_shut_below_a_path_too(site: tuple[Proxy, httpx.Client]) -> None:
    proxy, client = site
    for path in ("/gradio_api/proxy=http://127.0.0.1:1/", "/proxy=http://127.0.0.1:1/",
                 "/gradio_api/file=http://127.0.0.1:1/", "/monitoring"):  # fmt: skip
        assert client.get(f"{proxy.url}{path}").status_code == 404, path


@given(
    st.sampled_from(["", "/", "/a", "/a/", "a", "/a/b", "https://x.org", "https://x.org/a/b/"]),
    st.sampled_from(["/api/jobs", "/", "/a", "/ab/c", "/api/a%20b"]),
    st.booleans(),
)
def test_a_path_is_ours_with_and_without_what_it_is_served_below(
    root: str, path: str, passed_on: bool
) -> None:
    plain = root.rstrip("/")
    below = (
        ""
        if plain in ("", "https://x.org")
        else "/" + plain.replace("https://x.org", "").strip("/")
    )
    if not passed_on and below and (path == below or path.startswith(f"{below}/")):
        return  # cannot be distinguished
    sent = f"{below}{path}" if passed_on else path
    scope = {"type": "http", "root_path": root, "path": sent, "raw_path": sent.encode()}
    found = below_root(scope)
    assert (found["path"], found["raw_path"]) == (path, path.encode())
    assert address("/api") == f"{root_address()}/api"
    assert root_address() == (
        plain if plain.startswith(("http", "/", "")) and plain != "a" else "/a"
    )
