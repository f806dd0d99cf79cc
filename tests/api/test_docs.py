"""docs/api.md is true: its examples run as they stand, and no door is missing from it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx

from settings import ROOT
from tests.api.conftest import ApiServer
from tests.api.openai.test_edits import able  # noqa: F401  # the fixture
from tests.media.reading import read
from tests.programs import program

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CLIPS = (
    *("clip.mp4", "the-same.mp4", "from-picture.mp4", "longer.mp4", "edited.mp4"),
    *("grid.mp4", "rendered.mp4", "comparison.mp4"),
    *("video.mp4", "extended.mp4", "task.mp4", "from-words.mp4", "waited.mp4"),
)


def test_the_examples_of_the_page_run_as_they_stand(
    able: ApiServer,  # noqa: F811
    png: bytes,
    tmp_path: Path,
) -> None:
    program("curl")
    for name in ("dog.png", "cat.png"):
        (tmp_path / name).write_bytes(png)
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("dog.png", png)
    script = "set -euo pipefail\n"
    for n, block in enumerate(BLOCKS):
        here = block.replace("http://127.0.0.1:7860", able.url)
        script += f"{here}\necho; echo '--- block {n} ran'\n"
    environment = os.environ | {"no_proxy": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment,
        timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in CLIPS:
        assert (tmp_path / name).read_bytes()[4:8] == b"ftyp", name
    assert (tmp_path / "first-100-bytes").stat().st_size == 100
    assert (tmp_path / "sheet.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert re.search("event: (cancelled|succeeded)\n", (tmp_path / "events.txt").read_text())
    frames = [len(read(tmp_path / name).frames) for name in ("from-picture.mp4", "longer.mp4")]
    assert frames == [9, 17], "both in one file"
    assert (tmp_path / "the-same.mp4").read_bytes() == (tmp_path / "clip.mp4").read_bytes()
    assert json.loads((tmp_path / "reused.json").read_text())["reused"]
    assert not json.loads((tmp_path / "new.json").read_text())["reused"]
    numbers = re.findall(r"^id: (\d+)$", (tmp_path / "after-the-cut.txt").read_text(), re.MULTILINE)
    assert [int(n) for n in numbers] == list(range(4, 4 + len(numbers)))
    assert len(numbers) > 3
    assert "data:image/jpeg;base64," in (tmp_path / "with-pictures.txt").read_text()
    assert len(json.loads((tmp_path / "zipped.json").read_text())["jobs"]) == 1
    assert (tmp_path / "sheet.png").read_bytes()[1:4] == b"PNG"
    with zipfile.ZipFile(tmp_path / "clips.zip") as clips:
        assert [name.rpartition(".")[2] for name in clips.namelist()] == ["json", "mp4", "mp4"]
    assert len(json.loads((tmp_path / "comparison.json").read_text())["cells"]) == 4
    with zipfile.ZipFile(tmp_path / "selected.zip") as selected:
        names = selected.namelist()
    assert [name.rpartition(".")[2] for name in names] == ["json", "mp4"]
    styled = json.loads((tmp_path / "styled.json").read_text())
    assert styled["settings"]["prompt"].endswith(" ball, anime style, hand-drawn animation, clean "
                                                 "lines, cel shading, vivid colours")  # fmt: skip
    assert styled["prompt_origin"]["style"] == "anime"
    suggested = json.loads((tmp_path / "suggestions.json").read_text())["suggestions"]
    assert suggested[0].startswith("a dog ")
    film = json.loads((tmp_path / "film.json").read_text())
    assert film["state"] == "succeeded" and film["file"]["state"] == "succeeded"
    page = (tmp_path / "shared.html").read_text()
    assert "A dog, drawn" in page and "in chalk" not in page
    assert (tmp_path / "shared-part").stat().st_size == 100
    assert json.loads((tmp_path / "oembed.json").read_text())["title"] == "A dog, drawn"
    assert json.loads((tmp_path / "found.json").read_text())["found"] == "kinora"
    assert (tmp_path / "styles.yaml").read_text().startswith("- id: my-noir\n")
    assert json.loads((tmp_path / "look.json").read_text())["settings"]["seed"] == 4
    called = {name: (tmp_path / name).read_text()
              for name in ("estimated.txt", "from-look.txt", "from-csv.txt")}  # fmt: skip
    assert all("event: complete" in text for text in called.values())
    assert "ball, anime style" in called["estimated.txt"]
    assert "a dog at dusk, shot on an anamorphic lens" in called["from-look.txt"]
    assert called["from-csv.txt"].count('"job_id": ') >= 2
    tools = (tmp_path / "tools.json").read_text()
    assert all(
        name in tools
        for name in (
            *("make_clip", "clip_state", "models", "make_batch", "continue_clip"),
            *("start_drafts", "render_draft", "compare", "discard_batch", "make_again"),
            *("looks", "save_look", "delete_look", "make_clip_from_look", "make_batch_from_csv"),
        )
    )


def test_the_examples_of_the_readme_run_as_they_stand(server: ApiServer, tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8").split("## Call it")[1]
    page = page.replace("http://127.0.0.1:7860", server.url)
    (curl,) = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    gradio, openai = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    code = f"{gradio}\nimport shutil; shutil.copy(clip, 'gradio.mp4')\n{openai}"
    code += "\nimport os; os.rename('dog.mp4', 'openai.mp4')"
    environment = os.environ | {"no_proxy": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    for command in ([sys.executable, "-c", code], ["bash", "-c", curl]):
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=400
        )
        assert done.returncode == 0, done.stderr[-2000:]
    for name in ("gradio.mp4", "openai.mp4", "dog.mp4"):
        assert (tmp_path / name).read_bytes()[4:8] == b"ftyp", name
    (mcp,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    address = json.loads(mcp)["mcpServers"]["kinora"]["url"]
    assert httpx.get(f"{address}schema", trust_env=False, timeout=60).status_code == 200


def test_every_door_is_on_the_page(anyone: httpx.Client) -> None:
    document = anyone.get("/api/openapi.json").json()
    for path in document["paths"]:
        shown = re.escape(path).replace(r"\{", "{").replace(r"\}", "}")
        pattern = re.sub(r"\{\w+\}", r"[$]?[\\w(]+[^/]*", shown)
        assert re.search(rf"\$KINORA{pattern}\b", PAGE), path
