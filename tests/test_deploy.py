"""docs/deploy.md is true: what it names is there, and what it tells people to run runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from sqlalchemy import create_engine

from api.ops import HealthStatus
from jobs.migrations import applied
from jobs.store import JobStore
from settings import ROOT, Settings
from tests.compose_services import VARIABLE
from tests.programs import program

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
OTHERS = {"GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_ROOT_PATH", "HF_HOME", "AWS_"}
"""Variables that are not ours."""


def block(having: str) -> str:
    (found,) = (text for _, text in BLOCKS if having in text)
    return found


def test_every_setting_on_the_page_is_one() -> None:
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    known = {name for name, _, _ in Settings.table()} | OTHERS
    known |= {name for name, _ in VARIABLE.findall(compose)} | set(get_args(HealthStatus))
    words = " ".join(re.findall(r"`([^`\n]+)`", PAGE)) + "".join(text for _, text in BLOCKS)
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]*\b", words))
    assert len(named) > 20
    assert [name for name in sorted(named) if not known & {name, f"{name[:4]}"}] == []


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        if path and "://" not in path:
            assert (ROOT / "docs" / path).exists(), target
        elif not path:
            assert anchor in anchors, target


def test_the_unit_file_is_one(tmp_path: Path) -> None:
    unit = tmp_path / "kinora.service"
    text = block("[Service]").replace("User=kinora", "User=root").replace("/opt/kinora", str(ROOT))
    unit.write_text(text)
    done = subprocess.run(
        [program("systemd-analyze"), "verify", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "kinora.service" in line]
    assert ours == []


def test_the_backup_holds_what_was_written_a_moment_ago(tmp_path: Path) -> None:
    program("sqlite3")
    data = tmp_path / "data"
    for folder in ("jobs/one", "pictures"):
        (data / folder).mkdir(parents=True)
    (data / "jobs/one/clip.mp4").write_bytes(b"a clip")
    (data / "secret").write_bytes(b"a secret")
    store = JobStore(f"sqlite:///{data / 'kinora.db'}")
    try:
        script = f"set -e\n{block('.backup')}"
        subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, env=os.environ)
    finally:
        store.close()
    with create_engine(f"sqlite:///{tmp_path / 'kinora-backup.db'}").connect() as backup:
        assert applied(backup)
    again = tmp_path / "again"
    again.mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "kinora-files.tar", "-C", again], check=True)
    assert (again / "jobs/one/clip.mp4").read_bytes() == b"a clip"
    assert (again / "secret").exists()


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "bash"])
def test_every_command_is_one_that_a_shell_understands(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    for words in re.findall(r"app\.py (\w+(?: --\w+)?)", text):
        command, *options = words.split()
        source = (ROOT / "cli" / "commands.py").read_text()
        assert f"def {command}(" in source
        for option in options:
            assert re.search(rf"^    {option.lstrip('-')}: ", source, re.MULTILINE), option
    for target in re.findall(r"^make (\S+)", text, re.MULTILINE):
        assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


HF = re.findall(
    r"^ *(?:\.venv/bin/)?hf ((?:[a-z-]+ )+[^\n#]*)",
    PAGE + (ROOT / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize("words", sorted({words.strip() for words in HF}))
def test_every_command_for_the_hub_is_one_with_these_options(words: str) -> None:
    """By the installed huggingface_hub's own command line; nothing is sent."""
    from huggingface_hub.cli.hf import app

    command: Any = app
    left = shlex.split(words)
    while left and hasattr(command, "commands"):
        name = left.pop(0)
        command = command.get_command(click.Context(command), name)
        assert command is not None, words
    command.make_parser(click.Context(command)).parse_args(left)  # raises for an unknown option


def test_the_page_names_the_commands_of_a_space() -> None:
    assert {" ".join(words.split()[:2]) for words in HF} >= {
        "auth login",
        "spaces logs",
        "spaces variables",
        "spaces secrets",
        "buckets create",
        "spaces volumes",
    }
    assert "preload_from_hub:" in PAGE
    assert "HF_HOME=/data" not in PAGE
