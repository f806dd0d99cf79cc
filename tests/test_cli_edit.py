"""`python app.py edit`: files in, a file out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from media.ffmpeg import base_command
from tests.forks import Forks
from tests.media.reading import read

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tiny_env: dict[str, str], forks: Forks) -> Run:
    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return forks.run_text(list(arguments), tiny_env | env)

    return run


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two seconds, larger than what a model is given."""
    path = tmp_path / "film.mp4"
    source = ("-f", "lavfi", "-i", "testsrc=size=1440x96:rate=10:duration=2")
    subprocess.run([*base_command(), *source, str(path)], check=True)
    return path


def test_a_file_is_edited_into_another(run: Run, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "part.webm"
    done = run("edit", str(film), "trim=0.5:1.5", "speed=0.5", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    shown = read(out)
    assert len(shown.frames) == 20
    assert shown.frames[0].shape[:2] == (96, 1440), "as large as it was"
    assert "Editing" in done.stderr
    assert film.is_file()

    done = run("edit", str(film), "reverse", "--json")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)
    assert (about["frames"], about["fps"], about["width"]) == (20, 10, 1440)
    again = run("edit", about["id"], "trim=0:1", "--json")
    assert json.loads(again.stdout)["frames"] == 10, "the id of a clip is enough"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("trim=0:1",), "Name at least one clip."),
        (("nowhere.mp4", "trim=0:1"), "There is no clip nowhere.mp4"),
        (("FILM", "explode"), "There is no clip explode, and no operation of that name."),
        (("FILM", "trim=x"), "trim:"),
        (("FILM", "trim=5:6"), "Choose an earlier start."),
        (("FILM", "--format", "exe"), "Format"),
        (("0" * 32, "reverse"), "There is no such clip here."),
    ],
)
def test_what_cannot_be_done_is_refused(
    run: Run, film: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = run("edit", *(str(film) if each == "FILM" else each for each in arguments))
    assert sentence in done.stderr, done.stderr
    assert done.returncode in (1, 2)
    assert done.stdout == ""
