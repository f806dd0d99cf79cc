"""`make space` against the small Hub: what arrives, what is said, each refusal in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from huggingface_hub import HfApi, constants

from tests.hub.server import TestHub
from tests.hub.spaces import Account, Space
from tests.ports import free_port
from tests.tools.conftest import commit, git, write
from tests.tools.test_stage import staged
from tools.space import wait
from tools.space.__main__ import main

Make = Callable[..., Path]
TOKEN = "hf_writes"  # noqa: S105


class Said(NamedTuple):
    status: int
    text: str


Run = Callable[..., Said]


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub() as hub:
        hub.spaces.accounts[TOKEN] = Account("you", orgs=("team",))
        yield hub


@pytest.fixture
def small(checkout: Make) -> Path:
    return checkout({"pictures/a b ä.png": b"\x89PNG\0\xff", "weights.safetensors": b"\0" * 99})


def environment(hub: TestHub | None, home: Path, token: str | None) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "KINORA_"))}
    env |= {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    env |= {"HF_ENDPOINT": hub.url} if hub else {}
    return env | ({"HF_TOKEN": token} if token else {})


@pytest.fixture
def space(hub: TestHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs what `make space` runs, on the project at `folder`."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(wait, "POLL_S", 0.01)
    monkeypatch.setattr(wait, "SETTLE_S", 0.3)

    def run(folder: Path, *words: str, token: str = TOKEN) -> Said:
        status = main(words, HfApi(endpoint=hub.url, token=token), folder)
        said = capsys.readouterr()
        assert TOKEN not in said.err + said.out
        return Said(status, said.err)

    return run


def in_a_process(folder: Path, **env: str) -> Said:
    """As a person runs it, where it is the environment that counts."""
    base = environment(None, folder.parent / "hf", None)
    command = [sys.executable, "-m", "tools.space", "you/kinora"]
    done = subprocess.run(
        command, cwd=folder, env=base | env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Said(done.returncode, done.stderr)


def the_space(hub: TestHub, name: str = "you/kinora") -> Space:
    return hub.spaces.spaces[name]


def commits(hub: TestHub) -> list[str]:
    return [seen.path for seen in hub.seen if "/commit/" in seen.path]


# -- the way that works --------------------------------------------------------------------------


@pytest.mark.slow
def test_make_space_puts_kinora_on_the_hub_file_by_file_in_one_commit(
    hub: TestHub, kinora: Path, tmp_path: Path
) -> None:
    """More files than the Hub's own uploader puts into one commit, small ones and large ones."""
    hub.spaces.accounts[TOKEN] = Account("you", free=True)
    command = ["make", "-o", ".venv/.run", f"RUN={sys.executable}", "space", "NAME=you/kinora"]
    done = subprocess.run(
        command,
        cwd=kinora,
        env=environment(hub, tmp_path / "hf", TOKEN),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"It runs: {hub.url}/spaces/you/kinora" in done.stderr
    made = the_space(hub)
    received = {name: data for name, data in made.files.items() if name != ".gitattributes"}
    assert received == staged(kinora, tmp_path / "stage")
    assert len(received) > 250
    assert {name for name in received if name.endswith(".safetensors")} <= made.large
    assert len(commits(hub)) == 1
    assert made.hardware == "zero-a10g"
    head = git(kinora, "rev-parse", "--short=7", "HEAD").decode().strip()
    assert made.commits[-1]["summary"] == f"Kinora {head}"


def test_a_second_run_updates_what_changed_and_deletes_what_is_gone(
    hub: TestHub, small: Path, space: Run, tmp_path: Path
) -> None:
    assert space(small, "you/kinora").status == 0
    made = the_space(hub)
    assert ".gitattributes" in made.files
    assert made.files["pictures/a b ä.png"] == b"\x89PNG\0\xff"
    made.files["left over/by hand.txt"] = b"of an earlier upload"
    (small / "weights.safetensors").unlink()
    write(small, {"app.py": "print('changed')\n", "new.txt": "new"})
    commit(small)
    said = space(small, "you/kinora")
    assert said.status == 0, said.text
    assert set(made.files) == {*staged(small, tmp_path / "stage"), ".gitattributes"}
    assert made.files["app.py"] == b"print('changed')\n"
    assert len(commits(hub)) == 2


def test_a_run_with_nothing_new_makes_no_commit_and_so_no_build(
    hub: TestHub, small: Path, space: Run
) -> None:
    assert space(small, "you/kinora").status == 0
    said = space(small, "you/kinora")
    assert (said.status, len(commits(hub))) == (0, 1)
    assert "already has these files" in said.text


def test_a_gitignore_on_the_space_keeps_no_file_out(
    hub: TestHub, checkout: Make, tmp_path: Path, space: Run
) -> None:
    """The Hub applies the one it has to what is uploaded; git tracks some of what it names."""
    folder = checkout({"presets/data/card.yaml": "x", "a.log": "y", ".gitignore": "data/\n*.log\n"})
    first = Space("zero-a10g", {"README.md": b"", ".gitignore": b"data/\n*.log\n"})
    hub.spaces.spaces["you/kinora"] = first
    said = space(folder, "you/kinora")
    assert said.status == 0, said.text
    assert set(first.files) == set(staged(folder, tmp_path / "stage"))
    assert "presets/data/card.yaml" in first.files


def test_an_organization_and_an_address_are_names_too(
    hub: TestHub, small: Path, space: Run
) -> None:
    assert space(small, "https://huggingface.co/spaces/team/kinora/").status == 0
    assert "team/kinora" in hub.spaces.spaces


def test_hardware_that_is_named_is_asked_for_and_else_stays(
    hub: TestHub, small: Path, space: Run
) -> None:
    assert space(small, "you/kinora", "t4-small").status == 0
    assert the_space(hub).hardware == "t4-small"
    assert space(small, "you/kinora").status == 0
    assert the_space(hub).hardware == "t4-small"
    said = space(small, "you/kinora", "a10g-small")
    assert "The hardware of you/kinora is now a10g-small." in said.text
    assert the_space(hub).hardware == "a10g-small"


def test_a_changed_working_tree_is_not_uploaded_and_the_person_reads_so(
    hub: TestHub, small: Path, space: Run
) -> None:
    write(small, {"app.py": "print('not committed')\n"})
    said = space(small, "you/kinora")
    assert "Not uploaded, for only what is committed is: app.py." in said.text
    assert the_space(hub).files["app.py"] == b"print('hello')\n"


# -- what can be missing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("", "make space NAME=you/kinora"),
        ("kinora", "owner/name"),
        ("/kinora", "owner/name"),
        ("you/", "owner/name"),
        ("a/b/c", "owner/name"),
        ("you/my kinora", "not a valid name"),
        ("you/kinora;ls", "not a valid name"),
        ("you/" + "k" * 100, "not a valid name"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_before_anything_is_sent(
    name: str, part: str, hub: TestHub, small: Path, space: Run
) -> None:
    said = space(small, name)
    assert (said.status, hub.seen) == (1, [])
    assert part in said.text
    assert said.text.count("\n") == 1


def test_without_a_login_it_says_how_to_log_in(hub: TestHub, kinora: Path) -> None:
    said = in_a_process(kinora, HF_ENDPOINT=hub.url)
    assert (said.status, commits(hub)) == (1, [])
    assert "not logged in" in said.text
    assert "hf auth login" in said.text


@pytest.mark.parametrize(
    ("account", "name", "hardware", "parts"),
    [
        (Account("you", role="read"), "you/kinora", "", ["read-only token", "hf auth login"]),
        (Account("you", role="fineGrained"), "you/kinora", "", ["don't have the rights", "write"]),
        (Account("you"), "them/kinora", "", ["don't have the rights", "organization of yours"]),
        (
            Account("you", free=True),
            "you/kinora",
            "cpu-basic",
            ["requires a PRO subscription", "ZeroGPU only", "HARDWARE=zero-a10g"],
        ),
    ],
    ids=["a token that reads", "a token without rights", "another's name", "a free account"],
)
def test_what_the_account_may_not_do_is_said_with_the_way_out(
    account: Account,
    name: str,
    hardware: str,
    parts: list[str],
    hub: TestHub,
    small: Path,
    space: Run,
) -> None:
    hub.spaces.accounts[TOKEN] = account
    said = space(small, name, *filter(None, [hardware]))
    assert (said.status, hub.spaces.spaces) == (1, {})
    assert all(part in said.text for part in parts), said.text


def test_an_expired_token_is_named_as_such(
    hub: TestHub,
    small: Path,
    space: Run,
) -> None:
    said = space(small, "you/kinora", token="hf_old")  # noqa: S106
    assert said.status == 1
    assert "does not know this token" in said.text


def test_a_network_that_is_gone_is_said_in_a_sentence(kinora: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    said = in_a_process(kinora, HF_ENDPOINT=gone, HF_TOKEN=TOKEN)
    assert said.status == 1
    assert "cannot be reached" in said.text
    offline = in_a_process(kinora, HF_HUB_OFFLINE="1", HF_TOKEN=TOKEN)
    assert offline.status == 1
    assert "HF_HUB_OFFLINE" in offline.text


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ("whoami", 429),
        ("repos/create", 503),
        ("tree", 500),
        ("preupload", 403),
        ("/lfs/", 500),
        ("commit", 503),
    ],
)
def test_trouble_at_any_point_ends_in_a_sentence_and_a_second_run_mends_it(
    where: str, status: int, hub: TestHub, small: Path, space: Run
) -> None:
    fault = hub.fault(where, status=status, method="GET|HEAD|POST|PUT", times=1)
    said = space(small, "you/kinora")
    assert fault.times == 0
    if said.status:  # huggingface_hub tries some of them again by itself
        assert said.text.splitlines()[-1].startswith("The Hub "), said.text
        assert space(small, "you/kinora").status == 0
    assert "app.py" in the_space(hub).files


def test_a_header_that_the_hub_refuses_is_said_as_it_says_it(
    hub: TestHub, small: Path, space: Run
) -> None:
    long = "---\nsdk: gradio\napp_file: app.py\nshort_description: " + "x" * 61 + "\n---\n"
    write(small, {"README.md": long})
    commit(small)
    said = space(small, "you/kinora")
    assert (said.status, commits(hub)) == (1, [])
    assert "less than or equal to 60" in said.text


def test_a_file_that_did_not_arrive_is_noticed(
    hub: TestHub,
    small: Path,
    space: Run,
) -> None:
    hub.spaces.loses = "app.py"
    said = space(small, "you/kinora")
    assert said.status == 1
    assert "does not have the uploaded files: app.py" in said.text


# -- waiting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "parts"),
    [
        (["BUILDING", "BUILD_ERROR"], ["build of you/kinora failed", "why it is", "--build"]),
        (["RUNNING", "BUILDING", "APP_STARTING", "RUNTIME_ERROR"], ["the app ended", "why it is"]),
        (["CONFIG_ERROR"], ["header of README.md"]),
        (["NO_APP_FILE"], ["header of README.md"]),
        (["PAUSED"], ["hf spaces restart you/kinora"]),
        (["DELETING"], ["does not run"]),
    ],
)
def test_a_space_that_does_not_come_up_says_where_its_log_is(
    stages: list[str], parts: list[str], hub: TestHub, small: Path, space: Run
) -> None:
    hub.spaces.next_builds, hub.spaces.next_error = tuple(stages), "why it is"
    said = space(small, "you/kinora")
    assert said.status == 1
    assert all(part in said.text for part in parts), said.text


def test_the_version_before_is_not_taken_for_the_one_that_was_uploaded(
    hub: TestHub, small: Path, space: Run
) -> None:
    assert space(small, "you/kinora").status == 0
    hub.spaces.next_builds = ("RUNNING", "RUNNING", "RUNNING_BUILDING", "BUILD_ERROR")
    write(small, {"app.py": "broken"})
    commit(small)
    assert "build of you/kinora failed" in space(small, "you/kinora").text
    hub.spaces.next_builds = ("BUILD_ERROR", "BUILD_ERROR", "BUILDING", "RUNNING")
    write(small, {"app.py": "mended"})
    commit(small)
    assert space(small, "you/kinora").status == 0


def test_a_build_that_takes_too_long_goes_on_without_us(
    hub: TestHub, small: Path, space: Run
) -> None:
    hub.spaces.next_builds = ("BUILDING",)
    said = space(small, "you/kinora", "--timeout", "0.2")
    assert said.status == 1
    assert "hf spaces wait you/kinora" in said.text
