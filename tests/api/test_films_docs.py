"""docs/films.md is true: its examples run as they stand."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
from pathlib import Path

from settings import ROOT
from tests.api.conftest import ApiServer
from tests.media.reading import read
from tests.programs import program

PAGE = (ROOT / "docs" / "films.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:7860"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_run_as_they_stand(server: ApiServer, tmp_path: Path, png: bytes) -> None:
    program("curl")
    (tmp_path / "start.png").write_bytes(png)
    shell = "set -euo pipefail\n" + "\n".join(blocks("bash"))
    (python,) = blocks("python")
    environment = os.environ | {"no_proxy": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-c", shell.replace(ADDRESS, server.url)],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (tmp_path / "call.py").write_text(python.replace(ADDRESS, server.url))
    called = runpy.run_path(str(tmp_path / "call.py"))
    assert called["film"]["state"] == "succeeded", called["film"]
    assert re.search(r"/api/result/[0-9a-f]{32}$", called["film"]["url"])

    redone, changed, film = (
        json.loads((tmp_path / name).read_text())
        for name in ("redone.json", "changed.json", "film.json")
    )
    assert [each["prompt"][:5] for each in redone["shots"]] == ["a dog", "it ju", "a bir"]
    assert [each["prompt"][:5] for each in changed["shots"]] == ["a bir", "the e", "a dog"]
    assert film["state"] == "succeeded"
    assert changed["shots"][2]["job"]["job_id"] == redone["shots"][0]["job"]["job_id"]
    made = [each["job"]["result"]["num_frames"] for each in film["shots"]]
    fade = round(0.5 * 8)
    assert len(read(tmp_path / "changed.mp4").frames) == sum(made) - fade
    assert len(read(tmp_path / "film.mp4").frames) == 30
