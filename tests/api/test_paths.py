"""No path, however it is written, leads to a file outside what is handed out, or tells of one."""

from __future__ import annotations

import http.client
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api import leaks
from tests.api.conftest import ApiServer
from tests.goals import Goal, rounds

HEADS = (
    "/api/result/", "/api/status/", "/api/jobs/", "/v1/videos/", "/results/", "/status/", "/",
    "/kinora/jobs/", "/kinora/pictures/", "/api/batches/", "/gradio_api/file=", "/file=",
    "/gradio_api/file/", "/static/", "/assets/", "/svelte/", "/file/", "/pwa_icon/", "/theme.css/",
    "/gradio_api/mcp/", "/gradio_api/call/", "/?deep_link=", "/gradio_api/custom_component/x/y/",
)  # fmt: skip
UP = (
    "..", "%2e%2e", "..%2f", "%2e%2e%2f", "....//", "..%5c", "%252e%252e", "..;", "%00", ".",
    "..%c0%af", "%uff0e%uff0e", "..\\", "~", "file:", "%5c%5c?%5c", "C:", "//", "proc/self/root",
)  # fmt: skip
ELSEWHERE = ("etc/passwd", ".env", "settings.py", "proc/self/environ", "app.py", "root/.bashrc")
NEVER = (b"root:x:0", b"SQLite format 3", b"KINORA_DATA_DIR", b"def main", b"class Settings")


def raw_get(server: ApiServer, path: str) -> tuple[int, bytes]:
    """As it is written: no client tidies the path."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.putrequest("GET", path, skip_accept_encoding=True)
        connection.endheaders()
        answer = connection.getresponse()
        try:
            return answer.status, answer.read(200_000)
        except http.client.IncompleteRead as cut:  # Gradio ends some streams in the middle
            return answer.status, cut.partial
    finally:
        connection.close()


class Canary:
    """A file beside the data folder, one in it that is nobody's, and what they hold."""

    def __init__(self, server: ApiServer) -> None:
        self.data = Path(server.environment["KINORA_DATA_DIR"])
        self.word = secrets.token_hex(16).encode()
        self.outside = self.data.parent / "outside.txt"
        self.inside = self.data / "inside.txt"
        self.absent = self.data.parent / "absent.txt"
        for path in (self.outside, self.inside):
            path.write_bytes(self.word)
        self.files = self.seen()

    def seen(self) -> set[Path]:
        """Files beside the data folder, without the log and Gradio's own copies."""
        beside = self.data.parent
        return {p for p in beside.iterdir() if p.name != "gradio" and p.suffix != ".log"}


@pytest.fixture
def canary(server: ApiServer) -> Iterator[Canary]:
    made = Canary(server)
    yield made
    assert made.seen() == made.files, "a file was written outside the data folder"


def is_quiet(body: bytes, canary: Canary) -> bool:
    return not any(word in body for word in (*NEVER, canary.word))


@pytest.mark.slow
@pytest.mark.goal("G12")
def test_no_path_leads_out_of_the_house(server: ApiServer, canary: Canary, goal: Goal) -> None:
    wanted = (*ELSEWHERE, "kinora.db", "secret", "inside.txt", "outside.txt", str(canary.outside))
    asked = errors = read = 0

    @settings(
        max_examples=rounds(150, 2000),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(
        st.sampled_from(HEADS),
        st.sampled_from(("", "/", "0" * 32 + "/")),
        st.lists(st.sampled_from(UP) | st.text("./\\%~:;ab0", max_size=6), max_size=9),
        st.sampled_from(wanted),
        st.booleans(),
    )
    def attack(head: str, first: str, ups: list[str], last: str, is_quoted: bool) -> None:
        nonlocal asked, errors, read
        path = f"{head}{first}{'/'.join(ups)}/{last}"
        path = quote(path, safe="/%=?") if is_quoted else path.replace(" ", "%20")
        status, body = raw_get(server, path)
        asked += 1
        errors += status >= 500
        read += not is_quiet(body, canary)
        assert status < 500, path
        assert is_quiet(body, canary), path
        assert not leaks.leaks_in(body.replace(last.encode(), b"")), path

    attack()
    goal.count("paths tried", asked, at_least=rounds(150, 2000))
    goal.count("paths: files read outside", read, at_most=0)
    goal.count("paths: files written outside", len(canary.seen() - canary.files), at_most=0)
    goal.count("paths: 5xx", errors, at_most=0)


@pytest.mark.goal("G12")
def test_a_path_that_is_there_answers_as_one_that_is_not(
    server: ApiServer, canary: Canary, goal: Goal
) -> None:
    told = 0
    for head in HEADS:
        for there in (canary.outside, canary.inside):
            absent = there.with_name("x" * len(there.name))
            answers = [raw_get(server, f"{head}{path}") for path in (there, absent)]
            same = [(status, without_names(body, there, absent)) for status, body in answers]
            told += same[0] != same[1]
            assert same[0] == same[1], head
    goal.count("paths: doors that tell what exists", told, at_most=0)


def without_names(body: bytes, *paths: Path) -> bytes:
    for path in paths:
        body = body.replace(path.name.encode(), b"")
    return re.sub(rb'"(timestamp|request_id|app_id|session_hash)":\s*("[^"]*"|\d+)', b"", body)
