"""demo.sh as a person uses it: a clip, Ctrl-C, a bad picture; and nothing of it stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import psutil
import pytest
from PIL import Image

from pipelines.models.cards import load_cards
from settings import ROOT, Settings

DONE_S = 300

pytestmark = pytest.mark.slow


@pytest.fixture
def temp() -> Iterator[Path]:
    """Where the demo may put its folder. The user postgres must be able to come in."""
    folder = Path(tempfile.mkdtemp(prefix="demo-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tiny_models(tiny_models_dir: Path) -> dict[str, str]:
    return {"KINORA_MODELS_DIR": str(tiny_models_dir)}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Its name is one that curl would take apart."""
    path = tmp_path / "a dog; drawn, at home.png"
    Image.new("RGB", (200, 160), (150, 180, 255)).save(path)
    return path


@contextmanager
def demo(
    *arguments: str, temp: Path, cwd: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A session of its own, as in a terminal of its own."""
    given = {
        "TMPDIR": str(temp),
        "PYTHON": sys.executable,
    }
    running = subprocess.Popen(
        [str(ROOT / "demo.sh"), *arguments],
        cwd=cwd,
        env=os.environ | given | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        running.kill()
        for process in left_of(temp):
            process.kill()


def left_of(temp: Path) -> list[psutil.Process]:
    """Every process that was told of that folder, but this one."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(temp) in word for word in told):
            found.append(process)
    return found


def nothing_is_left(temp: Path) -> bool:
    assert [(p.pid, p.cmdline()) for p in left_of(temp)] == []
    assert list(temp.iterdir()) == []
    return True


def test_a_picture_becomes_a_clip_that_plays(temp: Path, picture: Path) -> None:
    with demo(picture.name, "@a dog", temp=temp, cwd=picture.parent) as running:
        said, complained = running.communicate(timeout=DONE_S)
        assert running.returncode == 0, said + complained
        assert nothing_is_left(temp)
    for what in ("event: queued", "event: step", "event: preview", "event: succeeded"):
        assert what in said
    assert '"prompt": "@a dog"' in said
    card = load_cards(Settings.model_fields["models_dir"].default)["pocket"]
    with av.open(str(picture.parent / "kinora-demo.mp4")) as clip:
        frames = list(clip.decode(video=0))
    assert len(frames) == card.defaults.num_frames
    assert (frames[0].width, frames[0].height) == (card.defaults.width, card.defaults.height)


@pytest.mark.parametrize("at", ["starting worker", "accepted as"])
def test_ctrl_c_ends_everything(
    at: str, temp: Path, picture: Path, tiny_models: dict[str, str]
) -> None:
    with demo(str(picture), temp=temp, cwd=temp.parent, environment=tiny_models) as running:
        assert running.stdout
        for line in running.stdout:
            if line.startswith(at):
                break
        assert running.poll() is None
        os.killpg(running.pid, signal.SIGINT)
        said, complained = running.communicate(timeout=DONE_S)
        assert running.returncode == 130, said + complained
        assert nothing_is_left(temp)


def test_being_told_to_stop_ends_everything_too(
    temp: Path, picture: Path, tiny_models: dict[str, str]
) -> None:
    with demo(str(picture), temp=temp, cwd=temp.parent, environment=tiny_models) as running:
        assert running.stdout
        for line in running.stdout:
            if line.startswith("waiting for"):
                break
        running.terminate()
        running.communicate(timeout=DONE_S)
        assert running.returncode == 143
        assert nothing_is_left(temp)


@pytest.mark.parametrize("kind", ["no picture", "no file", "no word"])
def test_what_is_no_picture_is_said_in_a_sentence(kind: str, temp: Path, tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    if kind == "no picture":
        path.write_text("these are notes")
    arguments = [] if kind == "no word" else [str(path)]
    sentence = {"no picture": "This picture cannot be read.", "no file": "There is no file"}
    with demo(*arguments, temp=temp, cwd=tmp_path) as running:
        said, complained = running.communicate(timeout=DONE_S)
        assert running.returncode == 2
        assert complained.startswith(sentence.get(kind, "usage: "))
        assert said == ""
        assert "Traceback" not in complained
        assert nothing_is_left(temp)
