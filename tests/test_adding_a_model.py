"""docs/adding-a-model.md, followed to the letter by somebody who copies and pastes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import av
import pytest

from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.rules import RULES
from settings import ROOT, Settings
from tests import tiny

PAGE = (ROOT / "docs" / "adding-a-model.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's card as it stands there; the folder it names holds a tiny pipeline."""
    folder = tmp_path_factory.mktemp("cards")
    (card,) = blocks("yaml")
    names = re.findall(r"`([\w-]+\.yaml)`", PAGE)
    (folder / names[0]).write_text(card, encoding="utf-8")
    tiny.build(folder / "owner" / "name")
    return folder


@pytest.fixture
def environment(models_dir: Path, tmp_path: Path) -> dict[str, str]:
    assert "KINORA_MODELS_DIR" in {name for name, _, _ in Settings.table()}
    return os.environ | {
        "KINORA_MODELS_DIR": str(models_dir),
        "KINORA_DATA_DIR": str(tmp_path / "data"),
    }


def test_the_card_on_the_page_is_a_card(models_dir: Path) -> None:
    (card,) = load_cards(models_dir).values()
    assert card.local_path == (models_dir / "owner" / "name").resolve()


def test_the_commands_on_the_page_end_in_a_clip(
    environment: dict[str, str], tmp_path: Path
) -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines() if line]
    assert [shlex.split(line)[:3] for line in commands] == [
        ["python", "app.py", "models"],
        ["python", "app.py", "generate"],
    ]
    told = ""
    for line in commands:
        words = shlex.split(line)
        if "--out" in words:
            at = words.index("--out") + 1
            words[at] = str(tmp_path / words[at])
        done = subprocess.run(
            [sys.executable, *words[1:]],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        told += done.stdout
    assert "my-ltx" in told
    with av.open(str(tmp_path / "clip.mp4")) as clip:
        assert len(list(clip.decode(video=0))) == 9


def test_the_page_names_the_families_there_are() -> None:
    listed = re.search(r"<!-- families -->(.*?)<!-- /families -->", PAGE)
    assert listed
    assert re.findall(r"`([\w]+)`", listed[1]) == sorted(set(RULES) - {"generic"})


def test_every_key_the_page_speaks_of_is_one_of_a_card() -> None:
    keys = set(re.findall(r"`(\w+)(?:: [^`]*)?`", PAGE)) & set(ModelCard.model_fields)
    assert {"takes", "classes", "call", "scheduler", "fallback", "revision", "needs"} <= keys
    spoken = re.findall(r"`(\w+): [^`]*`", PAGE)
    assert set(spoken) <= set(ModelCard.model_fields), spoken
