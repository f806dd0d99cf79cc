"""The models of edits come from a Hub, by the names in the settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT
from tests.edit_networks import save_rife, save_upscaler
from tests.hub.server import TestHub

CODE = """
from jobs.workers.edit_models import edit_models
from media.operations.interpolate import Interpolate
from media.operations.upscale import Upscale
from settings import Settings

progress = []
with edit_models([Interpolate(), Upscale()], Settings.load(), progress.append) as learned:
    for each in learned.adjustments:
        print(each.used, "|", each.sentence)
    print(sorted(learned.models), any(each.bytes_done for each in progress))
"""


def use(hub: TestHub, home: Path, **models: str) -> list[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "KINORA_"))}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home)}
    env |= {f"KINORA_{name.upper()}_MODEL": model for name, model in models.items()}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, cwd=ROOT, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_models_are_downloaded_by_the_names_in_the_settings(
    tmp_path: Path, hub: TestHub
) -> None:
    save_rife(tmp_path / "made" / "rife_v4.26.safetensors")
    save_upscaler(tmp_path / "made" / "large" / "x2.safetensors")
    hub.add("somebody/for-edits", tmp_path / "made")
    rife, upscaler = "somebody/for-edits/rife_v4.26.safetensors", "large/x2.safetensors"
    home = tmp_path / "home"
    first = use(hub, home, interpolation=rife, upscale=f"somebody/for-edits@main/{upscaler}")
    assert first[2] == "['interpolation', 'upscaling'] True"
    assert first[0] == f"{rife} | The frames in between were made by the model {rife}."
    files = {path.name for path in home.rglob("*.safetensors")}
    assert files == {"rife_v4.26.safetensors", "x2.safetensors"}

    missing = use(hub, home, interpolation=rife, upscale="somebody/for-edits/x9.safetensors")
    assert missing[2] == "['interpolation'] False", "what is there is not downloaded again"
    assert missing[1].startswith("built-in | The clip was enlarged by the built-in resampler.")
    assert "somebody/for-edits is incomplete: its x9.safetensors is missing" in missing[1]
