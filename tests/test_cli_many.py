"""`generate` of several clips: drafts, comparisons, a CSV; and the draft that is picked."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from app import build_service
from cli.commands import Parts, app
from errors import KinoraError
from settings import ROOT, Settings
from tests import tiny
from tests.media.reading import read

QUICK = ("--frames", "5", "--seed", "5")


class CommandLine:
    """The commands in this process, on a model of its own data folder."""

    def __call__(self, *arguments: str) -> Result:
        parts = Parts(lambda: None, lambda *given: build_service(Settings.load(), given[1]))
        return CliRunner().invoke(app, arguments, obj=parts)

    def ok(self, *arguments: str) -> Result:
        done = self(*arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        return done


@pytest.fixture
def run(tmp_path: Path, tiny_repo: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    folder = tmp_path / "cards"
    tiny.write_card(folder, tiny_repo, drafts={"steps": 2, "scale": 0.5})
    monkeypatch.setenv("KINORA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("KINORA_MODELS_DIR", str(folder))
    return CommandLine()


def test_drafts_are_files_and_one_of_them_is_rendered(run: CommandLine, tmp_path: Path) -> None:
    out = tmp_path / "drafts"
    done = run.ok("generate", "a dog", *QUICK, "--drafts", "2", "--out", str(out), "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["kind"] == "drafts"
    names = sorted(path.name for path in out.iterdir())
    assert names[-3:] == ["batch.json", "grid.mp4", "sheet.png"]
    assert [Path(clip["path"]).parent for clip in told["clips"]] == [out, out]
    assert [clip["width"] for clip in told["clips"]] == [32, 32]
    assert [clip["steps"] for clip in told["clips"]] == [2, 2]
    assert len(read(out / "grid.mp4").frames) == 5
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    about = json.loads((out / "batch.json").read_text())
    assert [clip["file"] for clip in about["clips"]] == names[:2]

    picked = told["clips"][1]
    done = run.ok("render", picked["id"], "--json")
    full = json.loads(done.stdout)
    assert (full["seed"], full["width"], full["steps"]) == (picked["seed"], 64, 4)
    assert any("another composition" in sentence for sentence in full["adjustments"])
    assert run("render", full["id"]).exit_code == 1


def test_a_comparison_and_a_csv(run: CommandLine, tmp_path: Path) -> None:
    done = run.ok("generate", "a dog", *QUICK, "--compare", "steps=1,60", "--json")
    told = json.loads(done.stdout)
    assert [cell["labels"] for cell in told["cells"]] == [["1"], ["60"]]
    assert "between 1 and 50" in told["cells"][1]["problem"] and len(told["clips"]) == 1
    assert Path(told["sheet"]).is_file() and Path(told["grid"]).is_file()

    Image.new("RGB", (64, 64), (200, 30, 60)).save(tmp_path / "ball.png")
    table = tmp_path / "clips.csv"
    table.write_text("prompt,image,steps\na dog,,1\nit rolls,ball.png,1\n", encoding="utf-8")
    out = tmp_path / "made"
    done = run.ok("generate", "--frames", "5", "--batch", str(table), "--out", str(out))
    printed = [Path(line) for line in done.stdout.splitlines()]
    assert [path.parent for path in printed] == [out] * 4
    assert [path.suffix for path in printed] == [".mp4", ".mp4", ".png", ".mp4"]
    about = json.loads((out / "batch.json").read_text())
    assert [clip["used"]["task"] for clip in about["clips"]] == ["t2v", "i2v"]
    assert [clip["used"]["num_frames"] for clip in about["clips"]] == [5, 5]


@pytest.mark.slow
def test_the_examples_of_the_page_run_as_they_stand(
    run: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    lines = re.findall(r"^python app.py (.*(?:--drafts|render|--compare|--batch).*)$", page, re.M)
    assert len(lines) == 4
    monkeypatch.chdir(tmp_path)
    Path("clips.csv").write_text("prompt,seed\na dog,1\na cat,2\n", encoding="utf-8")
    draft = ""
    for line in lines:
        run.ok(*(draft if word == "ID" else word for word in shlex.split(line, comments=True)))
        if "--drafts" in line:
            draft = json.loads(Path("drafts/batch.json").read_text())["clips"][0]["job_id"]
    made = {
        folder: len(list(Path(folder).glob("0*.mp4"))) for folder in ("drafts", "grid", "clips")
    }
    assert made == {"drafts": 4, "grid": 4, "clips": 2}
    assert all((Path(folder) / "sheet.png").is_file() for folder in made)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--drafts", "2", "--compare", "steps=1,2"), "cannot be used together"),
        (("--drafts", "many"), "from 2 to 8"),
        (("--drafts", "9"), "from 2 to 8"),
        (("--compare", "colour=red,blue"), "no setting called “colour”"),
        (("--compare", "steps=1,2", "--out", "-"), "need a folder"),
        (("--compare", "steps=1,2", "--out", "clip.mp4"), "need a folder"),
        (("--batch", "nowhere.csv"), "there is no file nowhere.csv"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is(
    run: CommandLine, arguments: tuple[str, ...], says: str
) -> None:
    done = run("generate", "a dog", *arguments)
    assert isinstance(done.exception, KinoraError)
    assert says in done.exception.message


def test_a_csv_names_the_line_of_a_file_that_is_not_there(run: CommandLine, tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    for text, place in (("prompt,image\na,b.png\n", "line 2, column “image”"),
                        ("prompt,steps\na,2\nb,x\n", "line 3, column “steps”")):  # fmt: skip
        table.write_text(text, encoding="utf-8")
        done = run("generate", "--batch", str(table))
        assert isinstance(done.exception, KinoraError) and place in done.exception.message
