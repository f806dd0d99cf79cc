"""A new field of the request is declared, fitted and used by the engine; all else finds it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from settings import ROOT

NAME, LABEL, VALUE = "film_grain", "Film grain", 0.4
HELP = "How much film grain the clip has, from 0 to 1."
DECLARATION = f'''
    {NAME}: Annotated[float | None, RequestField(
        "{LABEL}", "{HELP}", Group.EXTRAS, unset="none",
        step=0.1, usual=0.2, in_make_clip=True,
    )] = Field(default=None, ge=0, le=1, allow_inf_nan=False)

    @field_validator("*", mode="before")'''
ADDITIONS = (
    ("pipelines/request.py", '\n    @field_validator("*", mode="before")', DECLARATION),
    (
        "pipelines/request.py",
        "    adjustments: tuple[Adjustment, ...] = ()\n",
        f"    adjustments: tuple[Adjustment, ...] = ()\n    {NAME}: float = 0.0\n",
    ),
    (
        "pipelines/models/fit.py",
        "        upscale=request.upscale,\n",
        f"        upscale=request.upscale,\n        {NAME}=request.{NAME} or 0.0,\n",
    ),
)
"""What somebody writes who adds a field, but for the engine, which does what it likes with it."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with one field more."""
    copy = tmp_path_factory.mktemp("checkout")
    only_code = shutil.ignore_patterns("__pycache__", "data", "node_modules")
    for room in ("api", "cli", "jobs", "media", "pipelines", "setting_groups", "ui", "web"):
        shutil.copytree(ROOT / room, copy / room, ignore=only_code)
    shutil.copytree(ROOT / "tests" / "zoo", copy / "tests" / "zoo", ignore=only_code)
    for file in ("__init__", "added_field", "doors", "ports", "tiny"):
        shutil.copy(ROOT / "tests" / f"{file}.py", copy / "tests")
    for path in ROOT.glob("*.py"):
        shutil.copy(path, copy)
    (copy / "presets").symlink_to(ROOT / "presets")
    for file, old, new in ADDITIONS:
        text = (copy / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} has changed: this test adds a line to it"
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    return copy


def run(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=checkout, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(checkout: Path) -> dict[str, Any]:
    folder = str(checkout / "data")
    said = run(checkout, "-m", "tests.added_field", NAME, LABEL, str(VALUE), folder)
    return json.loads(said.splitlines()[-1])


def test_programs_send_it_as_json_and_in_a_form(found: dict[str, Any]) -> None:
    assert found["used"]["rest"] == found["used"]["form"] == found["used"]["batch"] == VALUE
    number, null = found["openapi json"]["anyOf"]
    assert (number["minimum"], number["maximum"], null) == (0, 1, {"type": "null"})
    assert found["openapi form"]["type"] == "string"


def test_gradio_client_and_agents_send_it(found: dict[str, Any]) -> None:
    assert found["used"]["client"] == found["used"]["tool"] == VALUE
    clips = {"/text_to_video", "/image_to_video", "/video_to_video"}
    assert set(found["endpoints"]) == {*clips, "/make_clip", "/start_drafts", "/compare"}
    assert {"make_clip", "text_to_video"} <= set(found["tools"])
    assert found["tools"]["make_clip"]["description"] == f"{HELP} Left out: none."


def test_the_command_line_has_an_option_for_it(checkout: Path, found: dict[str, Any]) -> None:
    listed = " ".join(run(checkout, "app.py", "generate", "--help").split())
    assert f"--film-grain <float> {HELP}" in listed
    assert found["used"]["command"] == VALUE


def test_the_page_has_a_control_for_it_in_each_tab(found: dict[str, Any]) -> None:
    assert found["page"] == [[0, 1]] * 3
    assert found["form"]
    assert found["used"]["page"] == VALUE


def test_a_job_shows_it(found: dict[str, Any]) -> None:
    assert found["rest job"] == found["job view"] == VALUE
    assert found["job rows"] == f"{VALUE:g}"


def test_a_wrong_value_gets_its_sentence_everywhere(found: dict[str, Any]) -> None:
    sentence = f"“{LABEL}” cannot be used: it should be less than or equal to 1."
    assert set(found["wrong"].values()) == {sentence}
