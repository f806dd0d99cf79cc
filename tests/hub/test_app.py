"""The whole way, as a person goes it: the app's own command line, and a Hub at HF_ENDPOINT."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from settings import ROOT
from tests import tiny
from tests.hub.server import TestHub


@pytest.fixture
def environment(hub: TestHub, tmp_path: Path, tiny_repo: Path) -> dict[str, str]:
    tiny.write_card(tmp_path / "cards", tiny_repo)
    tiny.write_card(
        tmp_path / "cards", Path("shut/away"), id="shut", name="Shut Away", fallback="pocket"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "KINORA_"))}
    return env | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "KINORA_DATA_DIR": str(tmp_path / "data"),
        "KINORA_MODELS_DIR": str(tmp_path / "cards"),
    }


def generate(environment: dict[str, str], *words: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "app.py", "generate", "a dog", "--steps", "1", "--json", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_a_clip_is_made_with_a_pasted_id(
    hub: TestHub, environment: dict[str, str], tiny_repo: Path
) -> None:
    commit = hub.add("people/for-the-app", tiny_repo).commit
    small = ("--width", "64", "--height", "64", "--frames", "9")  # its class's own are for a GPU
    status, about, errors = generate(environment, "--model", "people/for-the-app", *small)
    assert status == 0, errors
    assert about["model"] == f"people/for-the-app@{commit}"
    assert Path(about["path"]).stat().st_size > 1000


def test_a_gated_model_gives_way_to_its_fallback_and_the_answer_says_so(
    hub: TestHub, environment: dict[str, str], tiny_repo: Path
) -> None:
    hub.add("shut/away", tiny_repo, gated=True)
    status, about, errors = generate(environment, "--model", "shut")
    assert status == 0, errors
    assert about["model"] == "pocket"
    assert about["adjustments"][0] == "Shut Away is gated. Tiny made the clip instead."


def test_an_id_that_nobody_has_is_told_in_a_sentence(
    hub: TestHub, environment: dict[str, str]
) -> None:
    status, about, errors = generate(environment, "--model", "people/nothing")
    assert (status != 0, about) == (True, {})
    assert "Hugging Face has no people/nothing" in errors
    assert "Traceback" not in errors
