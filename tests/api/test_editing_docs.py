"""docs/editing.md is true: its examples run as they stand, and every operation has one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest

from media.ffmpeg import base_command
from media.operations.outputs import OUTPUTS
from media.operations.registry import OPERATIONS
from settings import ROOT
from tests.api.conftest import ApiServer
from tests.media.reading import read
from tests.programs import program

PAGE = (ROOT / "docs" / "editing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LENGTHS = {"slow.mp4": 32, "backwards.mp4": 32, "trim.mp4": 8, "split.mp4": 17, "preview.mp4": 0}


def sound_of(path: Path) -> bool:
    with av.open(str(path)) as clip:
        return bool(clip.streams.audio)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_an_example_and_a_picture(name: str) -> None:
    examples = PAGE.split("## Each operation")[1].split("\n## ")[0]
    assert f"(images/editing/{name}.jpg)" in examples
    assert (ROOT / "docs" / "images" / "editing" / f"{name}.jpg").is_file()
    assert re.search(rf"[ =\"]{name}(=|\s|\\)", examples), name


def test_the_examples_run_as_they_stand(server: ApiServer, tmp_path: Path) -> None:
    program("curl")
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1", str(tmp_path / "music.mp3"))
    subprocess.run([*base_command(), *tone], check=True)
    script = "set -euo pipefail\n"
    for n, block in enumerate(BLOCKS):
        here = block.replace("http://127.0.0.1:7860", server.url)
        script += f"{here}\necho; echo '--- block {n} ran'\n"
    (python,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "call.py").write_text(
        python.replace("http://127.0.0.1:7860", server.url)
        + "import shutil\nshutil.copy(clip, 'called.mp4')\n"
    )
    environment = os.environ | {"no_proxy": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    for command in (["bash", "-c", script], [sys.executable, "call.py"]):
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=400
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    made = [*tmp_path.glob("*.mp4"), *tmp_path.glob("*.webm")]
    assert len(made) > len(OPERATIONS)
    counts = {path.name: len(read(path).frames) for path in made}
    assert all(counts.values())
    assert {name: counts[name] for name in LENGTHS if LENGTHS[name]} == {
        name: count for name, count in LENGTHS.items() if count
    }
    assert counts["called.mp4"] == 8
    starts = {"mp4": b"ftyp", "webm": b"\x1aE\xdf\xa3", "gif": b"GIF8", "webp": b"RIFF"}
    starts |= {"webm-av1": starts["webm"], "apng": b"PNG", "png-zip": b"PK", "prores": b"ftyp"}
    assert set(starts) == set(OUTPUTS)
    for name, start in starts.items():
        assert start in (tmp_path / f"clip-as-{name}").read_bytes()[:16], name
    assert (tmp_path / "small.mp4").stat().st_size < 500_000
    started = (tmp_path / "started.txt").read_text()
    assert "event: complete" in started
    assert '"job_id"' in started
    assert sound_of(tmp_path / "sound.mp4")
    assert not sound_of(tmp_path / "reverse.mp4")
    assert json.loads((tmp_path / "estimate.json").read_text())["num_frames"] == 50
