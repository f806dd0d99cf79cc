"""The classifier of frames comes from a Hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT
from tests import image_classifier
from tests.hub.server import TestHub

CODE = """
import numpy as np
from pipelines.engine.frame_filter import find_refused
from settings import Settings
for value in (0, 255):
    print(find_refused(np.full((2, 32, 32, 3), value, np.uint8), Settings.load()))
"""


@pytest.mark.slow
def test_the_classifier_is_downloaded_by_its_id(tmp_path: Path, hub: TestHub) -> None:
    hub.add("somebody/tiny-classifier", image_classifier.build(tmp_path / "made"))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "KINORA_"))}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    env |= {"KINORA_FRAME_FILTER_MODEL": "somebody/tiny-classifier"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, cwd=ROOT, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    dark, bright = done.stdout.splitlines()
    assert dark == "None"
    assert "nsfw" in bright
