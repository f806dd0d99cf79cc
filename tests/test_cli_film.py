"""`python app.py film`: shots from options or a file, made in one process and joined."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.forks import Forks

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tiny_env: dict[str, str], forks: Forks) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forks.run_text(["film", *arguments], tiny_env)

    return run


def frames(path: str | Path) -> int:
    with av.open(str(path)) as clip:
        return sum(1 for _ in clip.decode(video=0))


def test_a_film_is_made_of_a_file_and_one_shot_is_made_again(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (96, 64), "#c03").save(tmp_path / "red.png")
    story = {
        "shots": [
            {"prompt": "a red field", "image": "red.png"},
            {"prompt": "it moves", "cut": "continue"},
            "a cat",
        ],
        "num_inference_steps": 2,
        "num_frames": 9,
    }
    (tmp_path / "story.json").write_text(json.dumps(story))
    out = tmp_path / "story.mp4"
    done = run(str(tmp_path / "story.json"), "--set", "width=96", "--json", "--out", str(out))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["path"] == str(out)
    assert [each["cut"] for each in found["shots"]] == ["hard", "continue", "hard"]
    assert frames(out) == found["frames"] == 9 + 8 + 9
    assert "Shot 2 of 3:" in done.stderr
    assert "Joining the shots:" in done.stderr

    again = run("--resume", found["film_id"], "--redo", "3", "--json")
    assert again.returncode == 0, again.stderr
    redone = json.loads(again.stdout)
    assert [each["id"] for each in redone["shots"]][:2] == [each["id"] for each in found["shots"]][
        :2
    ]
    assert redone["shots"][2]["id"] != found["shots"][2]["id"]
    assert redone["id"] != found["id"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "A film needs “shots”"),
        (("nowhere.json",), "There is no file nowhere.json."),
        (("--shot", "a", "--cut", "jump"), "Shot 1: "),
        (("--shot", "a", "--set", "speed=3"), "“speed=3” is no setting"),
        (("--shot", "a", "--duration", "long"), "should be a number"),
        (("--redo", "2"), "--redo needs --resume"),
        (("--resume", "0" * 32), "There is no such film here."),
        (("--resume", "0" * 32, "--shot", "a"), "leave the file and --shot out"),
    ],
)
def test_what_cannot_be_made_is_refused(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
